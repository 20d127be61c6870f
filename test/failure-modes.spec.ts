/** What docs/failure-modes.md promises, with the broker application on a PostgreSQL that fails in each of its ways. */
import { once } from 'node:events';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from '@jest/globals';
import type { IClientOptions, MqttClient } from 'mqtt';
import { generate, parser } from 'mqtt-packet';

import type { Rule } from '#access';

import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { startOwnPostgres, type OwnPostgres } from './support/own-postgres.js';
import { PostgresProxy } from './support/postgres-proxy.js';
import { eventually } from './support/product.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';

const everything: Rule = { effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['#'] };
const durable: IClientOptions = { clean: false, properties: { sessionExpiryInterval: 3_600 } };
const telemetry = 'devices/open/telemetry';
const serverUnavailable = { 5: 0x88, 4: 3 } as const;

let postgres: OwnPostgres;
/** The broker's way to it. */
let proxy: PostgresProxy;
let isLogConfined: boolean;
let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let open: TestDevice;

beforeAll(async () => {
  postgres = await startOwnPostgres();
  isLogConfined = await postgres.confineLog();
  proxy = await PostgresProxy.start(postgres.port);
  installation = await createInstallation({
    ...postgres.database,
    brokerUrl: proxy.through(postgres.database.brokerUrl),
    appUrl: proxy.through(postgres.database.appUrl),
  });
  broker = await installation.startBroker();
  tenant = await createTestTenant(installation.store, postgres.database.secretKey);
  open = await tenant.addDevice('open', { clientIdRule: { kind: 'any' } });
  await tenant.addPolicy('open', [everything], { targetKind: 'device', targetId: open.id });
});

afterAll(async () => {
  await broker.stop();
  await installation.remove();
  await proxy.stop();
  await postgres.remove();
});

interface Failure {
  readonly begin: () => unknown;
  readonly end: () => unknown;
  /** Bytes of each message, where only large ones feel it. */
  readonly payloadBytes?: number;
}

let filler: string;

