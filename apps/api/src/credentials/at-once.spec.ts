import { describe, expect, it } from '@jest/globals';

import { AtOnce } from './at-once.js';

describe('work of which so much is done at once', () => {
  it('waits in its order, and whoever fails gives way as well', async () => {
    const atOnce = new AtOnce(2);
    const begun: number[] = [];
    const ends: ((error?: Error) => void)[] = [];
    const work = (n: number): Promise<number> =>
      atOnce.run(() => {
        begun.push(n);
        return new Promise((resolve, reject) => {
          ends[n] = (error) => (error === undefined ? resolve(n) : reject(error));
        });
      });
    const done = [0, 1, 2, 3].map(work);
    expect(begun).toEqual([0, 1]);
    ends[1]?.(new Error('no'));
    await expect(done[1]).rejects.toThrow('no');
    expect(begun).toEqual([0, 1, 2]);
    ends[2]?.();
    expect(await done[2]).toBe(2);
    ends[0]?.();
    expect(await done[0]).toBe(0);
    ends[3]?.();
    expect([await done[3], begun]).toEqual([3, [0, 1, 2, 3]]);
    const later = work(4);
    expect(begun).toHaveLength(5);
    ends[4]?.();
    expect(await later).toBe(4);
  });
});
