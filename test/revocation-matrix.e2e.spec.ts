/**
 * Every change that takes rights away or gives them, against live connections over every transport in every version of MQTT: what the
 * client sees, and what the operation's receipt says. The table is the one of docs/security-model.md, "Live connections".
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient, type Packet } from 'mqtt';

import type { Rule } from '#access';

import {
  ApiClient,
  type Answer,
  type Json,
  queryAsSuperuser,
  startTestApi,
  type TestApi,
} from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { makeAuthority, type Pair } from './support/pki.js';
import { eventually } from './support/product.js';
import { withTimeEnough } from './support/time-enough.js';

const transports = ['TCP', 'TLS', 'mTLS', 'WS', 'WSS', 'mWSS'] as const;
const versions = ['3.1', '3.1.1', '5.0'] as const;
const ways = transports.flatMap((transport) => versions.map((version) => ({ transport, version })));
type Way = (typeof ways)[number];
const showsCertificate = ({ transport }: Way): boolean => transport.startsWith('m');
const showsPassword = (way: Way): boolean => !showsCertificate(way);

const listeners = { TCP: 'mqtt', TLS: 'mqtts', mTLS: 'mqtts', WS: 'ws', WSS: 'wss', mWSS: 'wss' } as const;
const levels = { '3.1': 3, '3.1.1': 4, '5.0': 5 } as const;

/** What connections are to the watcher: the device's own corner, and what the changes are about. */
const own: Rule = { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['own/#'] };
const work: Rule = { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['work/#'] };

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let platform: ApiClient;

beforeAll(async () => {
  api = await startTestApi();
  platform = api.platform;
  installation = await createInstallation(api.database);
  broker = await installation.startBroker();
});
afterAll(async () => {
  await broker.stop();
  await api.api.close();
  await installation.remove();
});

// ------------------------------------------------------------------------------------------------------------ what is there

/** A tenant of the case's own: a device with all the connections there can be, and a watcher that sees their wills. */
interface Fleet {
  readonly path: string;
  readonly device: Json;
  readonly password: Json;
  readonly certificate: Json;
  readonly authority: Pair;
  readonly anchor: Json;
  readonly shown: Pair;
  readonly group: Json;
  readonly policy: Json;
  readonly watcher: Live;
  readonly lives: readonly Live[];
  of(applies: (way: Way) => boolean): readonly Live[];
  stop(): Promise<void>;
}

let fleets = 0;

async function made(path: string, body: unknown): Promise<Json> {
  const answer = await platform.post(path, body);
  if (answer.status >= 300) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}

