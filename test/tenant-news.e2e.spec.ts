/** `$tenant/…` as a customer sees it: two broker processes on one PostgreSQL, the same words from both. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { Client } from 'pg';

import type { Rule } from '#access';

import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { eventually } from './support/product.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';

const own: Rule = {
  effect: 'allow',
  actions: ['publish', 'subscribe'],
  topics: ['devices/${device}/#', '#'],
};
const watching: Rule = { effect: 'allow', actions: ['subscribe'], topics: ['$tenant/#'] };

let installation: TestInstallation;
let here: TestBroker;
let there: TestBroker;
let tenant: TestTenant;
let guard: TestDevice;

beforeAll(async () => {
  installation = await createInstallation();
  [here, there] = await Promise.all([installation.startBroker(), installation.startBroker()]);
  tenant = await createTestTenant(installation.store, installation.database.secretKey);
  guard = await tenant.addDevice('guard', { clientIdRule: { kind: 'any' } });
  await tenant.addPolicy('own', [own], { targetKind: 'tenant', targetId: tenant.id });
  await tenant.addPolicy('watching', [watching], { targetKind: 'device', targetId: guard.id });
});

afterAll(async () => {
  await Promise.all([here.stop(), there.stop()]);
  await installation.remove();
});

interface Heard {
  readonly topic: string;
  readonly retain: boolean;
  /** Undefined: what stood there is gone. */
  readonly body: Record<string, unknown> | undefined;
}

async function watch(filter: string, clientId: string): Promise<{ client: MqttClient; heard: Heard[] }> {
  const client = await here.connect(guard, { clientId });
  const heard: Heard[] = [];
  client.on('message', (topic: string, payload: Buffer, packet: IPublishPacket) =>
    heard.push({
      topic,
      retain: packet.retain,
      body: payload.length === 0 ? undefined : (JSON.parse(payload.toString()) as Heard['body']),
    }),
  );
  await client.subscribeAsync(filter);
  return { client, heard };
}

/** The last word about the topic is such. */
function lastly(
  heard: readonly Heard[],
  topic: string,
  isIt: (body: Heard['body']) => boolean,
): Promise<Heard> {
  const last = (): Heard | undefined => heard.findLast((item) => item.topic === topic);
  return eventually(
    async () => last() as Heard,
    (item) => item !== undefined && isIt(item.body),
  );
}

describe('$tenant/presence/{device}', () => {
  it('says what stands at the subscription, and changes as they happen, in whichever process', async () => {
    const pump = await tenant.addDevice('pump');
    const { heard } = await watch('$tenant/presence/+', 'watcher');
    const topic = '$tenant/presence/pump';
    const first = await lastly(heard, topic, (body) => body?.['state'] === 'never-seen');
    expect(first.retain).toBe(true);
    expect(first.body).toEqual({
      deviceId: pump.id,
      device: 'pump',
      state: 'never-seen',
      cause: null,
      since: null,
      sequence: 0,
      clients: [],
    });
    await lastly(heard, '$tenant/presence/guard', (body) => body?.['state'] === 'online');

    const client = await there.connect(pump);
    const online = await lastly(heard, topic, (body) => body?.['state'] === 'online');
    expect(online.retain).toBe(false);
    expect(online.body).toMatchObject({
      cause: 'connected',
      sequence: 1,
      clients: [{ clientId: 'pump', state: 'online' }],
    });
    client.stream.destroy();
    const offline = await lastly(heard, topic, (body) => body?.['state'] === 'offline');
    expect(offline.body).toMatchObject({ cause: 'network', sequence: 2 });
  });

  it('says that a device is suspended, renamed or gone', async () => {
    const valve = await tenant.addDevice('valve');
    const { heard } = await watch('$tenant/presence/#', 'watcher-2');
    await lastly(heard, '$tenant/presence/valve', (body) => body?.['state'] === 'never-seen');
    const update = (data: object): Promise<bigint> =>
      tenant.change('device', { deviceId: valve.id }, ({ db }) =>
        db.device.update({ where: { tenantId_id: { tenantId: tenant.id, id: valve.id } }, data }),
      );
    await update({ status: 'disabled' });
    await lastly(heard, '$tenant/presence/valve', (body) => body?.['state'] === 'suspended');
    await update({ name: 'tap', status: 'active' });
    await lastly(heard, '$tenant/presence/tap', (body) => body?.['state'] === 'never-seen');
    await lastly(heard, '$tenant/presence/valve', (body) => body === undefined);
    await tenant.change('device', { deviceId: valve.id }, ({ db }) =>
      db.device.delete({ where: { tenantId_id: { tenantId: tenant.id, id: valve.id } } }),
    );
    const gone = await lastly(heard, '$tenant/presence/tap', (body) => body === undefined);
    expect(gone.retain).toBe(false);
  });

  it('is for those alone whom a policy names it to, and for nobody to write', async () => {
    const plain = await tenant.addDevice('plain');
    const client = await here.connect(plain);
    await expect(client.subscribeAsync('$tenant/presence/plain')).rejects.toThrow(/Not authorized/);
    await client.subscribeAsync('#');
    await expect(client.publishAsync('$tenant/presence/plain', '{}', { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
  });

  it('is as it was after the connection to the store was lost', async () => {
    const { heard } = await watch('$tenant/presence/+', 'watcher-3');
    const boiler = await tenant.addDevice('boiler');
    await cutNews();
    await there.connect(boiler);
    const online = await lastly(heard, '$tenant/presence/boiler', (body) => body?.['state'] === 'online');
    expect(online.body).toMatchObject({ sequence: 1 });
  });
});

describe('$tenant/denials', () => {
  it('tells each denial within seconds, once a second at most, with its count', async () => {
    const talker = await tenant.addDevice('talker');
    await tenant.addPolicy('quiet', [{ effect: 'deny', actions: ['publish'], topics: ['secret/#'] }], {
      targetKind: 'device',
      targetId: talker.id,
    });
    const { heard } = await watch('$tenant/denials', 'watcher-4');
    const client = await there.connect(talker);
    const tries = Array.from({ length: 50 }, () =>
      client.publishAsync('secret/x', 'x', { qos: 1 }).catch(() => undefined),
    );
    await Promise.all(tries);
    const last = await lastly(
      heard,
      '$tenant/denials',
      (body) => body?.['topic'] === 'secret/x' && body['count'] === 50,
    );
    expect(last).toMatchObject({
      retain: false,
      body: {
        deviceId: talker.id,
        clientId: 'talker',
        action: 'publish',
        reason: 'not-authorized',
        username: talker.username,
      },
    });
    expect(heard.length).toBeLessThan(10);
  });
});

async function cutNews(): Promise<void> {
  const superuser = new Client({ connectionString: installation.database.superuserUrl });
  await superuser.connect();
  await superuser.query(
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'moorage-broker news'`,
  );
  await superuser.end();
}
