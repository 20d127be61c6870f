/**
 * Live streams made of polls: a missed wake-up cannot lose anything. Whoever follows the same is told from one poll, however many they
 * are; nobody follows, nothing is asked. A follower is told what can be read since it began and could not before, whatever time that is
 * of: what had been received already, and was committed a while later, would be missing in what it has read before, and here.
 */
import { Failure } from '../failure.js';

const pollEveryMs = 400;
const recheckEveryMs = 5_000;
/** What a reader is handed before it is asked again whether it may. */
const handedAtOnce = 500;
/** What waits for a reader who is slower than what it follows; beyond it, it is not told less: its feed ends. */
const mostWaiting = 20_000;

export interface Followed<T> {
  readonly keyOf: (item: T) => string;
  readonly timeOf: (item: T) => Date;
}

/** All from `from` on, in order, in as many pages as there are. */
export type Read<T> = (from: Date) => AsyncIterable<readonly T[]>;

/** Of one kind of things: what is followed by the same name is one poll. */
export class Feeds<T> {
  readonly #polls = new Map<string, Poll<T>>();

  constructor(
    private readonly followed: Followed<T>,
    private readonly everyMs = pollEveryMs,
  ) {}

  /** How many there are under way. */
  get polls(): number {
    return this.#polls.size;
  }

  /** `name` says all that `read` depends on, the tenant first. `begin` may refuse, and tells the time of the newest there is. */
  async follow(name: string, read: Read<T>, begin: () => Promise<Date | undefined>): Promise<Follower<T>> {
    const poll = this.#polls.get(name) ?? this.#open(name, read);
    const follower = new Follower<T>(poll);
    poll.enter(follower);
    try {
      await poll.admit(follower, await begin());
      return follower;
    } catch (error) {
      follower.leave();
      throw error;
    }
  }

  #open(name: string, read: Read<T>): Poll<T> {
    const poll = new Poll<T>(read, this.followed, this.everyMs, () => {
      if (this.#polls.get(name) === poll) this.#polls.delete(name);
    });
    this.#polls.set(name, poll);
    return poll;
  }
}

interface Newcomer<T> {
  readonly follower: Follower<T>;
  readonly admitted: () => void;
  readonly refused: (error: unknown) => void;
}

class Poll<T> {
  readonly #followers = new Set<Follower<T>>();
  /** Who is told nothing until all there is has been read once more. */
  #newcomers: Newcomer<T>[] = [];
  #isStarted = false;
  #hasEnded = false;
  #wake: () => void = () => undefined;

  constructor(
    private readonly read: Read<T>,
    private readonly followed: Followed<T>,
    private readonly everyMs: number,
    private readonly onEnd: () => void,
  ) {}

  enter(follower: Follower<T>): void {
    this.#followers.add(follower);
  }