async function createFleet(notAfter?: Date): Promise<Fleet> {
  fleets += 1;
  const path = `/v1/tenants/fleet-${fleets}`;
  const tenant = await made('/v1/tenants', { slug: `fleet-${fleets}`, name: 'Fleet' });
  const group = await made(`${path}/groups`, { name: 'crew' });
  const [device, watching] = await Promise.all([
    made(`${path}/devices`, { name: 'fleet', groupIds: [group.id] }),
    made(`${path}/devices`, { name: 'watcher' }),
  ]);
  // Of its own: an authority that several tenants trust does not name the tenant.
  const authority = await makeAuthority('Fleet');
  const anchor = await trust(path, authority);
  const clientIdRule = { kind: 'prefix', value: 'fleet' };
  const credentials = `${path}/devices/${device.id}/credentials`;
  const password = await made(credentials, { clientIdRule });
  const certificate = await made(credentials, { kind: 'certificate', clientIdRule });
  const watch = await made(`${path}/devices/${watching.id}/credentials`, {});
  const bind = async (name: string, rules: readonly Rule[], targetKind: string, targetId: string) => {
    const policy = await made(`${path}/policies`, { name, rules });
    await made(`${path}/policy-bindings`, { policyId: policy.id, targetKind, targetId });
    return policy;
  };
  await bind('own', [own], 'tenant', tenant.id);
  await bind('all', [{ ...own, topics: ['#'] }], 'device', watching.id);
  const policy = await bind('work', [work], 'group', group.id);
  // Applied, before anything is changed: no receipt but that of the change itself tells of what it has done.
  await appliedBy(await platform.patch(`${path}/devices/${watching.id}`, { attributes: { is: 'last' } }));

  const shown = await authority.issue('fleet', notAfter === undefined ? {} : { notAfter });
  const watcher = await signIn({ transport: 'TCP', version: '5.0' }, 'watcher', watch);
  await watcher.client.subscribeAsync('work/#', { qos: 1 });
  const lives = await Promise.all(
    ways.map(async (way) => {
      const clientId = `fleet-${way.transport}-${way.version}`;
      const live = await signIn(way, clientId, showsPassword(way) ? password : shown);
      await live.client.subscribeAsync([`work/${clientId}`, `own/${clientId}`], { qos: 1 });
      return live;
    }),
  );
  return {
    path,
    device,
    password,
    certificate,
    authority,
    anchor,
    shown,
    group,
    policy,
    watcher,
    lives,
    of: (applies) => lives.filter(({ way }) => applies(way)),
    async stop() {
      await Promise.all([watcher, ...lives].map(({ client }) => client.endAsync(true)));
    },
  };
}

/** The operation of this answer, and with it whatever was changed before, is in force in every process. */
async function appliedBy({ status, text, headers }: Answer): Promise<Json> {
  const operation = headers.get('operation-location');
  if (status >= 300 || operation === null) throw new Error(`${status}, or without an operation: ${text}`);
  return eventually(
    async () => (await platform.get(operation)).body,
    (body) => body.status === 'applied',
  );
}

async function trust(path: string, authority: Pair): Promise<Json> {
  const anchor = await made(`${path}/trust-anchors`, { name: 'Fleet', certificate: authority.pem });
  const { pem } = await authority.issue(anchor.challenge);
  return made(`${path}/trust-anchors/${anchor.id}/proof`, { certificate: pem });
}

// -------------------------------------------------------------------------------------------------------- a live connection

interface Live {
  readonly way: Way;
  readonly clientId: string;
  readonly client: MqttClient;
  /** Topics of what it was sent. */
  readonly received: string[];
  /** How the server ended it: the code of its DISCONNECT, or `plain` where it said nothing. Undefined while it lives. */
  readonly end: () => number | 'plain' | undefined;
  /** Resolves with the next packet of this type; undefined where the connection ends instead. */
  next(type: Packet['cmd']): Promise<Json>;
}

async function signIn(
  way: Way,
  clientId: string,
  shown: Pair | { username: string; password: string },
  more: IClientOptions = {},
): Promise<Live> {
  const level = levels[way.version];
  const { ca } = broker.certificates;
  const client = mqtt.connect(broker.url(listeners[way.transport]), {
    clientId,
    ...(level === 3 ? { protocolId: 'MQIsdp' as const } : {}),
    protocolVersion: level,
    ...('keyPem' in shown
      ? { cert: shown.pem, key: shown.keyPem }
      : { username: shown.username, password: shown.password }),
    ca,
    reconnectPeriod: 0,
    will: { topic: `work/wills/${clientId}`, payload: Buffer.from('gone'), qos: 1, retain: false },
    ...more,
  });
  const received: string[] = [];
  let end: number | 'plain' | undefined;
  client.on('error', () => undefined);
  client.on('message', (topic) => received.push(topic));
  client.on('disconnect', (packet) => (end = packet.reasonCode ?? -1));
  client.on('close', () => (end ??= 'plain'));
  const next: Live['next'] = (type) =>
    new Promise((resolve) => {
      const listen = (packet: Packet): void => {
        if (packet.cmd !== type) return;
        client.off('packetreceive', listen);
        resolve(packet);
      };
      client.on('packetreceive', listen);
      client.once('close', () => resolve(undefined));
    });
  const connack = (await next('connack')) as IConnackPacket | undefined;
  if ((connack?.reasonCode ?? connack?.returnCode) !== 0) {
    throw new Error(`${clientId} was not let in: ${JSON.stringify(connack)}`);
  }
  return { way, clientId, client, received, end: () => end, next };
}

