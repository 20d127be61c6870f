import { beforeEach, describe, expect, it } from '@jest/globals';

import { SystemClock } from './clock.js';

const start = Date.UTC(2026, 10, 30, 12);
const second = 1_000;
const hour = 3_600_000;

let timeOfDay: number;
let elapsed: number;
let clock: SystemClock;

beforeEach(() => {
  timeOfDay = start;
  elapsed = 500;
  clock = new SystemClock(
    () => timeOfDay,
    () => elapsed,
  );
});

function pass(ms: number): void {
  timeOfDay += ms;
  elapsed += ms;
}

describe('the clock of a broker process', () => {
  it('tells the time of day', () => {
    pass(hour + 0.5);
    expect(clock.now()).toBe(start + hour);
    expect(clock.setForwardMs).toBe(0);
  });

  it('goes by what has passed where the time of day is steered', () => {
    timeOfDay += second;
    expect(clock.now()).toBe(start);
    timeOfDay -= 2 * second;
    pass(second);
    expect(clock.now()).toBe(start + second);
    expect(clock.setForwardMs).toBe(0);
  });

  it('has the time of day again when the machine was asleep, and says for how long', () => {
    timeOfDay += 8 * hour;
    expect(clock.now()).toBe(start + 8 * hour);
    expect(clock.setForwardMs).toBe(8 * hour);
    pass(second);
    expect(clock.now()).toBe(start + 8 * hour + second);
    expect(clock.setForwardMs).toBe(8 * hour);
  });

  it('never steps back, and goes slower until it is the time of day again', () => {
    const before = clock.now();
    timeOfDay -= 10 * second;
    expect(clock.now()).toBe(before);
    let last = before;
    for (let i = 0; i < 100; i++) {
      pass(second);
      const now = clock.now();
      expect(now - last).toBeGreaterThanOrEqual(899);
      last = now;
    }
    expect(last - timeOfDay).toBeLessThanOrEqual(second);
    expect(last).toBeGreaterThanOrEqual(timeOfDay);
  });
});
