import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Client } from 'pg';

import type { Rule } from '#access';

import {
  createInstallation,
  type ClientTransport,
  type TestBroker,
  type TestInstallation,
} from './support/broker.js';
import { createTestTenant, type TestDevice, type TestPolicy, type TestTenant } from './support/tenant.js';

const own: Rule = {
  effect: 'allow',
  actions: ['publish', 'subscribe', 'retain'],
  topics: ['devices/${device}/#'],
};
const everything: Rule = { effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['#'] };

let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let policy: TestPolicy;
let pump: TestDevice;
let open: TestDevice;

beforeAll(async () => {
  installation = await createInstallation();
  broker = await installation.startBroker();
});

afterAll(async () => {
  await broker.stop();
  await installation.remove();
});

beforeEach(async () => {
  tenant = await createTestTenant(installation.store, installation.database.secretKey);
  policy = await tenant.addPolicy('basic', [own], { targetKind: 'tenant', targetId: tenant.id });
  pump = await tenant.addDevice('pump-1');
  open = await tenant.addDevice('open', { clientIdRule: { kind: 'any' } });
  await tenant.addPolicy('open', [everything], { targetKind: 'device', targetId: open.id });
});

const transports: readonly ClientTransport[] = ['mqtt', 'mqtts', 'ws', 'wss'];
const versions: readonly NonNullable<IClientOptions['protocolVersion']>[] = [3, 4, 5];

describe.each(transports)('over %s', (transport) => {
  it.each(versions)(
    'protocol level %i: a client signs in, subscribes, publishes at every QoS, and gets its messages',
    async (protocolVersion) => {
      const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
      const client = await connect(pump, { transport, protocolVersion, protocolId });
      const arrived = collect(client, 3);
      await client.subscribeAsync('devices/pump-1/#', { qos: 2 });
      for (const qos of [0, 1, 2] as const) await client.publishAsync('devices/pump-1/x', `q${qos}`, { qos });
      expect((await arrived).sort()).toEqual([
        'devices/pump-1/x q0',
        'devices/pump-1/x q1',
        'devices/pump-1/x q2',
      ]);
      await client.endAsync();
    },
  );
});

