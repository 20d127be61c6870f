/** What is cleared by the api is gone from the store and from the memory of brokers alike, whatever is published and whoever ends meanwhile. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connectAsync, type MqttClient } from 'mqtt';

import {
  ApiClient,
  queryAsSuperuser,
  startTestApi,
  type Answer,
  type Json,
  type TestApi,
} from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { eventually, startProduct, type Bootstrap, type Product } from './support/product.js';
import type { TestDevice } from './support/tenant.js';

const isKept = { retain: true, qos: 1 } as const;

/** What a new subscriber gets: its own message comes behind all that is retained. */
async function retainedBy(client: MqttClient): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const end = `end/${randomUUID()}`;
  const isOver = new Promise<void>((resolve) =>
    client.on('message', (topic, payload, { retain }) => {
      if (topic === end) resolve();
      else if (retain) found.set(topic, payload.toString());
    }),
  );
  await client.subscribeAsync('#', { qos: 1 });
  await client.publishAsync(end, '', { qos: 1 });
  await isOver;
  await client.endAsync();
  return found;
}

/** What the api says is stored. */
async function storedBy(api: ApiClient, path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let after = '';
  do {
    const { body } = await api.get(`${path}/retained?payload=true&limit=200${after}`);
    for (const { topic, raw, body: value } of body.items)
      found.set(topic, raw === null ? JSON.stringify(value) : Buffer.from(raw, 'base64').toString());
    after = body.next === null ? '' : `&after=${body.next}`;
  } while (after !== '');
  return found;
}

const inOrder = (found: ReadonlyMap<string, string>): string[][] =>
  [...found].toSorted(([a], [b]) => (a < b ? -1 : 1));
const clear = (api: ApiClient, path: string, filter: string): Promise<Answer> =>
  api.call('DELETE', `${path}/retained?topic=${encodeURIComponent(filter)}`);

describe('clearing retained messages', () => {
  let api: TestApi;
  let installation: TestInstallation;
  let broker: TestBroker;
  let tenant: { readonly path: string; readonly admin: ApiClient; readonly id: string };
  let device: TestDevice;

  beforeAll(async () => {
    api = await startTestApi();
    installation = await createInstallation(api.database);
    broker = await installation.startBroker();
    tenant = await api.createTenant('acme');
    const { admin, path } = tenant;
    const { id } = (await admin.post(`${path}/devices`, { name: 'pump' })).body;
    const made = (await admin.post(`${path}/devices/${id}/credentials`, { clientIdRule: { kind: 'any' } }))
      .body;
    device = { id, name: 'pump', credentialId: made.id, username: made.username, password: made.password };
    const rules = [{ effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['#'] }];
    const policy = (await admin.post(`${path}/policies`, { name: 'all', rules })).body;
    await admin.post(`${path}/policy-bindings`, {
      policyId: policy.id,
      targetKind: 'tenant',
      targetId: tenant.id,
    });
  }, 60_000);
  afterAll(async () => {
    await broker.stop();
    await api.api.close();
    await installation.remove();
  });

  const seen = async () => retainedBy(await broker.connect(device, { clientId: randomUUID() }));
  const stored = () => storedBy(tenant.admin, tenant.path);
  const operationOf = async (answer: Answer): Promise<Json> =>
    (await tenant.admin.get(answer.headers.get('operation-location')!)).body;

  it('is answered when the next subscriber does not get them, and is sent to nobody', async () => {
    const client = await broker.connect(device, { clientId: 'publisher' });
    for (const topic of ['a/1', 'a/2', 'b']) await client.publishAsync(topic, 'x', isKept);
    const live = await broker.connect(device, { clientId: 'live' });
    const told: string[] = [];
    live.on('message', (topic) => told.push(topic));
    await live.subscribeAsync('#', { qos: 0, rh: 2 });
    const one = await tenant.admin.call('DELETE', `${tenant.path}/retained/a%2F1`);
    expect(one.status).toBe(204);
    expect(await operationOf(one)).toMatchObject({
      status: 'applied',
      processesConfirmed: 1,
      retainedCleared: 1,
    });
    expect(inOrder(await seen())).toEqual([
      ['a/2', 'x'],
      ['b', 'x'],
    ]);
    const all = await clear(tenant.admin, tenant.path, 'a/+');
    expect([all.status, all.body]).toEqual([200, { dryRun: false, messages: 1 }]);
    expect(inOrder(await seen())).toEqual([['b', 'x']]);
    await client.publishAsync('last', '', { qos: 1 });
    await eventually(
      async () => told,
      (topics) => topics.includes('last'),
    );
    expect(told.filter((topic) => !topic.startsWith('end/'))).toEqual(['last']);
    await Promise.all([client.endAsync(), live.endAsync()]);
  });

  it('holds for a broker that was down, for one that has nobody of the tenant, and waits for one that is silent', async () => {
    const client = await broker.connect(device, { clientId: 'publisher' });
    for (const topic of ['a/1', 'b']) await client.publishAsync(topic, 'x', isKept);
    await broker.stop();
    expect((await clear(tenant.admin, tenant.path, 'a/#')).body.messages).toBe(1);
    broker = await installation.startBroker();
    expect((await clear(tenant.admin, tenant.path, 'b')).body.messages).toBe(1);
    expect(inOrder(await seen())).toEqual([]);
    await queryAsSuperuser(
      api.database,
      `INSERT INTO broker_processes (id, lease_until) VALUES ($1, now() + interval '1 minute')`,
      [tenant.id],
    );
    const waiting = await clear(tenant.admin, tenant.path, '#');
    expect([waiting.status, waiting.body]).toEqual([202, { dryRun: false, messages: 0 }]);
    expect(await operationOf(waiting)).toMatchObject({ status: 'applying', processesPending: 1 });
    await queryAsSuperuser(api.database, 'DELETE FROM broker_processes WHERE id = $1', [tenant.id]);
    expect(await operationOf(waiting)).toMatchObject({ status: 'applied' });
  });

  it('ends in one order for both, whatever is published meanwhile', async () => {
    const publishers = await Promise.all(
      [1, 2, 3].map((n) => broker.connect(device, { clientId: `publisher-${n}` })),
    );
    const over = new AbortController();
    const publishing = publishers.map(async (client, own) => {
      for (let n = 0; !over.signal.aborted; n++) {
        const topic = `race/${own}/${n % 12}`;
        // Every fifth clears, as a client does.
        await client.publishAsync(topic, n % 5 === 4 ? '' : `${n}`, isKept);
      }
    });
    for (let round = 0; round < 12; round++) {
      const answers = await Promise.all([
        clear(tenant.admin, tenant.path, 'race/#'),
        clear(tenant.admin, tenant.path, `race/+/${round}`),
        tenant.admin.call('DELETE', `${tenant.path}/retained/race%2F1%2F${round}`),
      ]);
      for (const { status } of answers) expect([200, 202, 204, 404]).toContain(status);
    }
    over.abort();
    await Promise.all(publishing);
    const [memory, store] = [await seen(), await stored()];
    expect(inOrder(memory)).toEqual(inOrder(store));
    await Promise.all(publishers.map((client) => client.endAsync()));
  });
});

