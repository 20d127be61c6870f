import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { seal, unseal } from './seal.js';

const key = randomBytes(32);
const place = { purpose: 'test', place: ['tenant', 'row'] };
const secret = Buffer.from('a private key');

describe('what is sealed', () => {
  it('opens where it was sealed, and looks different each time', () => {
    const [one, two] = [seal(key, place, secret), seal(key, place, secret)];
    expect(one.equals(two)).toBe(false);
    expect(one.includes(secret)).toBe(false);
    expect(unseal(key, place, one)).toEqual(secret);
    expect(unseal(key, place, seal(key, place, Buffer.alloc(0)))).toHaveLength(0);
  });

  it.each([
    ['under another key', randomBytes(32), place],
    ['for another purpose', key, { ...place, purpose: 'other' }],
    ['in another row', key, { ...place, place: ['tenant', 'other'] }],
    ['in another tenant', key, { ...place, place: ['other', 'row'] }],
    ['where the parts run together', key, { ...place, place: ['tenantrow'] }],
  ])('does not open %s', (_, otherKey, otherPlace) => {
    expect(() => unseal(otherKey, otherPlace, seal(key, place, secret))).toThrow(
      /unable to authenticate|too short/,
    );
  });

  it('does not open with any byte changed, cut off or added', () => {
    const sealed = seal(key, place, secret);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => unseal(key, place, changed)).toThrow(/unable to authenticate|too short/);
      expect(() => unseal(key, place, sealed.subarray(0, at))).toThrow(/unable to authenticate|too short/);
    }
    expect(() => unseal(key, place, Buffer.concat([sealed, Buffer.of(0)]))).toThrow(
      /unable to authenticate|too short/,
    );
  });
});
