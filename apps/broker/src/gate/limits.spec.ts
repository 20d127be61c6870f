import { describe, expect, it } from '@jest/globals';
import { defaultLimits } from '#mqtt';
import { TenantLimits } from './limits.js';

describe("a tenant's limits", () => {
  const limits = new TenantLimits();

  it('are the defaults with what the tenant has of its own', () => {
    expect(limits.of({ maxConnections: 5 })).toEqual({
      limits: { ...defaultLimits, maxConnections: 5 },
      unusable: [],
    });
    expect(limits.of({}).limits).toBe(defaultLimits);
  });

  it('are one object for all that have the same', () => {
    expect(limits.of({ publishRate: 7 })).toBe(limits.of({ publishRate: 7 }));
  });

  it('stay the default where what is stored cannot be used, which is said', () => {
    expect(limits.of({ receiveMaximum: 0, maxInFlight: '9', nobodys: 1, maxTopicLevels: 3 })).toEqual({
      limits: { ...defaultLimits, maxTopicLevels: 3 },
      unusable: ['receiveMaximum', 'maxInFlight', 'nobodys'],
    });
  });

  it("leave to the api what is the api's", () => {
    expect(limits.of({ maxDevices: 3 })).toEqual({ limits: defaultLimits, unusable: [] });
  });
});