describe('clearing retained messages while processes are killed', () => {
  let dataDir: string;
  let product: Product;
  let bootstrap: Bootstrap;
  let admin: ApiClient;
  let path: string;

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'moorage-retained-'));
    product = startProduct(dataDir);
    bootstrap = await product.ready;
    admin = new ApiClient(bootstrap.api, bootstrap.adminKey);
    path = `/v1/tenants/${bootstrap.tenant}`;
  }, 180_000);
  afterAll(async () => {
    await product.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const connect = (clientId: string, reconnectPeriod = 0): Promise<MqttClient> => {
    const { mqtt, open } = bootstrap;
    const options = { ...mqtt, ...open, clientId, reconnectPeriod, protocolVersion: 5 } as const;
    return connectAsync(options).then((client) => client.on('error', () => undefined));
  };
  /** There may be no broker just now. */
  const seen = async (): Promise<Map<string, string>> => {
    for (;;) {
      const found = await connect(randomUUID()).then(retainedBy, () => undefined);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  it('leaves nothing that was acknowledged before, and the same in memory as in the store', async () => {
    const acknowledged = new Map<string, number>();
    const publisher = await connect('publisher', 100);
    const over = new AbortController();
    const publishing = (async () => {
      for (let n = 1; !over.signal.aborted; n++) {
        const topic = `state/${n % 20}`;
        await publisher.publishAsync(topic, `${n}`, isKept);
        acknowledged.set(topic, n);
      }
    })();
    const victims = [undefined, 'broker', 'api', 'broker', undefined, 'broker'] as const;
    for (const [round, victim] of victims.entries()) {
      await eventually(
        async () => acknowledged.size,
        (size) => size === 20,
      );
      const before = new Map(acknowledged);
      const clearing = clear(admin, path, 'state/#').catch(() => undefined);
      if (victim !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, 2 * round));
        process.kill(product.childPid(victim), 'SIGKILL');
      }
      const answer = await clearing;
      if (answer === undefined) {
        await eventually(
          async () =>
            admin.get(path).then(
              ({ status }) => status,
              () => 0,
            ),
          (status) => status === 200,
        );
        continue; // done or not: nobody was told
      }
      expect([200, 202]).toContain(answer.status);
      await eventually(
        async () => (await admin.get(answer.headers.get('operation-location')!)).body.status,
        (status) => status === 'applied',
      );
      const stale = [...(await seen())].filter(([topic, n]) => Number(n) <= (before.get(topic) ?? 0));
      expect([round, stale]).toEqual([round, []]);
    }
    over.abort();
    await publishing;
    await publisher.endAsync();
    const memory = inOrder(await seen());
    expect(memory).toEqual(inOrder(await storedBy(admin, path)));
    process.kill(product.childPid('broker'), 'SIGKILL');
    expect(inOrder(await seen())).toEqual(memory);
  });
});
