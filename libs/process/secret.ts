import { inspect } from 'node:util';

const mask = '[secret]';

/** A value that does not show itself: neither in a log line, nor in JSON, nor in an error's text. `reveal` is the one way to it. */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return mask;
  }

  toJSON(): string {
    return mask;
  }

  [inspect.custom](): string {
    return mask;
  }
}
