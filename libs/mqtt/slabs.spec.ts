import { describe, expect, it } from '@jest/globals';

import { giveBack, largestSlab, takeSlab } from './slabs.js';

const mebibyte = 1024 * 1024;

describe('slabs', () => {
  it('are as large as is asked for, and used again', () => {
    for (const bytes of [1, 255, 256, 257, 5_000, 65_600, largestSlab]) {
      const slab = takeSlab(bytes);
      expect(slab.length).toBeGreaterThanOrEqual(bytes);
      giveBack(slab);
      expect(takeSlab(bytes)).toBe(slab);
    }
  });

  it('over the largest size are made for the occasion', () => {
    const slab = takeSlab(largestSlab + 1);
    expect(slab.length).toBe(largestSlab + 1);
    giveBack(slab);
    expect(takeSlab(largestSlab + 1)).not.toBe(slab);
  });

  it('are kept up to 32 MiB in all, and what was wanted once gives way to what is wanted now', () => {
    const large = new Set(Array.from({ length: 200 }, () => takeSlab(largestSlab)));
    for (const slab of large) giveBack(slab);
    const small = takeSlab(1_000);
    giveBack(small);
    expect(takeSlab(1_000)).toBe(small);
    let kept = 0;
    while (large.has(takeSlab(largestSlab))) kept += 1;
    expect(kept * largestSlab).toBeLessThanOrEqual(32 * mebibyte);
    expect(kept * largestSlab).toBeGreaterThan(30 * mebibyte);
  });
});