/** The code with which 5.0 is told; 3.x is not told. */
function endOf({ way }: Live, code: number): number | 'plain' {
  return way.version === '5.0' ? code : 'plain';
}

// ----------------------------------------------------------------------------------------------------------------- outcomes

const receiptOf = async (answer: Answer): Promise<Json> => {
  const applied = await appliedBy(answer);
  expect(applied).toMatchObject({ processesConfirmed: 1, processesPending: 0, waitingFor: [] });
  expect(applied.elapsedMs).toBeGreaterThanOrEqual(0);
  return applied;
};

async function expectClosed(lives: readonly Live[], code: number): Promise<void> {
  await eventually(
    async () => lives.map((live) => [live.clientId, live.end()]),
    (ends) => ends.every(([, end]) => end !== undefined),
  );
  expect(lives.map((live) => [live.clientId, live.end()])).toEqual(
    lives.map((live) => [live.clientId, endOf(live, code)]),
  );
}

/** They are there, have what is their own, and have not been told anything of `work`. */
async function expectAlive({ watcher }: Fleet, lives: readonly Live[]): Promise<void> {
  await Promise.all(
    lives.map(async (live) => {
      const before = live.received.length;
      await watcher.client.publishAsync(`own/${live.clientId}`, 'marker', { qos: 1 });
      await eventually(
        async () => live.received.slice(before),
        (topics) => topics.includes(`own/${live.clientId}`) || live.end() !== undefined,
      );
    }),
  );
  expect(lives.map(({ clientId, end }) => [clientId, end()])).toEqual(
    lives.map(({ clientId }) => [clientId, undefined]),
  );
}

/** Nothing of `work` arrives, is accepted, or can be subscribed to any more. */
async function expectNarrowed(fleet: Fleet): Promise<void> {
  const { watcher, lives } = fleet;
  const expectNothingOfWork = async (): Promise<void> => {
    for (const { clientId } of lives) await watcher.client.publishAsync(`work/${clientId}`, 'x', { qos: 1 });
    await expectAlive(fleet, lives);
    expect(lives.flatMap(({ received }) => received.filter((topic) => topic.startsWith('work/')))).toEqual(
      [],
    );
  };
  await expectNothingOfWork();
  await Promise.all(
    lives.map(async (live) => {
      const { client, clientId, way } = live;
      client.publish(`work/from/${clientId}`, 'x', { qos: 1 }, () => undefined);
      const puback = await live.next('puback');
      expect([clientId, puback.reasonCode]).toEqual([clientId, way.version === '5.0' ? 0x87 : undefined]);
      client.subscribe(`work/${clientId}`, { qos: 1 }, () => undefined);
      const suback = await live.next('suback');
      // 3.1 has no code for a failure: it is acknowledged, and nothing comes of it.
      const refused = { '3.1': [1], '3.1.1': [0x80], '5.0': [0x87] }[way.version];
      expect([clientId, suback?.granted]).toEqual([clientId, refused]);
    }),
  );
  await expectNothingOfWork();
  expect(watcher.received.filter((topic) => topic.startsWith('work/from/'))).toEqual([]);
}

async function expectNoWills({ watcher }: Fleet): Promise<void> {
  await watcher.client.publishAsync('work/marker', 'x', { qos: 1 });
  await eventually(
    async () => watcher.received,
    (topics) => topics.includes('work/marker'),
  );
  expect(watcher.received.filter((topic) => topic.startsWith('work/wills/'))).toEqual([]);
}

