import type { Clock, Timer } from './ports.js';

/** So many messages of its queue a client has to take in so long, or nobody waits for it, for a while; a large one is several. */
const leastTaken = 128;
const bytesOfOne = 2_048;
const withinMs = 50;
const restMs = 1_000;

/**
 * Publishers that never pause go on at the pace of those who read. A client that takes what it is sent, and acknowledges it, falls
 * behind all the same where messages come in faster than acknowledgements go round: its window is full, the rest is queued, which
 * costs several times what sending it would, so that it falls behind further, until the queue is full and messages are dropped.
 * So whoever used up its share of a turn and filled a queue with it waits until that has been taken.
 *
 * A client that is slow for reasons of its own must not slow its publishers: it is waited for only while it goes on taking
 * thousands of messages a second, and holds them up for a twentieth of the time where it does not. Nor must many such clients, one
 * after the other: who has just waited in vain waits only for those that were worth it when they were waited for last.
 */
export class Pace {
  readonly #clock: Clock;
  #waiting: ((wasInVain: boolean) => void)[] = [];
  #since = 0;
  #taken = 0;
  #timer: Timer | undefined = undefined;
  #restsUntil = 0;
  #wasWorthIt = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * `goOn` is called when the queue is not crowded any more, or it is not worth waiting. False: it is not, already. `inVainAt`: when
   * whoever wants to wait did so in vain.
   */
  wait(inVainAt: number, goOn: (wasInVain: boolean) => void): boolean {
    const now = this.#clock.now();
    if (now < this.#restsUntil) return false;
    if (!this.#wasWorthIt && now - inVainAt < restMs) return false;
    this.#waiting.push(goOn);
    if (this.#timer === undefined) this.#watch();
    return true;
  }

  #watch(): void {
    this.#since = this.#clock.now();
    this.#taken = 0;
    this.#timer = this.#clock.after(withinMs, () => {
      this.#timer = undefined;
      if (this.#judge()) this.#watch();
      else this.#release(true);
    });
  }

  /** Whether the client takes enough. Where it does not, nobody waits for it for a while. */
  #judge(): boolean {
    const now = this.#clock.now();
    this.#wasWorthIt = this.#taken * withinMs >= leastTaken * (now - this.#since);
    if (!this.#wasWorthIt) this.#restsUntil = now + restMs;
    return this.#wasWorthIt;
  }

  /** The client was sent one message of its queue. */
  took(bytes: number, isCrowded: boolean): void {
    this.#taken += Math.max(1, bytes / bytesOfOne);
    // One that takes a single message now and then, just when it must, is not worth it either.
    if (!isCrowded && this.#waiting.length > 0) this.#release(!this.#judge());
  }

  /** Whoever finds it crowded again when it is served waits again. */
  letGo(): void {
    if (this.#waiting.length > 0) this.#release(false);
  }

  #release(wasInVain: boolean): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const goOn of waiting) goOn(wasInVain);
  }
}