  leave(follower: Follower<T>): void {
    this.#followers.delete(follower);
    if (this.#followers.size === 0) this.#end();
  }

  /** Resolves when whatever can be read from now on will be told. The first one's `newest` decides where it begins. */
  async admit(follower: Follower<T>, newest: Date | undefined): Promise<void> {
    if (this.#hasEnded) return; // with an error, which the follower has been told
    await new Promise<void>((admitted, refused) => {
      this.#newcomers.push({ follower, admitted, refused });
      this.#wake();
      if (this.#isStarted) return;
      this.#isStarted = true;
      this.#run(newest ?? new Date(0)).catch((error: unknown) => this.#fail(error));
    });
  }

  #end(): void {
    this.#hasEnded = true;
    this.#wake();
    this.onEnd();
  }

  #fail(error: unknown): void {
    this.#end();
    for (const follower of this.#followers) follower.fail(error);
    for (const { refused } of this.#newcomers) refused(error);
  }

  async #run(newest: Date): Promise<void> {
    const seen = new LookBack<T>(newest, this.followed);
    while (!this.#hasEnded) {
      const count = this.#newcomers.length;
      for await (const page of this.read(seen.from)) {
        if (this.#hasEnded) return;
        const fresh = seen.untold(page);
        if (fresh.length > 0) for (const follower of this.#followers) follower.tell(fresh);
      }
      for (const { follower, admitted } of this.#newcomers.splice(0, count)) {
        follower.listen();
        admitted();
      }
      if (this.#newcomers.length === 0) await this.#pause();
    }
  }

  /** Until it is time again, or somebody new waits. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.everyMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One reader's place: what it has yet to be handed. */
export class Follower<T> {
  hasLeft = false;
  #isListening = false;
  #waiting: T[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(private readonly poll: Poll<T>) {}

  listen(): void {
    this.#isListening = true;
  }

  tell(items: readonly T[]): void {
    if (!this.#isListening || this.#failure !== undefined) return;
    for (const item of items) this.#waiting.push(item);
    if (this.#waiting.length > mostWaiting) {
      const message = `More than ${mostWaiting} were waiting to be sent: read on from there by a query, and subscribe again.`;
      this.fail(new Failure('limit-reached', message));
    }
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#waiting = [];
    this.#wake();
  }

  leave(): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.#waiting = [];
    this.poll.leave(this);
    this.#wake();
  }

  /** Some of what is new, in order, as soon as there is any; nothing after so long, or when it has left. */
  async take(ms: number): Promise<readonly T[]> {
    if (this.#waiting.length === 0 && this.#failure === undefined && !this.hasLeft) await this.#news(ms);
    if (this.#failure !== undefined) throw this.#failure.error;
    const taken = this.#waiting.slice(0, handedAtOnce);
    this.#waiting = this.#waiting.slice(handedAtOnce);
    return taken;
  }

  #news(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export interface Told<T, R> {
  readonly tell: (items: readonly T[]) => readonly R[];
  /** Rejects when the subscriber has lost the right it subscribed with: the feed ends with that error. */
  readonly recheck: () => Promise<void>;
}

/** `return` ends it at once, in the middle of a wait too. */
export function feedOf<T, R>(follower: Follower<T>, told: Told<T, R>): AsyncIterableIterator<R> {
  const items = generate(follower, told);
  return {
    next: () => items.next(),
    return: () => {
      follower.leave();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* generate<T, R>(
  follower: Follower<T>,
  { tell, recheck }: Told<T, R>,
): AsyncGenerator<R, undefined> {
  let checkedAt = Date.now();
  try {
    while (!follower.hasLeft) {
      const items = await follower.take(recheckEveryMs);
      if (follower.hasLeft) return;
      if (Date.now() - checkedAt >= recheckEveryMs) {
        await recheck();
        checkedAt = Date.now();
      }
      for (const item of tell(items)) {
        if (follower.hasLeft) return;
        yield item;
      }
    }
  } finally {
    follower.leave();
  }
}

/** Rows commit in another order than their times say: what is this much older than the newest may still be to come. */
const lateByMs = 3_000;

/** What is new, by time: each poll looks back a little over what was seen, and tells what it has told by its key. */
class LookBack<T> {
  readonly #told = new Map<string, number>();
  #newestMs: number;

  constructor(
    start: Date,
    private readonly followed: Followed<T>,
  ) {
    this.#newestMs = start.getTime();
  }

  get from(): Date {
    this.#forget();
    return new Date(this.#newestMs - lateByMs);
  }

  /** Those of the items that have not been told yet. */
  untold(items: readonly T[]): T[] {
    const fresh = items.filter((item) => !this.#told.has(this.followed.keyOf(item)));
    for (const item of fresh) {
      const time = this.followed.timeOf(item).getTime();
      this.#told.set(this.followed.keyOf(item), time);
      this.#newestMs = Math.max(this.#newestMs, time);
    }
    return fresh;
  }

  #forget(): void {
    for (const [key, time] of this.#told) if (time < this.#newestMs - lateByMs) this.#told.delete(key);
  }
}
