import type { Clock, Timer } from '#mqtt';

/** What setTimeout can wait for; a longer time would fire at once. */
const longestTimeoutMs = 2 ** 31 - 1;

/**
 * The time of day when the process started, and how long it has run since: a wall clock that is set back, or jumps, neither
 * ends keep-alives nor brings expired messages back.
 */
export const systemClock: Clock = {
  now: () => Math.floor(performance.timeOrigin + performance.now()),
  after(ms, callback) {
    const deadline = performance.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const left = deadline - performance.now();
      if (left <= 0) callback();
      else timer = setTimeout(wait, Math.min(left, longestTimeoutMs)).unref();
    };
    timer = setTimeout(wait, Math.min(ms, longestTimeoutMs)).unref();
    return { cancel: () => clearTimeout(timer) } satisfies Timer;
  },
  soon: (callback) => void setImmediate(callback),
};
