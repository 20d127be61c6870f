export interface WorkLimits {
  /** Pieces of one tenant's that may run at a time, so that long ones leave room for others. Default: as many as of all. */
  readonly concurrencyEach?: number;
  /** How long work may wait for its turn, in milliseconds. Default: for ever. */
  readonly patienceMs?: number;
}

type Wake = (isTurn: boolean) => void;

/**
 * Runs a few pieces of long work at a time and lets the others wait; what has no room in the queue is refused at once. Tenants take turns,
 * and none fills the queue for the others: one that asks for too much waits for itself.
 */
export class WorkQueue {
  readonly #concurrency: number;
  readonly #maxWaiting: number;
  readonly #concurrencyEach: number;
  readonly #patienceMs: number | undefined;
  /** What waits, by tenant (`whose`). The one whose turn is next stands first. */
  readonly #waiting = new Map<string, Wake[]>();
  /** How many pieces of each tenant's run. */
  readonly #runningOf = new Map<string, number>();
  #waitingCount = 0;
  #running = 0;

  constructor(concurrency: number, maxWaiting: number, limits: WorkLimits = {}) {
    this.#concurrency = concurrency;
    this.#maxWaiting = maxWaiting;
    this.#concurrencyEach = limits.concurrencyEach ?? concurrency;
    this.#patienceMs = limits.patienceMs;
  }

  /** Whether one more of this tenant's would be refused. */
  isFullFor(whose = ''): boolean {
    if (this.#mayBegin(whose) || this.#waitingCount < this.#maxWaiting) return false;
    return this.#longest().length <= (this.#waiting.get(whose)?.length ?? 0) + 1;
  }

  /** Undefined: there was no place, or it had to be given to somebody who has fewer, or its turn did not come in time. Rejects as the work does. */
  async run<Result>(work: () => Promise<Result>, whose = ''): Promise<Result | undefined> {
    if (this.isFullFor(whose)) return undefined;
    // Work that has waited has been counted by who woke it (`#wakeNext`): nothing that comes meanwhile can take its place.
    if (this.#mayBegin(whose)) this.#begin(whose);
    else if (!(await this.#wait(whose))) return undefined;
    try {
      return await work();
    } finally {
      this.#end(whose);
      this.#wakeNext();
    }
  }

  #mayBegin(whose: string): boolean {
    return this.#running < this.#concurrency && (this.#runningOf.get(whose) ?? 0) < this.#concurrencyEach;
  }

  #begin(whose: string): void {
    this.#running += 1;
    this.#runningOf.set(whose, (this.#runningOf.get(whose) ?? 0) + 1);
  }

  #end(whose: string): void {
    this.#running -= 1;
    const left = (this.#runningOf.get(whose) ?? 1) - 1;
    if (left === 0) this.#runningOf.delete(whose);
    else this.#runningOf.set(whose, left);
  }

  #wait(whose: string): Promise<boolean> {
    if (this.#waitingCount >= this.#maxWaiting) this.#turnAway(this.#longest());
    return new Promise((resolve) => {
      const own = this.#waiting.get(whose);
      if (own === undefined) this.#waiting.set(whose, [wake]);
      else own.push(wake);
      this.#waitingCount += 1;
      const impatience =
        this.#patienceMs === undefined
          ? undefined
          : setTimeout(() => this.#giveUp(whose, wake), this.#patienceMs);

      function wake(isTurn: boolean): void {
        clearTimeout(impatience);
        resolve(isTurn);
      }
    });
  }

  /** One has ended: where others wait, they waited for it, or for one of their own. */
  #wakeNext(): void {
    for (const [whose, own] of this.#waiting) {
      if (!this.#mayBegin(whose)) continue;
      const wake = own.shift();
      // This tenant is behind all others now.
      this.#waiting.delete(whose);
      if (own.length > 0) this.#waiting.set(whose, own);
      this.#waitingCount -= 1;
      this.#begin(whose);
      wake?.(true);
      return;
    }
  }

  #giveUp(whose: string, wake: Wake): void {
    const own = this.#waiting.get(whose) ?? [];
    own.splice(own.indexOf(wake), 1);
    if (own.length === 0) this.#waiting.delete(whose);
    this.#waitingCount -= 1;
    wake(false);
  }

  /** Refuses what came last. */
  #turnAway(own: Wake[]): void {
    const last = own.pop();
    this.#waitingCount -= 1;
    last?.(false);
  }

  #longest(): Wake[] {
    let longest: Wake[] = [];
    for (const own of this.#waiting.values()) if (own.length > longest.length) longest = own;
    return longest;
  }
}
