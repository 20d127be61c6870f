import { describe, expect, it } from '@jest/globals';
import { defaultLimits } from '#mqtt';
import { tenantLimits } from '../apps/api/src/tenants/tenant.schema.js';

describe('the limits a tenant can be given', () => {
  it("are the broker's, by the same names, and take the broker's defaults; and one of the api's own", () => {
    expect(new Set(Object.keys(tenantLimits.shape))).toEqual(
      new Set([...Object.keys(defaultLimits), 'maxDevices']),
    );
    expect(tenantLimits.parse(defaultLimits)).toEqual(defaultLimits);
  });
});