// ------------------------------------------------------------------------------------------------------------------ the table

type Outcome = 'closed' | 'narrowed' | 'widened';

interface Row {
  readonly change: string;
  /** Which of the connections it concerns. */
  readonly concerns: (way: Way) => boolean;
  readonly outcome: Outcome;
  /** Of the server's DISCONNECT to 5.0. */
  readonly code?: number;
  /** Undefined: nothing ends by itself. */
  readonly endsAfterMs?: number;
  readonly make: (fleet: Fleet, endsAfterMs: number) => Promise<Answer>;
  /** What the operation says, where `n` connections are concerned; the rest is 0. */
  readonly receipt: (n: number) => Readonly<Record<string, number>>;
}

const everyWay = (): boolean => true;
const closes = (n: number) => ({ sessionsTouched: n, connectionsClosed: n, willsSuppressed: n });
const rows: readonly Row[] = [
  {
    change: 'device disabled',
    concerns: everyWay,
    outcome: 'closed',
    code: 0x87,
    make: ({ path, device }) => platform.patch(`${path}/devices/${device.id}`, { status: 'disabled' }),
    receipt: closes,
  },
  {
    change: 'device deleted',
    concerns: everyWay,
    outcome: 'closed',
    code: 0x87,
    make: ({ path, device }) => platform.delete(`${path}/devices/${device.id}`),
    receipt: closes,
  },
  {
    change: 'secret disabled',
    concerns: showsPassword,
    outcome: 'closed',
    code: 0x87,
    make: ({ path, device, password }) =>
      platform.patch(`${path}/devices/${device.id}/credentials/${password.id}`, { disabled: true }),
    receipt: closes,
  },
  {
    change: 'secret expired',
    concerns: showsPassword,
    outcome: 'closed',
    code: 0x87,
    endsAfterMs: 2_000,
    make: ({ path, device, password }, endsAfterMs) =>
      platform.patch(`${path}/devices/${device.id}/credentials/${password.id}`, {
        notAfter: new Date(Date.now() + endsAfterMs).toISOString(),
      }),
    // That its end has come later is nobody's change.
    receipt: (n) => ({ sessionsTouched: n }),
  },
  {
    change: 'certificate revoked by CRL',
    concerns: showsCertificate,
    outcome: 'closed',
    code: 0x87,
    make: async ({ path, authority, anchor, shown }) =>
      platform.call('PUT', `${path}/trust-anchors/${anchor.id}/crl`, {
        body: { crl: await authority.revoke([shown.serial]) },
      }),
    receipt: closes,
  },
  {
    change: 'anchor removed',
    concerns: showsCertificate,
    outcome: 'closed',
    code: 0x87,
    make: ({ path, anchor }) => platform.delete(`${path}/trust-anchors/${anchor.id}`),
    receipt: closes,
  },
  {
    change: 'policy tightened',
    concerns: everyWay,
    outcome: 'narrowed',
    make: ({ path, policy }) =>
      platform.post(`${path}/policies/${policy.id}/versions`, { rules: [], activate: true }),
    receipt: (n) => ({ sessionsTouched: n, subscriptionsRemoved: n, willsSuppressed: n }),
  },
  {
    change: 'policy widened',
    concerns: everyWay,
    outcome: 'widened',
    make: ({ path, policy }) =>
      platform.post(`${path}/policies/${policy.id}/versions`, {
        rules: [{ ...work, topics: ['work/#', 'more/#'] }],
        activate: true,
      }),
    receipt: (n) => ({ sessionsTouched: n }),
  },
  {
    change: 'group changed',
    concerns: everyWay,
    outcome: 'narrowed',
    make: ({ path, group, device }) =>
      platform.call('DELETE', `${path}/groups/${group.id}/members/${device.id}`),
    receipt: (n) => ({ sessionsTouched: n, subscriptionsRemoved: n, willsSuppressed: n }),
  },
];

