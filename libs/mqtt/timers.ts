import type { Clock, Timer } from './ports.js';

/** Clocks count milliseconds in 31 bits: whoever waits longer waits in turns. */
const longestWaitMs = 2 ** 30;

/** A clock that is set forward wakes no timer: what takes rights away looks at it so often. */
export const rightsWaitMs = 60_000;

/**
 * Node keeps timers in a list for each duration, and what is left of a deadline that was moved is another for each client: to make a list
 * and find its place took 40 µs of each keep-alive's look. So that is waited for in steps of this, up to so much too long.
 */
const stepMs = 100;

/**
 * Calls back once, when the deadline has passed. Moving the deadline further out is one assignment: the timer looks at it
 * when it fires and goes on waiting, so that a keep-alive costs nothing per packet.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #callback: () => void;
  readonly #longestWaitMs: number;
  #at: number;
  #isMoved = false;
  #timer: Timer | undefined;

  /** `waitMs`: looks at the clock so often at least. */
  constructor(clock: Clock, at: number, callback: () => void, waitMs = longestWaitMs) {
    this.#clock = clock;
    this.#callback = callback;
    this.#longestWaitMs = waitMs;
    this.#at = at;
    this.#wait(at - clock.now());
  }

  get at(): number {
    return this.#at;
  }

  /** Never earlier than it was. It is then kept to within `stepMs`. */
  moveTo(at: number): void {
    this.#at = at;
    this.#isMoved = true;
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(forMs: number): void {
    const ms = Math.max(0, Math.min(forMs, this.#longestWaitMs));
    this.#timer = this.#clock.after(ms, () => this.#look());
  }

  #look(): void {
    if (this.#timer === undefined) return;
    const leftMs = this.#at - this.#clock.now();
    if (leftMs > 0) this.#wait(this.#isMoved ? Math.ceil(leftMs / stepMs) * stepMs : leftMs);
    else {
      this.#timer = undefined;
      this.#callback();
    }
  }
}

/**
 * Whoever is over its rate rests for so long at least: what it may send meanwhile is read together then. Message by message, each
 * would be a timer, a turn of the loop and a write to each who is sent it.
 */
const leastRestMs = 10;

/** A bucket of one second's allowance. Asked with the time, so that it needs no timer of its own. */
export class RateLimit {
  readonly #perSecond: number;
  #allowance: number;
  #asOf: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#allowance = perSecond;
    this.#asOf = now;
  }

  /** Takes from the allowance, into debt where it must; returns for how many milliseconds to stop then, 0 for none. */
  take(amount: number, now: number): number {
    const refilled = this.#allowance + ((now - this.#asOf) * this.#perSecond) / 1000;
    this.#allowance = Math.min(this.#perSecond, refilled) - amount;
    this.#asOf = now;
    if (this.#allowance >= 0) return 0;
    return Math.max(leastRestMs, Math.ceil((-this.#allowance * 1000) / this.#perSecond));
  }
}
