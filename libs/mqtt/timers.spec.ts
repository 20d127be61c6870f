import { beforeEach, describe, expect, it } from '@jest/globals';

import { FakeClock } from './testing/index.js';
import { Deadline } from './timers.js';

let clock: FakeClock;
let from: number;
/** When it called back, after so many milliseconds. */
let called: number[];

beforeEach(() => {
  clock = new FakeClock();
  from = clock.now();
  called = [];
});

function deadline(ms: number, waitMs?: number): Deadline {
  return new Deadline(clock, from + ms, () => called.push(clock.now() - from), waitMs);
}

describe('a deadline', () => {
  it('calls back once, at its time, however often it looks at the clock meanwhile', async () => {
    deadline(1_234);
    deadline(2_345, 500);
    await clock.advance(10_000);
    expect(called).toEqual([1_234, 2_345]);
  });

  it('that is moved calls back within 100 ms of its time, and not before', async () => {
    const moved = deadline(1_000);
    await clock.advance(901);
    moved.moveTo(from + 1_901);
    await clock.advance(10_000);
    expect(called).toEqual([2_000]);
  });

  it('waits in steps that others wait in too, whenever it was moved', async () => {
    const waits = new Set<number>();
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => {
      waits.add(ms);
      return after(ms, callback);
    };
    const many = Array.from({ length: 1_000 }, () => deadline(1_500));
    for (const one of many) {
      await clock.advance(1);
      one.moveTo(clock.now() + 1_500);
    }
    await clock.advance(5_000);
    expect(called).toHaveLength(1_000);
    expect(waits.size).toBeLessThanOrEqual(12);
  });

  it('that is called off never calls back', async () => {
    const off = deadline(1_000);
    off.moveTo(from + 2_000);
    await clock.advance(1_500);
    off.cancel();
    await clock.advance(5_000);
    expect(called).toEqual([]);
  });
});
