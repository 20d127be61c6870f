import type { Clock, Timer } from './ports.js';

/** So many messages of its queue a client has to take in so long, or nobody waits for it, for a while. */
const leastTaken = 128;
const withinMs = 50;
const restMs = 1_000;

/**
 * Publishers that never pause go on at the pace of those who read. A client that takes what it is sent, and acknowledges it, falls
 * behind all the same where messages come in faster than acknowledgements go round: its window is full, the rest is queued, which
 * costs several times what sending it would, so that it falls behind further, until the queue is full and messages are dropped.
 * So whoever used up its share of a turn and filled a queue with it waits until that has been taken.
 *
 * A client that is slow for reasons of its own must not slow its publishers: it is waited for only while it goes on taking
 * thousands of messages a second, and holds them up for a twentieth of the time where it does not.
 */
export class Pace {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  #taken = 0;
  #timer: Timer | undefined = undefined;
  #restsUntil = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `goOn` is called when the queue is not crowded any more, or it is not worth waiting. False: it is not, already. */
  wait(goOn: () => void): boolean {
    if (this.#clock.now() < this.#restsUntil) return false;
    this.#waiting.push(goOn);
    if (this.#timer === undefined) this.#watch();
    return true;
  }

  #watch(): void {
    this.#taken = 0;
    this.#timer = this.#clock.after(withinMs, () => {
      this.#timer = undefined;
      if (this.#taken >= leastTaken) return this.#watch();
      this.#restsUntil = this.#clock.now() + restMs;
      this.letGo();
    });
  }

  /** The client was sent one message of its queue. */
  took(isCrowded: boolean): void {
    this.#taken += 1;
    if (!isCrowded) this.letGo();
  }

  /** Whoever finds it crowded again when it is served waits again. */
  letGo(): void {
    if (this.#waiting.length === 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const goOn of waiting) goOn();
  }
}
