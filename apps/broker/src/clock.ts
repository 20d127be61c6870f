import type { Clock, Timer } from '#mqtt';

/** What setTimeout can wait for; a longer time would fire at once. */
const longestTimeoutMs = 2 ** 31 - 1;

/** By less than this the time of day may be another: NTP sets a clock that is half a second off, and steers it up to there. */
const toleratedMs = 1_000;
/** While the time of day is behind, so much of the time that passes is left out. Limits by the second are stricter by as much. */
const slowerBy = 0.1;

/**
 * The time of day, for it is what readings are stamped with, and it never steps back. How long the process has run says what time it is;
 * that leaves out how long the machine was asleep, or its virtual machine halted, and knows nothing of a clock that was wrong when the
 * process started. So where the time of day is ahead, this steps to it, and says by how much; where it is behind, this goes
 * slower until they meet, because what has been stamped is in its order.
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
