import { describe, expect, it } from '@jest/globals';

import { AddressFence, AddressSet, normalizeAddress, normalizeRange } from './address.js';

describe('an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['192.0.2', undefined],
    ['0x7f.1', undefined],
    ['', undefined],
    ['host.example', undefined],
  ])('%j is known as %j', (text, expected) => expect(normalizeAddress(text)).toBe(expected));
});

describe('a range of addresses', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['2001:db8::/32', '2001:db8::/32'],
    ['::1', '::1/128'],
    ['::/0', '::/0'],
    ['10.0.0.0/33', undefined],
    ['10.0.0.0/08', undefined],
    ['10.0.0.0/8/8', undefined],
    ['10.0.0.0/', undefined],
    ['::ffff:10.0.0.0/8', undefined],
    ['fe80::1%eth0/64', undefined],
    ['/8', undefined],
  ])('%j is read as %j', (text, expected) => expect(normalizeRange(text)).toBe(expected));

  it('holds an IPv4 address however it came, and nothing that is no address', () => {
    const set = new AddressSet(['10.0.0.0/8', '2001:db8::/32']);
    expect(['10.255.0.1', '::ffff:10.0.0.1', '::ffff:a00:1', '2001:db8::5'].map((a) => set.has(a))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(['11.0.0.1', '2001:db9::', '::10.0.0.1', '', 'x'].map((a) => set.has(a))).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('an address fence', () => {
  it('lets a deny win over an allow, and everybody in without either', () => {
    const fence = new AddressFence({ allow: ['10.0.0.0/8'], deny: ['10.0.0.0/24'] });
    expect(fence.faultOf('10.0.1.1')).toBeUndefined();
    expect(fence.faultOf('10.0.0.1')).toBe('denied');
    expect(fence.faultOf('192.0.2.1')).toBe('not-allowed');
    expect(new AddressFence({}).faultOf('192.0.2.1')).toBeUndefined();
    expect(new AddressFence({ allow: [] }).faultOf('192.0.2.1')).toBe('not-allowed');
  });

  it('gives an address that is not known no right', () => {
    expect(new AddressFence({ deny: ['10.0.0.0/24'] }).faultOf(undefined)).toBe('denied');
    expect(new AddressFence({ allow: ['::/0', '0.0.0.0/0'] }).faultOf(undefined)).toBe('not-allowed');
    expect(new AddressFence({}).faultOf(undefined)).toBeUndefined();
  });
});
