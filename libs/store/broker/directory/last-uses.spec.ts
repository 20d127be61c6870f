import { afterAll, beforeAll, beforeEach, expect, it, jest } from '@jest/globals';
import { Pool } from 'pg';

import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { createTestTenant, type TestTenant } from '../../../../test/support/tenant.js';
import { openControlStore, type ControlStore } from '../../control/control-store.js';
import { LastUses } from './last-uses.js';

const noon = Date.UTC(2026, 0, 1, 12);

let database: TestDatabase;
let store: ControlStore;
let pool: Pool;
let tenant: TestTenant;
let errors: unknown[];
let uses: LastUses;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 2 });
  pool = new Pool({ connectionString: database.brokerUrl, max: 2 });
});
afterAll(async () => {
  await Promise.all([store.close(), pool.end()]);
  await database.drop();
});
beforeEach(async () => {
  tenant = await createTestTenant(store, database.secretKey);
  errors = [];
  uses = new LastUses(pool, (error) => errors.push(error));
});

const lastOf = (of: TestTenant) =>
  store.tenant(of.id, ({ db }) =>
    db.credential.findMany({ select: { id: true, lastUsedAt: true, lastUsedFrom: true } }),
  );

it('of several uses the last is written, of the tenant that it was noted for', async () => {
  const { credentialId } = await tenant.addDevice('pump');
  const twin = await createTestTenant(store, database.secretKey);
  await twin.addDevice('pump');
  uses.note(twin.id, credentialId, '192.0.2.9', noon);
  uses.note(tenant.id, credentialId, '192.0.2.1', noon);
  uses.note(tenant.id, credentialId, '192.0.2.2', noon + 1);
  await uses.write();
  expect(await lastOf(tenant)).toEqual([
    { id: credentialId, lastUsedAt: new Date(noon + 1), lastUsedFrom: '192.0.2.2' },
  ]);
  expect(await lastOf(twin)).toMatchObject([{ lastUsedAt: null }]);
});

it('a fleet that comes at once is written down in pieces', async () => {
  const { id: deviceId } = await tenant.addDevice('gateway');
  await store.tenant(tenant.id, ({ db }) =>
    db.credential.createMany({
      data: Array.from({ length: 1_200 }, (_, i) => ({
        tenantId: tenant.id,
        deviceId,
        authId: `of-${i}`,
        secretHash: new Uint8Array(32),
      })),
    }),
  );
  const query = jest.spyOn(pool, 'query');
  for (const { id } of await lastOf(tenant)) uses.note(tenant.id, id, '192.0.2.1', noon);
  await uses.write();
  expect(query.mock.calls.map(([, values]) => (values as unknown[][])[0]?.length)).toEqual([500, 500, 201]);
  expect(await lastOf(tenant)).toHaveLength(1_201);
  expect((await lastOf(tenant)).every(({ lastUsedAt }) => lastUsedAt?.getTime() === noon)).toBe(true);
});

it('what cannot be written is told and forgotten', async () => {
  const { credentialId } = await tenant.addDevice('pump');
  uses.note(tenant.id, credentialId, 'no\0address', noon);
  await uses.write();
  expect(errors).toHaveLength(1);
  uses.note(tenant.id, credentialId, '192.0.2.1', noon);
  await uses.write();
  expect(await lastOf(tenant)).toMatchObject([{ lastUsedAt: new Date(noon) }]);
});
