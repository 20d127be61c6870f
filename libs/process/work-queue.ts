/**
 * Runs a few pieces of long work at a time and lets the others wait; what has no room in the queue is refused at once. Tenants take turns,
 * and none fills the queue for the others: one that asks for too much waits for itself.
 */
export class WorkQueue {
  readonly #concurrency: number;
  readonly #maxWaiting: number;
  /** What waits, by tenant (`whose`). The one whose turn is next stands first. */
  readonly #waiting = new Map<string, ((isTurn: boolean) => void)[]>();
  #waitingCount = 0;
  #running = 0;

  constructor(concurrency: number, maxWaiting: number) {
    this.#concurrency = concurrency;
    this.#maxWaiting = maxWaiting;
  }

  /** Whether one more of this tenant's would be refused. */
  isFullFor(whose = ''): boolean {
    if (this.#running < this.#concurrency || this.#waitingCount < this.#maxWaiting) return false;
    return this.#longest().length <= (this.#waiting.get(whose)?.length ?? 0) + 1;
  }

  /** Undefined: there was no place, or it had to be given to somebody who has fewer. Rejects as the work does. */
  async run<Result>(work: () => Promise<Result>, whose = ''): Promise<Result | undefined> {
    if (this.isFullFor(whose)) return undefined;
    // Work that has waited takes the place of the work that has ended (`#wakeNext`): nothing that comes meanwhile can take it.
    if (this.#running >= this.#concurrency) {
      if (!(await this.#wait(whose))) return undefined;
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      this.#wakeNext();
    }
  }

  #wait(whose: string): Promise<boolean> {
    if (this.#waitingCount >= this.#maxWaiting) this.#turnAway(this.#longest());
    return new Promise((resolve) => {
      const own = this.#waiting.get(whose);
      if (own === undefined) this.#waiting.set(whose, [resolve]);
      else own.push(resolve);
      this.#waitingCount += 1;
    });
  }

  #wakeNext(): void {
    for (const [whose, own] of this.#waiting) {
      const wake = own.shift();
      // This tenant is behind all others now.
      this.#waiting.delete(whose);
      if (own.length > 0) this.#waiting.set(whose, own);
      this.#waitingCount -= 1;
      wake?.(true);
      return;
    }
    this.#running -= 1;
  }

  /** Refuses what came last. */
  #turnAway(own: ((isTurn: boolean) => void)[]): void {
    const last = own.pop();
    this.#waitingCount -= 1;
    last?.(false);
  }

  #longest(): ((isTurn: boolean) => void)[] {
    let longest: ((isTurn: boolean) => void)[] = [];
    for (const own of this.#waiting.values()) if (own.length > longest.length) longest = own;
    return longest;
  }
}
