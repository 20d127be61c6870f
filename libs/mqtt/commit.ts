import type { Stored } from './ports.js';

/** The writes that one packet waits for. Reports once, when the last of them is stored, with the first error there was. */
export class Commit {
  #waiting = 0;
  #error: Error | undefined;
  #done: Stored | undefined;

  /** One more write to wait for. */
  readonly part: Stored = (error) => {
    this.#error ??= error;
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#done?.(this.#error);
  };

  expect(): Stored {
    this.#waiting += 1;
    return this.part;
  }

  whenStored(done: Stored): void {
    this.#done = done;
    if (this.#waiting === 0) done(this.#error);
  }
}