async function expectWidened({ lives, watcher }: Fleet): Promise<void> {
  await Promise.all(
    lives.map(async ({ client, clientId }) => {
      await client.subscribeAsync(`more/${clientId}`, { qos: 1 });
      await watcher.client.publishAsync(`more/${clientId}`, 'x', { qos: 1 });
      await client.publishAsync(`work/from/${clientId}`, 'x', { qos: 1 });
    }),
  );
  await eventually(
    async () => lives.map(({ received, clientId }) => received.includes(`more/${clientId}`)),
    (told) => told.every(Boolean),
  );
  await eventually(
    async () => watcher.received.filter((topic) => topic.startsWith('work/from/')).length,
    (count) => count === lives.length,
  );
}

const nothing = {
  sessionsTouched: 0,
  subscriptionsRemoved: 0,
  connectionsClosed: 0,
  willsSuppressed: 0,
  willsSent: 0,
  retainedCleared: 0,
};

/** What the document says: a row for each change, with what becomes of the connection and the code that 5.0 is told. */
async function documented(): Promise<string[][]> {
  const text = await readFile(join(import.meta.dirname, '../docs/security-model.md'), 'utf8');
  const start = text.indexOf('## Live connections');
  const section = text.slice(start, text.indexOf('\n## ', start));
  return [...section.matchAll(/^\| (.+) \|$/gm)]
    .map(([, row = '']) => row.split('|').map((cell) => cell.trim()))
    .slice(2)
    .map(([change = '', , outcome = '', code = '']) => [change, outcome, code]);
}

describe('a change of rights reaches live connections', () => {
  it('as the security model says', async () => {
    const played = rows.map(({ change, outcome, code }) => [
      change,
      outcome,
      code === undefined ? '' : `0x${code.toString(16)}`,
    ]);
    const alone = ['certificate expired', 'tenant suspended'].map((change) => [change, 'closed', '0x87']);
    const inOrder = (table: string[][]): string[] => table.map((row) => row.join(' | ')).toSorted();
    expect(inOrder(await documented())).toEqual(inOrder([...played, ...alone]));
  });

  it.each(rows)('$change: $outcome', async (row) => {
    const { endsAfterMs = Infinity, concerns, receipt } = row;
    const { fleet, operation } = await withTimeEnough(endsAfterMs, (ms) => play(row, ms));
    expect(operation).toMatchObject({ ...nothing, ...receipt(fleet.of(concerns).length) });
  });

  async function play(row: Row, endsAfterMs: number): Promise<{ fleet: Fleet; operation: Json }> {
    const { concerns, outcome, code = 0, make, receipt } = row;
    const fleet = await createFleet();
    const concerned = fleet.of(concerns);
    const operation = await receiptOf(await make(fleet, endsAfterMs));
    expect(operation).toMatchObject(receipt(concerned.length));
    if (outcome === 'closed') await expectClosed(concerned, code);
    await expectAlive(
      fleet,
      fleet.lives.filter((live) => outcome !== 'closed' || !concerned.includes(live)),
    );
    if (outcome === 'narrowed') await expectNarrowed(fleet);
    if (outcome === 'widened') await expectWidened(fleet);
    await expectNoWills(fleet);
    await fleet.stop();
    return { fleet, operation };
  }

  it('tenant suspended: closed, and nobody is left to be told', async () => {
    const fleet = await createFleet();
    const operation = await receiptOf(await platform.patch(fleet.path, { status: 'suspended' }));
    const everybody = [...fleet.lives, fleet.watcher];
    expect(operation).toMatchObject({ ...nothing, ...closes(everybody.length) });
    await expectClosed(everybody, 0x87);
    await fleet.stop();
  });

  it('certificate expired: closed, and nobody has changed anything', async () => {
    await withTimeEnough(6_000, async (ms) => {
      // Certificates are valid to the second.
      const fleet = await createFleet(new Date(Date.now() + ms));
      await expectAlive(fleet, fleet.lives);
      expect(fleet.of(showsCertificate)).toHaveLength(6);
      await expectClosed(fleet.of(showsCertificate), 0x87);
      await expectAlive(fleet, fleet.of(showsPassword));
      await expectNoWills(fleet);
      await fleet.stop();
    });
  });
});