const failures: Readonly<Record<string, () => Failure>> = {
  'stands still': () => ({ begin: () => postgres.freeze(), end: () => postgres.thaw() }),
  'is stopped and started again': () => ({ begin: () => postgres.stop(), end: () => postgres.start() }),
  'is killed and comes back at the same address': () => ({
    begin: () => postgres.kill(),
    end: () => postgres.start(),
  }),
  'has no connection left for the broker': () => ({
    begin: async () => {
      await postgres.query('ALTER ROLE moorage_broker CONNECTION LIMIT 0');
      await postgres.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'moorage_broker'`,
      );
    },
    end: () => postgres.query('ALTER ROLE moorage_broker CONNECTION LIMIT -1'),
  }),
  'is read-only': () => ({
    begin: async () => {
      await postgres.query('ALTER SYSTEM SET default_transaction_read_only = on');
      await postgres.query('SELECT pg_reload_conf()');
    },
    end: async () => {
      await postgres.query('ALTER SYSTEM RESET default_transaction_read_only');
      await postgres.query('SELECT pg_reload_conf()');
    },
  }),
  'has a full disk': () => ({
    payloadBytes: 20_000,
    begin: async () => {
      const { bavail, bsize } = await statfs(postgres.dataDir);
      filler = join(postgres.dataDir, 'filler');
      await writeFile(filler, Buffer.alloc(bavail * bsize)).catch(() => undefined);
    },
    end: () => rm(filler),
  }),
  'has no room for its log': () => ({
    payloadBytes: 20_000,
    begin: async () => {
      // Somebody who follows the log has stopped, and so nothing of it may be used again.
      await postgres.query(`SELECT pg_create_physical_replication_slot('stuck', true)`);
      const log = join(postgres.dataDir, 'postgres', 'pg_wal');
      filler = join(log, 'filler');
      const { bavail, bsize } = await statfs(log);
      await writeFile(filler, Buffer.alloc(bavail * bsize)).catch(() => undefined);
      await useUpLog();
    },
    // It may have ended over it.
    end: async () => {
      await rm(filler);
      await postgres.start();
      await postgres.query(`SELECT pg_drop_replication_slot('stuck')`);
      await postgres.query('DROP TABLE scrap');
    },
  }),
  'takes longer than anybody waits': () => ({
    begin: () => {
      proxy.delayMs = 20_000;
    },
    end: () => {
      proxy.delayMs = 0;
    },
  }),
  'fails over to another server with all that was committed': () => ({
    begin: () => postgres.kill(),
    end: async () => {
      await postgres.failOver();
      proxy.leadTo(postgres.port);
    },
  }),
};

/** What room there is in segments that it has already; until it stays down. */
async function useUpLog(): Promise<void> {
  await postgres.query('CREATE TABLE IF NOT EXISTS scrap (x text)');
  await eventually(
    () =>
      postgres
        .query(`INSERT INTO scrap SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 30000)`)
        .then(
          () => 'room',
          () => 'none',
        ),
    (answer) => answer === 'none',
  );
}

describe.each(Object.keys(failures))('while PostgreSQL %s', (name) => {
  let clients: MqttClient[];
  let closed: string[];
  const ids = {
    talker: `talker ${name}`,
    listener: `listener ${name}`,
    meter: `meter ${name}`,
    reader: `reader ${name}`,
  };

  beforeEach(async () => {
    clients = [];
    closed = [];
  });

  afterEach(() => Promise.all(clients.map((client) => client.endAsync(true))));

  async function connect(clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
    const client = await broker.connect(open, { clientId, ...options });
    client.on('close', () => closed.push(clientId));
    clients.push(client);
    return client;
  }

  it('nobody is cut off, QoS 0 flows, what must be stored waits, newcomers are told; afterwards all goes on by itself', async () => {
    const failure = failures[name]?.();
    if (failure === undefined) throw new Error(name);
    if (name === 'has a full disk' && !postgres.isSmall) return;
    if (name === 'has no room for its log' && !isLogConfined) return;
    const talker = await connect(ids.talker);
    const listener = await connect(ids.listener);
    const meter = await connect(ids.meter);
    const reader = await connect(ids.reader, durable);
    await listener.subscribeAsync('live/#', { qos: 0 });
    await reader.subscribeAsync('alarms/#', { qos: 2 });
    const alarms: string[] = [];
    reader.on('message', (_, payload) => alarms.push(payload.toString().trimEnd()));
    const expected = Array.from({ length: 50 }, (_, i) => `${name} ${i}`);
    const hear = async (): Promise<void> => {
      const heard = new Promise((resolve) => listener.once('message', resolve));
      await talker.publishAsync('live/x', 'x', { qos: 0 });
      await heard;
    };
    const stored = async (): Promise<number> => {
      const rows = await postgres.query(
        `SELECT count(*)::int AS n FROM telemetry WHERE body ->> 'run' = '${name}'`,
      );
      return Number(rows[0]?.['n']);
    };

    await failure.begin();
    let acknowledged = 0;
    const padding = failure.payloadBytes ?? 0;
    const readings = expected.map(async (_, i) => {
      const body = { run: name, i, noise: noise(padding) };
      await meter.publishAsync(telemetry, JSON.stringify(body), { qos: 1 });
      acknowledged += 1;
    });
    const raised = expected.map(async (text) => {
      await talker.publishAsync('alarms/x', text.padEnd(padding), { qos: 2 });
      acknowledged += 1;
    });
    await hear();
    for (const protocolVersion of [5, 4] as const)
      await eventually(
        () => codeOf(connect(`newcomer ${name}`, { protocolVersion })),
        (code) => code === serverUnavailable[protocolVersion],
      );
    await eventually(isReady, (ready) => !ready);
    await hear();
    if (padding === 0) expect(acknowledged).toBe(0);
    else expect(acknowledged).toBeLessThan(readings.length + raised.length);
    const staying = Object.values(ids);
    expect(closed.filter((id) => staying.includes(id))).toEqual([]);

    await failure.end();
    await Promise.all([...readings, ...raised]);
    expect(await stored()).toBe(expected.length);
    await eventually(
      () => Promise.resolve(alarms.length),
      (count) => count >= expected.length,
    );
    expect(alarms).toEqual(expected);
    await eventually(isReady, (ready) => ready);
    await eventually(
      () => codeOf(connect(`newcomer ${name}`)),
      (code) => code === 0,
    );
    await hear();
    expect(closed.filter((id) => staying.includes(id))).toEqual([]);
  });
});

describe('while PostgreSQL is slow', () => {
  it('everything is as slow as it is, and right: acknowledged is stored, live messages do not wait', async () => {
    const meter = await broker.connect(open, { clientId: 'slow meter' });
    const listener = await broker.connect(open, { clientId: 'slow listener' });
    await listener.subscribeAsync('slow/#', { qos: 0 });
    proxy.delayMs = 300;
    try {
      const stored = async (): Promise<number> => {
        const rows = await postgres.query(
          `SELECT count(*)::int AS n FROM telemetry WHERE body ->> 'run' = 'slow'`,
        );
        return Number(rows[0]?.['n']);
      };
      const acknowledged = Array.from({ length: 50 }, async (_, i) => {
        await meter.publishAsync(telemetry, JSON.stringify({ run: 'slow', i }), { qos: 1 });
        return i;
      });
      const heard = new Promise((resolve) => listener.once('message', resolve));
      await meter.publishAsync('slow/x', 'x', { qos: 0 });
      await heard;
      const [first] = await Promise.all([Promise.race(acknowledged), stored()]);
      expect(first).toBe(0);
      await Promise.all(acknowledged);
      expect(await stored()).toBe(50);
      const newcomer = await broker.connect(open, { clientId: 'slow newcomer', ...durable });
      await newcomer.endAsync();
    } finally {
      proxy.delayMs = 0;
    }
  });
});

describe('a device of a tenant that lets devices sign in while PostgreSQL is away', () => {
  it('is let in with the rights of before, for what need not be stored, and for nothing else', async () => {
    const generous = await createTestTenant(installation.store, postgres.database.secretKey);
    await generous.set({ settings: { signInGraceS: 300 } });
    const device = await generous.addDevice('pump', { clientIdRule: { kind: 'any' } });
    const revoked = await generous.addDevice('revoked');
    await generous.addPolicy('all', [everything], { targetKind: 'tenant', targetId: generous.id });
    const signIn = (one: TestDevice, options: IClientOptions): Promise<number> =>
      codeOf(broker.connect(one, options));
    const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0, retain: false } as const;
    const stay = await broker.connect(device, { clientId: 'stays' });
    for (const clientId of ['a', 'b', 'c']) expect(await signIn(device, { clientId })).toBe(0);
    expect(await signIn(revoked, {})).toBe(0);
    await generous.change('credential', { credentialId: revoked.credentialId }, ({ db }) =>
      db.credential.delete({ where: { tenantId_id: { tenantId: generous.id, id: revoked.credentialId } } }),
    );
    await eventually(
      () => signIn(revoked, {}),
      (code) => code !== 0,
    );
    postgres.kill();
    try {
      await stay.publishAsync('keep', 'x', { qos: 0, retain: true }); // makes the broker notice
      await eventually(isReady, (ready) => !ready);
      expect(await signIn(device, { clientId: 'a' })).toBe(0);
      expect(await signIn(device, { clientId: 'b', ...durable })).toBe(0x88);
      expect(await signIn(device, { clientId: 'c', will })).toBe(0x88);
      expect(await signIn(device, { clientId: 'never seen' })).toBe(0x88);
      expect(await signIn({ ...device, password: 'guess' }, { clientId: 'a' })).toBe(0x88);
      expect(await signIn(revoked, {})).toBe(0x88);
      expect(await signIn(open, { clientId: 'a' })).toBe(0x88);
    } finally {
      await postgres.start();
    }
    await eventually(isReady, (ready) => ready);
    await stay.endAsync();
  });
});

describe('a flood while PostgreSQL stands still', () => {
  it('is left in the senders’ sockets once the broker holds what it may, and is taken up afterwards', async () => {
    const flood = await RawPublisher.connect(broker.ports.mqtt, open);
    postgres.freeze();
    try {
      flood.send(40_000, 1_000);
      await eventually(
        () => Promise.resolve(flood.isBlocked),
        (blocked) => blocked,
      );
      const { waiting, waitingBytes } = await storeMetrics();
      expect(waiting).toBeLessThanOrEqual(21_000);
      expect(waitingBytes).toBeLessThanOrEqual(34 * 1024 * 1024);
      expect(flood.acknowledged).toBe(0);
    } finally {
      postgres.thaw();
    }
    // However long it takes this machine to write them.
    while (flood.acknowledged < 40_000) await new Promise((resolve) => setTimeout(resolve, 20));
    flood.end();
  });
});

// ---------------------------------------------------------------------------------------------------------------------------

/** 0: it was let in, and has left again. */
async function codeOf(connecting: Promise<MqttClient>): Promise<number> {
  try {
    await (await connecting).endAsync();
    return 0;
  } catch (error) {
    return Number(Reflect.get(Object(error), 'code'));
  }
}

async function isReady(): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${broker.ports.ops}/readyz`)).ok;
}

