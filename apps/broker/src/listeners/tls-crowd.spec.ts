import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { TlsCrowd } from './tls-crowd.js';

describe('a crowd of TLS connections', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('lets the heap grow from its 32nd on, and V8 decides again when it is over: each is said once', () => {
    const flags: string[] = [];
    const tls = new TlsCrowd((flag) => flags.push(flag));
    for (const inSecond of [31, 32, 600, 1, 0]) {
      for (let i = 0; i < inSecond; i += 1) tls.came();
      jest.advanceTimersByTime(1_000);
    }
    expect(flags).toEqual(['--heap-growing-percent=300', '--heap-growing-percent=0']);
    expect(jest.getTimerCount()).toBe(0);
  });
});
