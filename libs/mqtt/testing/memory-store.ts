import type { Stored } from '../ports.js';

interface Write {
  readonly apply: () => void;
  readonly stored: Stored | undefined;
}

/**
 * The writer behind MemoryVault and MemoryJournal: writes are queued in order and committed together in a later turn, as a
 * database does it. A test may hold the commits back, let them fail, or call the queue full.
 */
export class MemoryStore {
  #waiting: Write[] = [];
  #scheduled = false;
  #held = false;
  #failure: Error | undefined;
  #full = false;
  #whenReady: (() => void)[] = [];
  #whenIdle: (() => void)[] = [];
  readonly #soon: (callback: () => void) => void;
  /** Commits made so far, for tests that count them. */
  commits = 0;

  constructor(soon: (callback: () => void) => void = setImmediate) {
    this.#soon = soon;
  }

  write(apply: () => void, stored: Stored | undefined): void {
    this.#waiting.push({ apply, stored });
    this.#schedule();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Nothing is committed until `commit`. */
  hold(): void {
    this.#held = true;
  }

  /** Goes on committing, what was held first. */
  commit(): void {
    this.#held = false;
    this.#schedule();
  }

  /** Every write fails with this error, and so do claims and reads, until it is undefined again. */
  failWith(error: Error | undefined): void {
    this.#failure = error;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get isFull(): boolean {
    return this.#full;
  }

  set isFull(full: boolean) {
    this.#full = full;
    if (full) return;
    const callbacks = this.#whenReady;
    this.#whenReady = [];
    for (const callback of callbacks) callback();
  }

  whenReady(callback: () => void): void {
    if (this.#full) this.#whenReady.push(callback);
    else this.#soon(callback);
  }

  flush(): Promise<void> {
    if (this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** What a `kill -9` leaves undone. */
  dropUncommitted(): void {
    this.#waiting = [];
  }

  #schedule(): void {
    if (this.#scheduled || this.#held || this.#waiting.length === 0) return;
    this.#scheduled = true;
    this.#soon(() => {
      this.#scheduled = false;
      if (!this.#held) this.#commitBatch();
    });
  }

  #commitBatch(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    const outcomes = batch.map(({ apply }) => this.#outcome(apply));
    this.commits += 1;
    batch.forEach(({ stored }, i) => stored?.(outcomes[i]));
    if (this.#waiting.length > 0) return this.#schedule();
    const idle = this.#whenIdle;
    this.#whenIdle = [];
    for (const callback of idle) callback();
  }

  #outcome(apply: () => void): Error | undefined {
    if (this.#failure !== undefined) return this.#failure;
    try {
      apply();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}
