import { describe, expect, it } from '@jest/globals';

import { defaultLimits, type Grant, type TenantId } from '#mqtt';
import { policyOf } from '#mqtt/testing';

import { type Concern, RememberedGrants } from './remembered-grants.js';

function of(tenantId: string, clientId: string): { grant: Grant; serverName: undefined } {
  const principal = { tenantId, deviceId: 'd', credentialId: 'c', username: 'u', clientId };
  return {
    serverName: undefined,
    grant: {
      kind: 'granted',
      principal: principal as unknown as Grant['principal'],
      tenantSlug: tenantId,
      limits: defaultLimits,
      policy: policyOf({}),
      publishDenied: 'acknowledge',
      expiresAt: undefined,
    },
  };
}

describe('remembered grants', () => {
  it('are bounded, and a tenant with more than its share makes room of its own', () => {
    const grants = new RememberedGrants(10);
    grants.set('b0', of('b', '0'));
    grants.set('b1', of('b', '1'));
    for (let i = 0; i < 100; i++) grants.set(`a${i}`, of('a', String(i)));
    expect(grants.size).toBe(10);
    expect(grants.get('b0')).toBeDefined();
    expect(grants.get('b1')).toBeDefined();
    expect(grants.get('a91')).toBeUndefined();
    expect(grants.get('a99')).toBeDefined();
  });

  it('keep what was used last', () => {
    const grants = new RememberedGrants(2);
    grants.set('0', of('a', '0'));
    grants.set('1', of('a', '1'));
    grants.get('0');
    grants.set('2', of('a', '2'));
    expect([grants.get('0'), grants.get('1')].map((known) => known !== undefined)).toEqual([true, false]);
  });

  it('are forgotten of one tenant, or of all, where they are concerned', () => {
    const grants = new RememberedGrants(10);
    const there = (): boolean[] => ['a0', 'a1', 'b0'].map((place) => grants.get(place) !== undefined);
    grants.set('a0', of('a', '0'));
    grants.set('a1', of('a', '1'));
    grants.set('b0', of('b', '0'));
    grants.forget({ tenantId: 'a' as TenantId, includes: ({ clientId }) => clientId === '0' });
    expect(there()).toEqual([false, true, true]);
    grants.forget({ tenantId: undefined, includes: () => true });
    expect(there()).toEqual([false, false, false]);
    expect(grants.size).toBe(0);
  });

  describe('of a tenant that has thousands', () => {
    const count = 5_000;
    function many(): RememberedGrants {
      const grants = new RememberedGrants();
      for (let i = 0; i < count; i++) grants.set(`a${i}`, of('a', String(i)));
      return grants;
    }
    const knows = (grants: RememberedGrants, i: number): boolean => grants.get(`a${i}`) !== undefined;
    const isOf =
      (clientId: string): Concern['includes'] =>
      (principal) =>
        principal.clientId === clientId;

    it('are not looked at one by one for a change: the loop serves others too', () => {
      const grants = many();
      let looks = 0;
      const includes = (): boolean => {
        looks += 1;
        return false;
      };
      for (const tenantId of ['a' as TenantId, undefined]) grants.forget({ tenantId, includes });
      expect(looks).toBeLessThan(500);
    });

    it('are forgotten where a change concerned them, however many came since, and live on where none did', () => {
      const grants = many();
      const tenantId = 'a' as TenantId;
      grants.forget({ tenantId, includes: isOf('7') });
      grants.forget({ tenantId: undefined, includes: isOf('8') });
      for (let i = 0; i < 200; i++) grants.forget({ tenantId, includes: isOf('nobody') });
      expect([7, 8, 9].map((i) => knows(grants, i))).toEqual([false, false, true]);
      grants.forget({ tenantId, includes: isOf('9') });
      expect(knows(grants, 9)).toBe(false);
    });

    it('are taken to be concerned by a change that nobody remembers', () => {
      for (const tenantId of ['a' as TenantId, undefined]) {
        const grants = many();
        grants.forget({ tenantId, includes: isOf('7') });
        for (let i = 0; i < 2_000; i++) {
          grants.forget({ tenantId, includes: isOf('nobody') });
          if (i % 100 === 0) expect(knows(grants, 9)).toBe(true); // it comes again and again
        }
        expect([7, 8, 9].map((i) => knows(grants, i))).toEqual([false, false, true]);
      }
    });

    it('are not concerned by what was changed before they were given', () => {
      const grants = many();
      grants.forget({ tenantId: 'a' as TenantId, includes: () => true });
      expect(knows(grants, 7)).toBe(false);
      grants.set('a7', of('a', '7'));
      expect([7, 8].map((i) => knows(grants, i))).toEqual([true, false]);
    });
  });
});
