import { describe, expect, it } from '@jest/globals';

import type { TenantId } from '#mqtt';

import { Remembered } from './remembered.js';

const a = 'a' as TenantId;
const b = 'b' as TenantId;

describe('what is remembered', () => {
  it('is bounded, and a tenant with more than its share makes room of its own', () => {
    const kept = new Remembered<number>(10);
    kept.set('b0', b, 0);
    kept.set('b1', b, 1);
    for (let i = 0; i < 100; i++) kept.set(`a${i}`, a, i);
    expect(kept.size).toBe(10);
    expect(['b0', 'b1', 'a91', 'a99'].map((place) => kept.get(place))).toEqual([0, 1, undefined, 99]);
  });

  it('makes room in the time that it takes to remember, however much there is', () => {
    const kept = new Remembered<number>(100_000);
    const msFor = (from: number, to: number): number => {
      const began = performance.now();
      for (let i = from; i < to; i++) kept.set(`${i}`, a, i);
      return performance.now() - began;
    };
    const whileThereIsRoom = msFor(0, 100_000);
    expect(msFor(100_000, 200_000)).toBeLessThan(10 * whileThereIsRoom);
    expect([99_000, 101_000].map((i) => kept.get(`${i}`))).toEqual([undefined, 101_000]);
  });

  it('is what was used last', () => {
    const kept = new Remembered<number>(2);
    kept.set('0', a, 0);
    kept.set('1', a, 1);
    kept.get('0');
    kept.set('2', a, 2);
    expect([kept.get('0'), kept.get('1')]).toEqual([0, undefined]);
  });

  it('is forgotten of one tenant, or of all, where it is concerned', () => {
    const kept = new Remembered<number>(10);
    const there = (): boolean[] => ['a0', 'a1', 'b0'].map((place) => kept.get(place) !== undefined);
    kept.set('a0', a, 0);
    kept.set('a1', a, 1);
    kept.set('b0', b, 0);
    kept.forget(a, (value) => value === 0);
    expect(there()).toEqual([false, true, true]);
    kept.forget(undefined, () => true);
    expect(there()).toEqual([false, false, false]);
    expect(kept.size).toBe(0);
  });

  describe('of a tenant that has thousands', () => {
    const count = 5_000;
    function many(): Remembered<number> {
      const kept = new Remembered<number>(50_000);
      for (let i = 0; i < count; i++) kept.set(`a${i}`, a, i);
      return kept;
    }
    const knows = (kept: Remembered<number>, i: number): boolean => kept.get(`a${i}`) !== undefined;
    const is =
      (one: number) =>
      (value: number): boolean =>
        value === one;

    it('is not looked at one by one for a change: the loop serves others too', () => {
      const kept = many();
      let looks = 0;
      const isConcerned = (): boolean => {
        looks += 1;
        return false;
      };
      for (const tenantId of [a, undefined]) kept.forget(tenantId, isConcerned);
      expect(looks).toBeLessThan(500);
    });

    it('is forgotten where a change concerned it, however many came since, and lives on where none did', () => {
      const kept = many();
      kept.forget(a, is(7));
      kept.forget(undefined, is(8));
      for (let i = 0; i < 200; i++) kept.forget(a, is(-1));
      expect([7, 8, 9].map((i) => knows(kept, i))).toEqual([false, false, true]);
      kept.forget(a, is(9));
      expect(knows(kept, 9)).toBe(false);
    });

    it('is taken to be concerned by a change that nobody remembers', () => {
      for (const tenantId of [a, undefined]) {
        const kept = many();
        kept.forget(tenantId, is(7));
        for (let i = 0; i < 2_000; i++) {
          kept.forget(tenantId, is(-1));
          if (i % 100 === 0) expect(knows(kept, 9)).toBe(true); // it comes again and again
        }
        expect([7, 8, 9].map((i) => knows(kept, i))).toEqual([false, false, true]);
      }
    });

    it('is not concerned by what was changed before it was remembered', () => {
      const kept = many();
      kept.forget(a, () => true);
      expect(knows(kept, 7)).toBe(false);
      kept.set('a7', a, 7);
      expect([7, 8].map((i) => knows(kept, i))).toEqual([true, false]);
    });
  });
});
