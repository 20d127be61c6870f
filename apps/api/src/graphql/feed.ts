import { setTimeout as sleep } from 'node:timers/promises';

const pollEveryMs = 400;
const recheckEveryMs = 5_000;

export interface FeedSource<T> {
  /** What is new since it was last called, in order. */
  readonly poll: () => Promise<readonly T[]>;
  /** Rejects when the subscriber has lost the right it subscribed with: the feed ends with that error. */
  readonly recheck: () => Promise<void>;
}

/**
 * A live stream made of polls: nothing is asked for while the reader is busy with what it has, and a missed wake-up cannot
 * lose anything. `return` ends it at once, in the middle of a wait too.
 */
export function feedOf<T>(source: FeedSource<T>): AsyncIterableIterator<T> {
  const stop = new AbortController();
  const items = generate(source, stop.signal);
  return {
    next: () => items.next(),
    return: () => {
      stop.abort();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* generate<T>(
  { poll, recheck }: FeedSource<T>,
  stopped: AbortSignal,
): AsyncGenerator<T, undefined> {
  let checkedAt = Date.now();
  while (!stopped.aborted) {
    if (Date.now() - checkedAt > recheckEveryMs) {
      await recheck();
      checkedAt = Date.now();
    }
    for (const item of await poll()) {
      if (stopped.aborted) return;
      yield item;
    }
    await sleep(pollEveryMs, undefined, { signal: stopped }).catch(() => undefined);
  }
}

/** Rows commit in another order than their times say: what is this much older than the newest may still be to come. */
const lateByMs = 3_000;

/**
 * What is new, by time: each poll looks back a little over what was seen, and tells what it has told by its key. Nothing
 * before `start` is told.
 */
export class LookBack<T> {
  readonly #told = new Map<string, number>();
  #newestMs: number;

  constructor(
    start: Date,
    private readonly keyOf: (item: T) => string,
    private readonly timeOf: (item: T) => Date,
  ) {
    this.#newestMs = start.getTime() + lateByMs;
  }

  get from(): Date {
    return new Date(this.#newestMs - lateByMs);
  }

  /** Those of the items, all from `from` on, that have not been told yet. */
  untold(items: readonly T[]): T[] {
    const fresh = items.filter((item) => !this.#told.has(this.keyOf(item)));
    for (const item of fresh) {
      const time = this.timeOf(item).getTime();
      this.#told.set(this.keyOf(item), time);
      this.#newestMs = Math.max(this.#newestMs, time);
    }
    for (const [key, time] of this.#told) if (time < this.#newestMs - lateByMs) this.#told.delete(key);
    return fresh;
  }
}
