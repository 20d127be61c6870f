import type { Clock, Timer } from './ports.js';

/** A client is waited for while it takes at least this many messages of its queue in this time. */
const leastTaken = 128;
const withinMs = 50;
/** A large message counts as one for each of so many bytes. */
const bytesOfOne = 2_048;
/** How long nobody waits for a client that took less. */
const restMs = 1_000;

/**
 * Makes publishers that never pause wait for the subscriber whose queue they fill.
 *
 * Where messages come in faster than acknowledgements go round, even a client that reads and acknowledges falls behind: its window is
 * full and the rest is queued. Queueing costs several times what sending does, so it falls behind further, until messages are dropped.
 * So a publisher that has used up its share of a turn, and filled a queue with it, waits until the queue has been taken.
 *
 * A slow client must not slow its publishers: it is waited for only while it takes thousands of messages a second, and otherwise costs
 * them a twentieth of their time (50 ms in a second). Many slow clients must not do so one after the other: a publisher that has just
 * waited in vain waits only for clients that were worth it when they were waited for last.
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
   * `goOn` is called when the queue is not crowded any more, or waiting has turned out not to be worth it. False: do not wait, it is not
   * worth it now. `inVainAt`: when the one who wants to wait last waited in vain.
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

  /** Lets all who wait go on. Who then finds the queue crowded again waits again. */
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
