import { describe, expect, it } from '@jest/globals';

import { Reasons, type Refusal } from '#mqtt';

import { networkOf, Throttle } from './throttle.js';

const refusal = (reason: Refusal['reason']): Refusal => ({
  kind: 'refused',
  reason,
  detail: '',
  tenantId: undefined,
});
const wrong = refusal(Reasons.badUserNameOrPassword);

describe('failed sign-ins', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ])('from %s are counted for %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it('of one user from anywhere in a network of IPv6 slow it down there, and nowhere else', () => {
    const throttle = new Throttle();
    for (let i = 0; i < 40; i++) throttle.noteFailure('pump@acme', `2001:db8:1:2::${i.toString(16)}`, wrong);
    expect(throttle.isThrottled('pump@acme', '2001:db8:1:2:ffff::1')).toBe(true);
    expect(throttle.isThrottled('other@acme', '2001:db8:1:2:ffff::1')).toBe(false);
    expect(throttle.isThrottled('pump@acme', '2001:db8:1:3::1')).toBe(false);
  });

  it('are the client’s own: what was down or busy does not count', () => {
    const throttle = new Throttle();
    for (let i = 0; i < 40; i++) {
      for (const reason of [Reasons.serverUnavailable, Reasons.serverBusy, Reasons.connectionRateExceeded]) {
        throttle.noteFailure('pump@acme', '192.0.2.1', refusal(reason));
      }
    }
    expect(throttle.isThrottled('pump@acme', '192.0.2.1')).toBe(false);
  });
});