describe('rights', () => {
  it('keep a client to its own topics, and the refusals are on record', async () => {
    const client = await connect(pump);
    await expect(client.publishAsync('devices/pump-2/x', 'x', { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    const [granted] = await client.subscribeAsync('devices/#').catch(() => [{ qos: 0x87 }]);
    expect(granted?.qos).toBe(0x87);
    const denials = await eventually(
      () => denialsOf(tenant),
      (rows) => rows.length >= 2,
    );
    expect(denials.map(({ action, topic, reason }) => ({ action, topic, reason }))).toEqual(
      expect.arrayContaining([
        { action: 'publish', topic: 'devices/pump-2/x', reason: 'not-authorized' },
        { action: 'subscribe', topic: 'devices/#', reason: 'not-authorized' },
      ]),
    );
  });

  it('refuse a wrong password with the code of the version, and record it for the tenant', async () => {
    const wrong = { ...pump, password: 'wrong' };
    await expect(connect(wrong)).rejects.toMatchObject({ code: 0x86 });
    await expect(connect(wrong, { protocolVersion: 4 })).rejects.toMatchObject({ code: 4 });
    const denials = await eventually(
      () => denialsOf(tenant),
      (rows) => rows.length > 0,
    );
    expect(denials[0]).toMatchObject({
      action: 'connect',
      reason: 'bad-user-name-or-password',
      deviceId: pump.id,
      username: pump.username,
    });
  });

  it('to a part of a filter, where the tenant grants parts, give that part alone: retained, live, queued, by wills, and never shared', async () => {
    await receiptOf(await tenant.set({ settings: { partialCover: 'narrow' } }));
    const publisher = await connect(open);
    const tell = async (what: string, retain = false) => {
      for (const name of ['pump-2', 'pump-1', 'pump-2'])
        await publisher.publishAsync(`devices/${name}/${what}`, what, { qos: 1, retain });
    };
    const stays = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const first = await connect(pump, stays);
    await tell('kept', true);
    const here = collect(first, 3);
    const [granted] = await first.subscribeAsync('devices/#', { qos: 1 });
    expect(granted?.qos).toBe(1);
    await tell('live');
    await publisher.publishAsync('devices/pump-1/last', 'last', { qos: 1 });
    expect(await here).toEqual([
      'devices/pump-1/kept kept',
      'devices/pump-1/live live',
      'devices/pump-1/last last',
    ]);
    const shared = await first.subscribeAsync('$share/group/devices/#').catch(() => [{ qos: 0x87 }]);
    expect(shared[0]?.qos).toBe(0x87);
    await first.endAsync();

    await tell('queued');
    for (const name of ['pump-2', 'pump-1']) {
      const will = {
        topic: `devices/${name}/will`,
        payload: Buffer.from('gone'),
        qos: 1 as const,
        retain: false,
      };
      const heard = collect(publisher, 1);
      await publisher.subscribeAsync(will.topic, { qos: 1 });
      (await connect(open, { clientId: `dies-${name}`, will })).stream.destroy();
      await heard;
    }
    // What is queued may come with the CONNACK: the handler is there first.
    const { username, password, name: clientId } = pump;
    const second = mqtt.connect(broker.url('mqtt'), {
      clientId,
      username,
      password,
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...stays,
    });
    const there = collect(second, 3);
    await publisher.publishAsync('devices/pump-1/end', 'end', { qos: 1 });
    expect(await there).toEqual([
      'devices/pump-1/queued queued',
      'devices/pump-1/will gone',
      'devices/pump-1/end end',
    ]);
    await second.endAsync(true);
  });

  it('keep tenants apart: the same client identifier and topic twice, and neither hears of the other', async () => {
    const other = await createTestTenant(installation.store, installation.database.secretKey);
    const twin = await other.addDevice('open', { clientIdRule: { kind: 'any' } });
    await other.addPolicy('open', [everything], { targetKind: 'device', targetId: twin.id });
    const [here, there] = await Promise.all([
      connect(open, { clientId: 'same' }),
      connect(twin, { clientId: 'same' }),
    ]);
    const arrivedHere = collect(here, 1);
    const arrivedThere = collect(there, 1);
    await Promise.all([here.subscribeAsync('#', { qos: 1 }), there.subscribeAsync('#', { qos: 1 })]);
    await Promise.all([
      here.publishAsync('a', 'here', { qos: 1 }),
      there.publishAsync('a', 'there', { qos: 1 }),
    ]);
    expect([await arrivedHere, await arrivedThere]).toEqual([['a here'], ['a there']]);
    expect(here.connected && there.connected).toBe(true);
  });
});

describe('a change of rights reaches a live connection:', () => {
  it('a policy that is tightened ends the subscription and the right to publish', async () => {
    const client = await connect(pump);
    await client.subscribeAsync('devices/pump-1/#', { qos: 1 });
    const number = await policy.setRules([
      { effect: 'allow', actions: ['publish'], topics: ['devices/${device}/a'] },
    ]);
    const receipt = await receiptOf(number);
    expect(receipt).toMatchObject({ sessionsTouched: 1, subscriptionsRemoved: 1, connectionsClosed: 0 });
    const denials = await eventually(
      () => denialsOf(tenant),
      (rows) => rows.length > 0,
    );
    expect(denials).toMatchObject([
      {
        action: 'subscribe',
        topic: 'devices/pump-1/#',
        reason: 'not-authorized',
        detail: expect.stringMatching(/^a change of rights ended the subscription: /),
      },
    ]);
    await expect(client.publishAsync('devices/pump-1/b', 'x', { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    await client.publishAsync('devices/pump-1/a', 'x', { qos: 1 });
    expect(client.connected).toBe(true);
  });

  it('a policy that is widened gives the right without a reconnect', async () => {
    const client = await connect(pump);
    await expect(client.publishAsync('new', 'x', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    await receiptOf(await policy.setRules([own, { effect: 'allow', actions: ['publish'], topics: ['new'] }]));
    await client.publishAsync('new', 'x', { qos: 1 });
    expect(client.connected).toBe(true);
  });

  it.each<[string, () => Promise<bigint>]>([
    [
      'a device that is disabled',
      () =>
        tenant.change('device', { deviceId: pump.id }, ({ db }) =>
          db.device.updateMany({ where: { id: pump.id }, data: { status: 'disabled' } }),
        ),
    ],
    [
      'a device that is deleted',
      () =>
        tenant.change('device', { deviceId: pump.id }, ({ db }) =>
          db.device.deleteMany({ where: { id: pump.id } }),
        ),
    ],
    [
      'a credential that is disabled',
      () =>
        tenant.change('credential', { deviceId: pump.id, credentialId: pump.credentialId }, ({ db }) =>
          db.credential.updateMany({ where: { id: pump.credentialId }, data: { disabledAt: new Date(0) } }),
        ),
    ],
    ['a tenant that is suspended', () => tenant.set({ status: 'suspended' })],
  ])('%s is shown out, its will is not published, and a stranger stays', async (_, change) => {
    const other = await createTestTenant(installation.store, installation.database.secretKey);
    await other.addPolicy('basic', [own], { targetKind: 'tenant', targetId: other.id });
    const stranger = await connect(await other.addDevice('pump-1'));
    const will = {
      topic: 'devices/pump-1/will',
      payload: Buffer.from('gone'),
      qos: 1 as const,
      retain: false,
    };
    const client = await connect(pump, { will });
    const disconnected = farewell(client);
    const receipt = await receiptOf(await change());
    expect(receipt).toMatchObject({ connectionsClosed: 1, willsSuppressed: 1 });
    expect(await disconnected).toBe(0x87);
    expect(stranger.connected).toBe(true);
    await expect(connect(pump)).rejects.toMatchObject({ code: expect.any(Number) });
  });

  it('the end of a deleted device is confirmed when all that it leaves is stored', async () => {
    const [first, second] = [0, 1].map(() => new Client(installation.database.superuserUrl));
    if (first === undefined || second === undefined) throw new Error('two clients');
    await Promise.all([first.connect(), second.connect()]);
    const client = await connect(pump);
    await eventually(
      () => presenceOf(pump),
      (state) => state === 'online',
    );
    // A batch waits for the first lock; the second is had between it and the next, in which the device's departure is.
    await first.query('BEGIN; LOCK TABLE presence_events IN SHARE MODE');
    await connect(open);
    await waiting(first, 1);
    const locked = second.query('BEGIN; LOCK TABLE presence_events IN EXCLUSIVE MODE');
    await waiting(first, 2);
    const isShownOut = farewell(client);
    const number = await tenant.change('device', { deviceId: pump.id, isDeleted: true }, ({ db }) =>
      db.device.deleteMany({ where: { id: pump.id } }),
    );
    await isShownOut;
    await first.query('COMMIT');
    await locked;
    const receipts = (): Promise<number> =>
      installation.store.tenant(tenant.id, ({ db }) => db.changeReceipt.count({ where: { number } }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await receipts()).toBe(0);
    await second.query('COMMIT');
    expect(await receiptOf(number)).toMatchObject({ connectionsClosed: 1 });
    const departures = await installation.store.tenant(tenant.id, ({ db }) =>
      db.presenceEvent.count({ where: { deviceId: pump.id, state: 'offline' } }),
    );
    expect(departures).toBe(1);
    await Promise.all([first.end(), second.end()]);
  });

  it('a session that an administrator ends gets 0x98', async () => {
    const client = await connect(pump);
    const disconnected = farewell(client);
    const number = await tenant.change('session', { clientId: 'pump-1', deviceId: pump.id }, () =>
      Promise.resolve(),
    );
    expect(await disconnected).toBe(0x98);
    expect(await receiptOf(number)).toMatchObject({ connectionsClosed: 1 });
  });
});

describe('what comes back', () => {
  it('readings are stored before they are acknowledged, presence follows the connection', async () => {
    const client = await connect(pump);
    await client.publishAsync('devices/pump-1/telemetry', '{"ts":"2026-01-02T03:04:05Z","t":21.5}', {
      qos: 1,
    });
    const rows = await installation.store.tenant(tenant.id, ({ db }) => db.telemetry.findMany());
    expect(rows).toMatchObject([
      { deviceId: pump.id, body: { t: 21.5 }, observedAt: new Date('2026-01-02T03:04:05Z') },
    ]);
    await eventually(
      () => presenceOf(pump),
      (state) => state === 'online',
    );
    client.end(true);
    await eventually(
      () => presenceOf(pump),
      (state) => state === 'offline',
    );
    expect(await presenceOf(pump)).toBe('offline');
  });

  it('health and metrics are served', async () => {
    const ops = `http://127.0.0.1:${broker.ports.ops}`;
    expect((await fetch(`${ops}/livez`)).status).toBe(200);
    expect(await (await fetch(`${ops}/readyz`)).json()).toEqual({ ready: true, waitingFor: {} });
    const metrics = await (await fetch(`${ops}/metrics`)).text();
    expect(metrics).toContain('moorage_connects_total');
    expect(metrics).toMatch(/moorage_sign_ins_total\{outcome="granted".*\} \d+/);
    expect((await fetch(`${ops}/else`)).status).toBe(404);
  });

  it('the metrics are those that docs/operations.md lists, no more and no fewer', async () => {
    const page = await readFile(join(import.meta.dirname, '../docs/operations.md'), 'utf8');
    const section = /^## Metrics$(.*?)^## /ms.exec(page)?.[1] ?? '';
    const cells = Array.from(section.matchAll(/^\| (`.*?`) \|/gm), ([, cell = '']) => cell).join();
    const metrics = await (await fetch(`http://127.0.0.1:${broker.ports.ops}/metrics`)).text();
    const namesIn = (text: string, pattern: RegExp) =>
      Array.from(text.matchAll(pattern), ([, name = '']) => name).toSorted();
    expect(namesIn(cells, /`(moorage_\w+)`/g)).toEqual(namesIn(metrics, /^# TYPE (moorage_\w+) /gm));
  });
});

describe('a second broker on the same database', () => {
  it('serves nobody while the first does, and takes its place once that has stopped', async () => {
    const own = await createInstallation();
    try {
      const somewhere = await createTestTenant(own.store, own.database.secretKey);
      await somewhere.addPolicy('all', [everything], { targetKind: 'tenant', targetId: somewhere.id });
      const device = await somewhere.addDevice('meter');
      const first = await own.startBroker({ servesAlone: true });
      const session = { clean: false, properties: { sessionExpiryInterval: 3_600 } };
      const client = await first.connect(device, session);
      let isServing = false;
      const starting = own.startBroker({ servesAlone: true }).finally(() => (isServing = true));
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(isServing).toBe(false);
      await client.publishAsync('a', 'x', { qos: 1 });
      await first.stop();
      const second = await starting;
      const back = await second.connect(device, session);
      await back.publishAsync('a', 'y', { qos: 1 });
      await second.stop();
    } finally {
      await own.remove();
    }
  });
});

describe('a broker that stops', () => {
  it('tells its clients, keeps their sessions and holds their wills; the next one goes on', async () => {
    const own = await createInstallation();
    try {
      const somewhere = await createTestTenant(own.store, own.database.secretKey);
      await somewhere.addPolicy('all', [everything], { targetKind: 'tenant', targetId: somewhere.id });
      const device = await somewhere.addDevice('meter');
      const writer = await somewhere.addDevice('writer');
      const first = await own.startBroker();
      const durable = { clean: false, properties: { sessionExpiryInterval: 3_600 } };
      const will = { topic: 'gone', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
      const client = await first.connect(device, { ...durable, will });
      await client.subscribeAsync('a/#', { qos: 1 });
      const disconnected = farewell(client);
      await first.stop();
      expect(await disconnected).toBe(0x8b);

      const second = await own.startBroker();
      const sender = await second.connect(writer);
      await sender.publishAsync('a/b', 'kept', { qos: 1 });
      // The queued message may come before the handler is there: the session is resumed with it in hand.
      const back = await second.connect(device, { ...durable, manualConnect: false });
      const arrived = collect(back, 1);
      await sender.publishAsync('a/c', 'live', { qos: 1 });
      expect((await arrived)[0]).toMatch(/^a\/(b kept|c live)$/);
      const retained = await own.store.tenant(somewhere.id, ({ db }) => db.retainedMessage.count());
      expect(retained).toBe(0);
      await second.stop();
    } finally {
      await own.remove();
    }
  });
});

// ---------------------------------------------------------------------------------------------------------------------------

const connect: TestBroker['connect'] = (device, options) => broker.connect(device, options);

/** The reason code of the server's DISCONNECT. */
function farewell(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => client.once('disconnect', (packet) => resolve(packet.reasonCode)));
}

/** The next messages, as `topic payload`. */
function collect(client: MqttClient, count: number): Promise<string[]> {
  const arrived: string[] = [];
  return new Promise((resolve) => {
    client.on('message', (topic, payload) => {
      arrived.push(`${topic} ${payload.toString()}`);
      if (arrived.length === count) resolve(arrived);
    });
  });
}

async function eventually<T>(look: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function denialsOf({ id }: TestTenant) {
  return installation.store.tenant(id, ({ db }) => db.denial.findMany({ orderBy: { id: 'asc' } }));
}

async function presenceOf({ id }: TestDevice): Promise<string | undefined> {
  const row = await installation.store.tenant(tenant.id, ({ db }) =>
    db.presence.findFirst({ where: { deviceId: id } }),
  );
  return row?.state;
}

/** Resolves when so many wait for a lock on presence_events. */
async function waiting(superuser: Client, count: number): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await superuser.query<{ waiting: number }>(
        `SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted AND relation = 'presence_events'::regclass`,
      );
      return rows[0]?.waiting;
    },
    (found) => found === count,
  );
}

async function receiptOf(number: bigint): Promise<unknown> {
  const rows = await eventually(
    () => installation.store.tenant(tenant.id, ({ db }) => db.changeReceipt.findMany({ where: { number } })),
    (found) => found.length > 0,
  );
  return rows[0]?.result;
}
