/** What the api says of clients that are connected, out of the memory of the broker processes that they are connected to. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { queryAsSuperuser, startTestApi, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { eventually } from './support/product.js';
import type { TestDevice } from './support/tenant.js';

const allow = (actions: string[], ...topics: string[]) => ({ effect: 'allow', actions, topics });
const deny = (actions: string[], topics: string[], when?: object) => ({
  effect: 'deny',
  actions,
  topics,
  when,
});
const active = [allow(['publish', 'subscribe'], '#')];

let api: TestApi;
let installation: TestInstallation;
let here: TestBroker;
let there: TestBroker;
let acme: TestTenant;
let other: TestTenant;
let pump: TestDevice;
let policy: string;

beforeAll(async () => {
  api = await startTestApi();
  installation = await createInstallation(api.database);
  [here, there] = await Promise.all([installation.startBroker(), installation.startBroker()]);
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  pump = await addDevice(acme, 'pump');
  policy = await addPolicy(acme);
  await addPolicy(other);
}, 60_000);

afterAll(async () => {
  await Promise.all([here.stop(), there.stop()]);
  await api.api.close();
  await installation.remove();
});

async function addDevice(tenant: TestTenant, name: string): Promise<TestDevice> {
  const { id } = (await tenant.admin.post(`${tenant.path}/devices`, { name })).body;
  const made = await tenant.admin.post(`${tenant.path}/devices/${id}/credentials`, {
    clientIdRule: { kind: 'any' },
  });
  const { username, password, id: credentialId } = made.body;
  return { id, name, credentialId, username, password };
}

/** Bound to all devices of the tenant. */
async function addPolicy(tenant: TestTenant): Promise<string> {
  const { id } = (await tenant.admin.post(`${tenant.path}/policies`, { name: 'all', rules: active })).body;
  const binding = { policyId: id, targetKind: 'tenant', targetId: tenant.id };
  await tenant.admin.post(`${tenant.path}/policy-bindings`, binding);
  return id;
}

async function diff(rules: unknown[]): Promise<Json> {
  const { status, body } = await acme.viewer.post(`${acme.path}/policies/${policy}/diff`, { rules });
  expect(status).toBe(200);
  return body;
}

const ofSessions = (body: Json): unknown[] =>
  body.changes
    .filter(({ source }: Json) => source === 'session')
    .map(({ clientId, action, topic, isLive, before, after }: Json) => [
      clientId,
      action,
      topic,
      isLive,
      `${before} → ${after}`,
    ])
    .sort();

