import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { queryAsSuperuser } from '../../../test/support/api.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { openControlStore, type ControlStore } from './control-store.js';
import { countKept, keepAnswer, reserveRequest } from './kept-requests.js';

const request = { scope: 'mk_1', key: 'once', tenantId: null, requestHash: Buffer.alloc(32, 1) };

describe('a kept request', () => {
  let database: TestDatabase;
  let store: ControlStore;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl });
  });

  afterAll(async () => {
    await store.close();
    await database.drop();
  });

  it('that was given up too early, and came again, has the answer of whoever did the work', async () => {
    const reserve = () => store.platform((tx) => reserveRequest(tx, request));
    const keep = (answer: string) =>
      store.platform((tx) => keepAnswer(tx, request, 200, Buffer.from(answer)));
    expect(await reserve()).toBeUndefined();
    await queryAsSuperuser(database, `UPDATE idempotency_keys SET created_at = now() - interval '2 minutes'`);
    expect(await reserve()).toBeUndefined();
    await keep('created, and these are the passwords');
    await keep('everything is there already');
    expect(Buffer.from((await reserve())?.answer ?? []).toString()).toBe(
      'created, and these are the passwords',
    );
  });

  it('is counted with its answer, whole, for its tenant', async () => {
    const [tenantId, other] = [randomUUID(), randomUUID()];
    const count = (id: string) => store.platform((tx) => countKept(tx, id));
    for (const [key, bytes] of [
      ['small', 100],
      ['large', 300_000],
    ] as const) {
      const mine = { ...request, key, tenantId };
      await store.platform((tx) => reserveRequest(tx, mine));
      await store.platform((tx) => keepAnswer(tx, mine, 200, randomBytes(bytes)));
    }
    expect(await count(other)).toEqual({ requests: 0, bytes: 0 });
    const { requests, bytes } = await count(tenantId);
    expect(requests).toBe(2);
    expect(bytes).toBeGreaterThan(400_000); // in base64
    expect(bytes).toBeLessThan(410_000);
  });
});
