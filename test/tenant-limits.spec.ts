import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defaultLimits } from '#mqtt';
import { tenantLimits } from '../apps/api/src/tenants/tenant.schema.js';
import { TenantLimits } from '../apps/broker/src/gate/limits.js';

describe('the limits a tenant can be given', () => {
  it("are the broker's, by the same names, and take the broker's defaults; and one of the api's own", () => {
    expect(new Set(Object.keys(tenantLimits.shape))).toEqual(
      new Set([...Object.keys(defaultLimits), 'maxDevices']),
    );
    expect(tenantLimits.parse(defaultLimits)).toEqual(defaultLimits);
  });

  it('say in the OpenAPI document what they are of, and their defaults', () => {
    const defaults = { ...defaultLimits, maxDevices: 'none' };
    const { properties = {} } = z.toJSONSchema(z.object(tenantLimits.shape));
    const said = Object.entries(properties).map(([name, member]) => [
      name,
      /^\S.*\. Default: (\w+)$/.exec(Object(member).description)?.[1],
    ]);
    expect(Object.fromEntries(said)).toEqual(
      Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, String(value)])),
    );
  });

  it('are listed in docs/operations.md, with their defaults', () => {
    const page = readFileSync(join(import.meta.dirname, '../docs/operations.md'), 'utf8');
    const section = /^## What a tenant may use$(.*?)^## /ms.exec(page)?.[1] ?? '';
    const rows = Array.from(
      section.matchAll(/^\| (`.*?`) \| (.*?) \|/gm),
      ([, names = '', defaults = '']) => {
        const values = defaults.split(', ');
        return Array.from(names.matchAll(/`(\w+)`/g), ([, name = ''], at) => [name, values[at]] as const);
      },
    );
    const expected = Object.entries(defaultLimits).map(([name, value]) => [name, String(value)] as const);
    expect(Object.fromEntries(rows.flat())).toEqual({
      ...Object.fromEntries(expected),
      maxDevices: 'none',
    });
  });

  it('are such as the broker takes: of what the api takes it leaves nothing aside', () => {
    const edges = [0, 1, 2, 22, 23, 100, 1_023, 1_024, 65_535, 65_536, 2 ** 31 - 1, 0xffff_ffff, 2 ** 40];
    const refused = Object.keys(defaultLimits).flatMap((name) =>
      edges
        .map((value) => ({ [name]: value }))
        .filter((limits) => tenantLimits.safeParse(limits).success)
        .filter((limits) => new TenantLimits().of(limits).unusable.length > 0),
    );
    expect(refused).toEqual([]);
  });
});