describe('a dry run of a policy', () => {
  it('is tried on what clients are subscribed to now, whatever their sessions are and whichever process has them', async () => {
    const clean5 = await here.connect(pump, { clientId: 'clean-5' });
    const clean3 = await there.connect(pump, { clientId: 'clean-3', protocolVersion: 4, clean: true });
    const durable = await there.connect(pump, {
      clientId: 'durable',
      properties: { sessionExpiryInterval: 600 },
    });
    const stranger = await here.connect(await addDevice(other, 'pump'), { clientId: 'stranger' });
    for (const client of [clean5, clean3, durable, stranger]) await client.subscribeAsync('valves/1');
    await clean5.subscribeAsync('$share/g/meters/+');
    const body = await diff([allow(['publish', 'subscribe'], 'meters/#')]);
    expect(ofSessions(body)).toEqual([
      ['clean-3', 'subscribe', 'valves/1', true, 'allow → deny'],
      ['clean-5', 'subscribe', 'valves/1', true, 'allow → deny'],
      ['durable', 'subscribe', 'valves/1', true, 'allow → deny'],
    ]);
    expect(body).toMatchObject({ isComplete: true, isLiveComplete: true });
    await durable.unsubscribeAsync('valves/1');
    await Promise.all([clean3, clean5, durable, stranger].map((client) => client.endAsync()));
  });

  it('says who would be shown out, and whose subscriptions would bring less, by how they have come', async () => {
    const plain = await here.connect(pump, { clientId: 'plain' });
    const secure = await here.connect(pump, { clientId: 'secure', transport: 'mqtts' });
    for (const client of [plain, secure]) await client.subscribeAsync('valves/#');
    expect(ofSessions(await diff([...active, deny(['connect'], [], { transports: ['tcp'] })]))).toEqual([
      ['plain', 'connect', '', true, 'allow → deny'],
    ]);
    const secret = deny(['receive'], ['valves/secret'], { transports: ['tcp'] });
    const body = await diff([...active, secret]);
    expect(ofSessions(body)).toEqual([['plain', 'subscribe', 'valves/#', true, 'allow → narrow']]);
    expect(body).toMatchObject({ lost: 1, gained: 0 });
    const slow = { ...allow(['publish', 'subscribe'], '#'), when: { maxQos: 0, transports: ['tls'] } };
    expect(ofSessions(await diff([...active, slow]))).toEqual([
      ['secure', 'subscribe', 'valves/#', true, 'allow → narrow'],
    ]);
    await Promise.all([plain.endAsync(), secure.endAsync()]);
  });

  it('does without those that have gone, and is over when it is answered', async () => {
    const client = await here.connect(pump, { clientId: 'gone' });
    await client.subscribeAsync('valves/1');
    await client.endAsync();
    const live = (await diff([])).changes.filter(({ isLive }: Json) => isLive);
    expect(live).toEqual([]);
    expect(await queryAsSuperuser(api.database, 'SELECT * FROM questions')).toEqual([]);
  });

  it('says that it does not know who is connected where a process does not answer, or too much is asked', async () => {
    const client = await here.connect(pump, { clientId: 'known' });
    await client.subscribeAsync('valves/1');
    const silent = randomUUID();
    await queryAsSuperuser(
      api.database,
      `INSERT INTO broker_processes (id, lease_until) VALUES ($1, now() + interval '1 minute')`,
      [silent],
    );
    const rules = [allow(['publish', 'subscribe'], 'meters/#')];
    const partly = await diff(rules);
    expect(partly).toMatchObject({ isLiveComplete: false, isComplete: false });
    expect(ofSessions(partly)).toEqual([['known', 'subscribe', 'valves/1', true, 'allow → deny']]);
    const session = (await acme.viewer.get(`${acme.path}/sessions/known`)).body;
    expect(session).toMatchObject({ isComplete: false, subscriptions: [{ filter: 'valves/1' }] });
    // A process that is dead is not waited for.
    await queryAsSuperuser(
      api.database,
      `UPDATE broker_processes SET lease_until = now() - interval '1 s' WHERE id = $1`,
      [silent],
    );
    expect(await diff(rules)).toMatchObject({ isLiveComplete: true });
    await queryAsSuperuser(
      api.database,
      `INSERT INTO questions (tenant_id, device_ids) SELECT $1::uuid, ARRAY[$2::uuid] FROM generate_series(1, 8)`,
      [acme.id, pump.id],
    );
    expect(await diff(rules)).toMatchObject({ isLiveComplete: false, isComplete: false });
    await queryAsSuperuser(api.database, 'DELETE FROM questions');
    await client.endAsync();
  });
});

describe('the connections of a device', () => {
  it('are told with how they came: the version of TLS, where there is any', async () => {
    const own = await addDevice(acme, 'valve');
    await here.connect(own, { clientId: 'plain' });
    await here.connect(own, { clientId: 'tls', transport: 'mqtts' });
    await here.connect(own, { clientId: 'wss', transport: 'wss' });
    const items = await eventually(
      async () => (await acme.viewer.get(`${acme.path}/devices/${own.id}/connections`)).body.items,
      (all) => all.length === 3,
    );
    const told = items.map(({ clientId, transport, tls }: Json) => [clientId, transport, tls]).sort();
    expect(told).toEqual([
      ['plain', 'tcp', null],
      ['tls', 'tls', 'TLSv1.3'],
      ['wss', 'wss', 'TLSv1.3'],
    ]);
  });
});

describe('a session that ends with its connection', () => {
  it('is shown with its subscriptions while it is there, to its own tenant', async () => {
    const client = await there.connect(pump, { clientId: 'viewed' });
    await client.subscribeAsync('b/#', { qos: 1, rap: true, properties: { subscriptionIdentifier: 9 } });
    await client.subscribeAsync('a');
    // Who comes is written a moment after it was let in.
    const { body } = await eventually(
      () => acme.viewer.get(`${acme.path}/sessions/viewed`),
      ({ status }) => status === 200,
    );
    expect(body).toMatchObject({ online: true, durable: false, isComplete: true });
    expect(body.subscriptions).toMatchObject([
      { filter: 'b/#', qos: 1, retainAsPublished: true, subscriptionId: 9 },
      { filter: 'a', qos: 0, subscriptionId: null },
    ]);
    const query = `{ session(tenant: "acme", clientId: "viewed") { isComplete subscriptions { filter } } }`;
    const answer = (await acme.viewer.post('/graphql', { query })).body;
    expect(answer.data.session).toEqual({
      isComplete: true,
      subscriptions: [{ filter: 'b/#' }, { filter: 'a' }],
    });
    expect((await other.viewer.get(`${other.path}/sessions/viewed`)).status).toBe(404);
    await client.endAsync();
  });
});
