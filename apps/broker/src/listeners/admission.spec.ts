import { describe, expect, it } from '@jest/globals';

import { TokenBuckets } from '../token-buckets.js';
import { Admission, maxConnectionsOf, plainAddress } from './admission.js';

describe('admission', () => {
  it('lets no more connections in than the process can hold, and lets another in when one leaves', () => {
    const door = new Admission(2);
    expect([door.enter('10.0.0.1'), door.enter('10.0.0.2')]).toEqual([undefined, undefined]);
    expect(door.enter('10.0.0.3')).toBe('too-many-connections');
    door.leave();
    expect(door.enter('10.0.0.3')).toBeUndefined();
  });

  it('slows one address down and no other, and is generous on loopback', () => {
    let now = 0;
    const door = new Admission(1_000_000, new TokenBuckets(() => now));
    const burst = Array.from({ length: 1_001 }, () => door.enter('10.0.0.1'));
    expect(burst.filter((denied) => denied === 'rate')).toHaveLength(1);
    expect(door.enter('10.0.0.2')).toBeUndefined();
    now += 1_000;
    const second = Array.from({ length: 201 }, () => door.enter('10.0.0.1'));
    expect(second.filter((denied) => denied === 'rate')).toHaveLength(1);
    const loopback = Array.from({ length: 50_000 }, () => door.enter('127.0.0.1'));
    expect(loopback.filter((denied) => denied !== undefined)).toHaveLength(0);
  });

  it('sizes itself by the files that the process may open', () => {
    expect(maxConnectionsOf(20_000)).toBe(19_744);
    expect(maxConnectionsOf('unlimited')).toBe(1_000_000);
    expect(maxConnectionsOf(undefined)).toBe(1_000_000);
    expect(maxConnectionsOf(64)).toBe(16);
  });

  it('takes an IPv4 client of a dual-stack listener for what it is', () => {
    expect(plainAddress('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(plainAddress('2001:db8::1')).toBe('2001:db8::1');
  });
});
