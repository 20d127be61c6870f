/**
 * Work that takes long and is done a little at a time: what does not fit into the queue is told so at once. Whose it is takes turns, and
 * of a full queue nobody has more than their share: a tenant whose devices ask for too much waits for itself.
 */
export class WorkQueue {
  readonly #concurrency: number;
  readonly #maxWaiting: number;
  /** Who waits, by whose it is; whose turn is next stands first. */
  readonly #waiting = new Map<string, ((isTurn: boolean) => void)[]>();
  #waitingCount = 0;
  #running = 0;

  constructor(concurrency: number, maxWaiting: number) {
    this.#concurrency = concurrency;
    this.#maxWaiting = maxWaiting;
  }

  /** Whether there is no place for one more of theirs. */
  isFullFor(whose = ''): boolean {
    if (this.#running < this.#concurrency || this.#waitingCount < this.#maxWaiting) return false;
    return this.#longest().length <= (this.#waiting.get(whose)?.length ?? 0) + 1;
  }

  /** Undefined: there was no place, or it had to be given to somebody who has fewer. Rejects as the work does. */
  async run<Result>(work: () => Promise<Result>, whose = ''): Promise<Result | undefined> {
    if (this.isFullFor(whose)) return undefined;
    // Whoever is woken has been given the place of the one before: nobody who comes meanwhile can take it.
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
      // Theirs goes behind all others'.
      this.#waiting.delete(whose);
      if (own.length > 0) this.#waiting.set(whose, own);
      this.#waitingCount -= 1;
      wake?.(true);
      return;
    }
    this.#running -= 1;
  }

  /** Who came last. */
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
