import { describe, expect, it } from '@jest/globals';
import { SequenceSet } from './sequence-set.js';

function setOf(...sequences: number[]): SequenceSet {
  const set = new SequenceSet();
  for (const sequence of sequences) set.add(sequence);
  return set;
}

describe('a set of sequence numbers', () => {
  it('takes each once, in any order', () => {
    const set = setOf(3, 1, 2);
    expect(set.add(2)).toBe(false);
    expect(set.add(5)).toBe(true);
    expect(set.add(5)).toBe(false);
    expect([set.size, set.has(3), set.has(4), set.has(5)]).toEqual([4, true, false, true]);
  });

  it('tells which another one lacks', () => {
    expect(setOf(1, 2, 3, 5).lackingIn(setOf(1, 3, 4))).toBe(2);
    expect(setOf().lackingIn(setOf(1))).toBe(0);
  });
});
