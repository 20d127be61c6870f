import type { Clock, Timer } from '#mqtt';

/** What setTimeout can wait for; a longer time would fire at once. */
const longestTimeoutMs = 2 ** 31 - 1;

/** A smaller difference to the time of day is left as it is: NTP itself steers clocks that are up to half a second off. */
const toleratedMs = 1_000;
/** While the time of day is behind, this clock goes slower by so much; limits by the second are stricter by as much. */
const slowerBy = 0.1;

/**
 * The time of day, which readings are stamped with, made so that it never goes back. It is the time at the process's start and how long the
 * process has run since. That is wrong after the machine was asleep, or where its clock was wrong at the start. So where the machine's
 * clock is ahead, this one steps to it (`setForwardMs`); where it is behind, this one goes slower until they meet, so that the order of
 * what has been stamped stays.
 */
export class SystemClock implements Clock {
  setForwardMs = 0;
  #offset: number;
  #elapsed: number;

  constructor(
    private readonly timeOfDay = (): number => Date.now(),
    private readonly elapsed = (): number => performance.now(),
  ) {
    this.#elapsed = elapsed();
    this.#offset = timeOfDay() - this.#elapsed;
  }

  now(): number {
    const elapsed = this.elapsed();
    const aheadMs = this.timeOfDay() - (elapsed + this.#offset);
    if (aheadMs > toleratedMs) {
      this.setForwardMs += aheadMs;
      this.#offset += aheadMs;
    } else if (aheadMs < -toleratedMs) this.#offset -= (elapsed - this.#elapsed) * slowerBy;
    this.#elapsed = elapsed;
    return Math.floor(elapsed + this.#offset);
  }

  after(ms: number, callback: () => void): Timer {
    const deadline = performance.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const left = deadline - performance.now();
      if (left <= 0) callback();
      else timer = setTimeout(wait, Math.min(left, longestTimeoutMs)).unref();
    };
    timer = setTimeout(wait, Math.min(ms, longestTimeoutMs)).unref();
    return { cancel: () => clearTimeout(timer) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}

export const systemClock: Clock = new SystemClock();
