import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { TlsCrowd } from './tls-crowd.js';

describe('a crowd of TLS connections', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  const flagsOf = (crowd: (came: (count: number) => void) => void): string[] => {
    const flags: string[] = [];
    const tls = new TlsCrowd((flag) => flags.push(flag));
    crowd((count) => {
      for (let i = 0; i < count; i += 1) tls.came();
    });
    jest.advanceTimersByTime(10_000);
    return flags;
  };

  it('lets the heap grow as long as it comes, and V8 decides again when it is over', () => {
    const flags = flagsOf((came) => {
      came(31);
      jest.advanceTimersByTime(1_000);
      came(32);
      jest.advanceTimersByTime(1_000);
      came(600);
    });
    expect(flags).toEqual([0, 300, 300, 0].map((percent) => `--heap-growing-percent=${percent}`));
    expect(jest.getTimerCount()).toBe(0);
  });
});