async function storeMetrics(): Promise<{ waiting: number; waitingBytes: number }> {
  const text = await (await fetch(`http://127.0.0.1:${broker.ports.ops}/metrics`)).text();
  const value = (name: string): number =>
    Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  return { waiting: value('moorage_store_waiting'), waitingBytes: value('moorage_store_waiting_bytes') };
}

/** What no compression makes small. */
function noise(bytes: number): string {
  return Array.from({ length: bytes }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join(
    '',
  );
}

/** MQTT 3.1.1 without a client library's windows: it sends as fast as the socket takes it. */
class RawPublisher {
  acknowledged = 0;
  readonly #socket;
  #toSend = 0;
  #payload = '';
  #packetId = 0;

  private constructor(socket: ReturnType<typeof connectTcp>) {
    this.#socket = socket;
    socket.on('drain', () => this.#pump());
  }

  static async connect(port: number, { username, password }: TestDevice): Promise<RawPublisher> {
    const socket = connectTcp(port, '127.0.0.1');
    const publisher = new RawPublisher(socket);
    const packets = parser({ protocolVersion: 4 });
    socket.on('data', (chunk) => packets.parse(chunk));
    const accepted = once(packets, 'packet');
    socket.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clientId: 'flood',
        clean: true,
        keepalive: 0,
        username,
        password: Buffer.from(password),
      }),
    );
    await accepted;
    packets.on('packet', ({ cmd }) => {
      if (cmd === 'puback') publisher.acknowledged += 1;
    });
    return publisher;
  }

  get isBlocked(): boolean {
    return this.#toSend > 0 && this.#socket.writableNeedDrain;
  }

  send(count: number, bytes: number): void {
    this.#toSend += count;
    this.#payload = JSON.stringify({ run: 'flood', noise: 'x'.repeat(bytes) });
    this.#pump();
  }

  end(): void {
    this.#socket.destroy();
  }

  #pump(): void {
    while (this.#toSend > 0 && !this.#socket.writableNeedDrain) {
      this.#toSend -= 1;
      this.#packetId = (this.#packetId % 65_535) + 1;
      this.#socket.write(
        generate({
          cmd: 'publish',
          topic: telemetry,
          payload: this.#payload,
          qos: 1,
          messageId: this.#packetId,
          dup: false,
          retain: false,
        }),
      );
    }
  }
}
