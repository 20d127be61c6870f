/** Work that takes long and is done a little at a time: what does not fit into the queue is told so at once. */
export class WorkQueue {
  readonly #concurrency: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(concurrency: number, maxWaiting: number) {
    this.#concurrency = concurrency;
    this.#maxWaiting = maxWaiting;
  }

  get isFull(): boolean {
    return this.#running >= this.#concurrency && this.#waiting.length >= this.#maxWaiting;
  }

  /** Undefined: the queue is full. Rejects as the work does. */
  async run<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    if (this.isFull) return undefined;
    // Whoever is woken has been given the place of the one before: nobody who comes meanwhile can take it.
    if (this.#running >= this.#concurrency) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