describe('a client that is shown out', () => {
  it('leaves its will, for its rights are what they were, and the operation says so', async () => {
    const fleet = await createFleet();
    const [live] = fleet.lives as [Live];
    const shownOut = await receiptOf(
      await platform.call('DELETE', `${fleet.path}/sessions/${live.clientId}`),
    );
    expect(shownOut).toMatchObject({ ...nothing, sessionsTouched: 1, connectionsClosed: 1, willsSent: 1 });
    await expectClosed([live], 0x98);
    await eventually(
      async () => fleet.watcher.received,
      (topics) => topics.includes(`work/wills/${live.clientId}`),
    );
    await fleet.stop();
  });
});

describe('the deletion of a device', () => {
  let fleet: Fleet;
  const sessions = async (): Promise<Json> =>
    queryAsSuperuser(api.database, 'SELECT client_id FROM sessions WHERE device_id = $1', [fleet.device.id]);

  it('ends when nothing is left of a session, of a client that is away too', async () => {
    fleet = await createFleet();
    const { client, clientId } = await signIn(
      { transport: 'TCP', version: '5.0' },
      'fleet-away',
      fleet.password,
      { clean: false, properties: { sessionExpiryInterval: 3_600 }, will: undefined },
    );
    await client.subscribeAsync('work/#', { qos: 1 });
    await client.endAsync();
    await eventually(sessions, (rows) => rows.length === 1);
    const operation = await receiptOf(await platform.delete(`${fleet.path}/devices/${fleet.device.id}`));
    const closed = fleet.lives.length;
    expect(operation).toMatchObject({ sessionsTouched: closed + 1, connectionsClosed: closed });
    await fleet.watcher.client.publishAsync('work/later', 'x', { qos: 1 });
    expect(await sessions()).toEqual([]);
    const queued = 'SELECT count(*)::int FROM queue_entries WHERE client_id = $1';
    expect(await queryAsSuperuser(api.database, queued, [clientId])).toEqual([{ count: 0 }]);
    await fleet.stop();
  });

  it('waits for a process that does not confirm, until its lease is over, and no longer than a request may', async () => {
    fleet = await createFleet();
    const elsewhere = randomUUID();
    const lease = (interval: string) =>
      queryAsSuperuser(
        api.database,
        `INSERT INTO broker_processes (id, lease_until) VALUES ($1, now() + $2::interval)
           ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until`,
        [elsewhere, interval],
      );
    await lease('1 hour');
    const { path, device } = fleet;
    const patched = await platform.patch(`${path}/devices/${device.id}`, { attributes: { a: 'b' } });
    const operation = async () => (await platform.get(patched.headers.get('operation-location') ?? '')).body;
    await eventually(operation, ({ processesPending }) => processesPending === 1);
    expect(await operation()).toMatchObject({ status: 'applying', processesConfirmed: 1 });
    expect((await platform.delete(`${path}/devices/${device.id}`)).status).toBe(202);
    await expectClosed(fleet.lives, 0x87);
    // Of the three seconds that a request may wait, a slow machine leaves nothing: then it is tried again.
    const deleteAnother = async (): Promise<number> => {
      const other = await made(`${path}/devices`, { name: randomUUID() });
      await lease('1 second');
      return (await platform.delete(`${path}/devices/${other.id}`)).status;
    };
    await eventually(deleteAnother, (status) => status === 204);
    expect(await operation()).toMatchObject({
      status: 'applied',
      processesConfirmed: 1,
      processesPending: 0,
    });
    await fleet.stop();
  });
});
