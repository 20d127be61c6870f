import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Pool } from 'pg';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../test/support/tenant.js';
import { openControlStore, type ControlStore } from '../control/control-store.js';
import { mostTopicsOfDevice, type Observation, Observations } from './observations.js';
import { observedTopics, usesOfPolicy } from '../control/observed.js';

const dayMs = 86_400_000;
const noon = Date.UTC(2026, 0, 1, 12);
const policyId = '00000000-0000-7000-8000-0000000000aa';

let database: TestDatabase;
let store: ControlStore;
let pool: Pool;
let tenant: TestTenant;
let device: TestDevice;
let errors: unknown[];
let observations: Observations;

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
  device = await tenant.addDevice('pump');
  errors = [];
  observations = new Observations(pool, (error) => errors.push(error));
});

function seen(topic: string, more: Partial<Observation> = {}): Observation {
  const rule = { policyId, version: 1, rule: 0 };
  return {
    tenantId: tenant.id,
    deviceId: device.id,
    clientId: 'c',
    username: device.username,
    action: 'publish',
    topic,
    rule,
    at: noon,
    ...more,
  };
}

const topicsOf = async (of: TestTenant = tenant, deviceId = device.id): Promise<string[]> =>
  (await store.tenant(of.id, (tx) => observedTopics(tx, [deviceId], new Date(0), 1_000))).map(
    ({ topic }) => topic,
  );
const usesOf = (of: TestTenant) => store.tenant(of.id, (tx) => usesOfPolicy(tx, policyId));

describe('what devices do and by which rules', () => {
  it('is written once a day for the same, and says when it was last', async () => {
    for (let i = 0; i < 3; i += 1) observations.note(seen('a'));
    await observations.write();
    observations.note(seen('a', { at: noon + 1_000 }));
    await observations.write();
    expect((await usesOf(tenant)).map(({ lastAt }) => lastAt.getTime())).toEqual([noon]);
    observations.note(seen('a', { at: noon + dayMs }));
    await observations.write();
    expect((await usesOf(tenant)).map(({ lastAt }) => lastAt.getTime())).toEqual([noon + dayMs]);
    expect(await topicsOf()).toEqual(['a']);
    expect(errors).toEqual([]);
  });

  it('is the same topic under another version of its policy: the rule is new, and nothing else', async () => {
    observations.note(seen('a', { clientId: 'first' }));
    await observations.write();
    const rule = { policyId, version: 2, rule: 3 };
    observations.note(seen('a', { clientId: 'second', rule }));
    observations.note(seen('b', { rule }));
    await observations.write();
    const uses = (await usesOf(tenant)).map(({ version, rule: place }) => `${version} ${place}`);
    expect(uses.toSorted()).toEqual(['1 0', '2 3']);
    const rows = await store.tenant(tenant.id, (tx) => observedTopics(tx, [device.id], new Date(0), 10));
    expect(rows.map(({ topic, clientId }) => `${topic} ${clientId}`).toSorted()).toEqual(['a first', 'b c']);
  });

  it('is written whole, however much there is of it, also where more comes meanwhile', async () => {
    const devices = await Promise.all(Array.from({ length: 4 }, (_, i) => tenant.addDevice(`many-${i}`)));
    for (const { id } of devices)
      for (let i = 0; i < 400; i += 1) observations.note(seen(`t/${i}`, { deviceId: id }));
    const first = observations.write();
    observations.note(seen('later'));
    await observations.write();
    await first;
    for (const { id } of devices) expect(await topicsOf(tenant, id)).toHaveLength(400);
    expect(await topicsOf()).toEqual(['later']);
    expect(errors).toEqual([]);
  });

  it('is its own tenant’s, also where devices and policies of two are written together', async () => {
    const other = await createTestTenant(store, database.secretKey);
    const twin = await other.addDevice('pump');
    observations.note(seen('mine'));
    observations.note(seen('theirs', { tenantId: other.id, deviceId: twin.id }));
    await observations.write();
    expect([await topicsOf(), await topicsOf(other, twin.id)]).toEqual([['mine'], ['theirs']]);
    expect(await topicsOf(other, device.id)).toEqual([]);
    expect([(await usesOf(tenant)).length, (await usesOf(other)).length]).toEqual([1, 1]);
  });

  it('is bounded for each device: new topics wait until old ones are gone', async () => {
    for (let i = 0; i < mostTopicsOfDevice; i += 1) observations.note(seen(`t/${i}`));
    await observations.write();
    observations.note(seen('one/too/many'));
    observations.note(seen('t/1', { at: noon + dayMs }));
    await observations.write();
    const topics = await topicsOf();
    expect(topics).toHaveLength(mostTopicsOfDevice);
    expect(topics[0]).toBe('t/1');
    expect(topics).not.toContain('one/too/many');
  });

  it('is written no more than is kept of a device that does ten thousand things, and by which rules it does them', async () => {
    let rows = 0;
    const counted = {
      query: async (text: string, values: unknown[][]) => {
        if (text.includes('observed_topics')) rows += values[0]?.length ?? 0;
        return pool.query(text, values);
      },
    } as unknown as Pool;
    const flooded = new Observations(counted, (error) => errors.push(error));
    for (let i = 0; i < 10_000; i += 1) flooded.note(seen(`t/${i}`));
    flooded.note(seen('u', { rule: { policyId, version: 1, rule: 1 } }));
    await flooded.write();
    expect(rows).toBe(mostTopicsOfDevice);
    expect(await topicsOf()).toHaveLength(mostTopicsOfDevice);
    expect(new Set((await usesOf(tenant)).map(({ rule }) => rule))).toEqual(new Set([0, 1]));
    expect(errors).toEqual([]);
  });

  it('leaves out topics that an index cannot hold', async () => {
    observations.note(seen('é'.repeat(600)));
    observations.note(seen('short'));
    await observations.write();
    expect(await topicsOf()).toEqual(['short']);
    expect(errors).toEqual([]);
  });

  it('is lost, and said to be, where the store is away', async () => {
    const away = new Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
    const lost = new Observations(away, (error) => errors.push(error));
    lost.note(seen('a'));
    await lost.write();
    expect(errors).toHaveLength(1);
    await away.end();
  });
});
