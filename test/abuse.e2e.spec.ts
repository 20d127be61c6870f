/** Who may not connect though it proves who it is: ranges of addresses, bans, hours, ids that are fought over. Through a proxy, so that addresses differ. */
import { connect as connectSocket, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { connectBytes, frame, readPackets, text, uint16, type ServerPacket } from '#mqtt/testing';

import { startTestApi, type Answer, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { eventually } from './support/product.js';
import { withTimeEnough } from './support/time-enough.js';

const notAuthorized = 0x87;
const banned = 0x8a;
const badCredential = 0x86;
const clientIdNotValid = 0x85;
const takenOver = 0x8e;
const heldOff = 0x9f;
const rateExceeded = 0x9f;
const home = '203.0.113.9';
const away = '198.51.100.7';

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
const sockets: Socket[] = [];
let devices = 0;

beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('acme');
  installation = await createInstallation(api.database);
  broker = await installation.startBroker({ proxyProtocolFrom: ['127.0.0.1'] });
});
afterAll(async () => {
  sockets.forEach((socket) => socket.destroy());
  await broker.stop();
  await api.api.close();
  await installation.remove();
});

interface Device {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly username: string;
  readonly password: string;
}

async function newDevice(of: TestTenant = tenant, more: object = {}): Promise<Device> {
  const name = `pump-${(devices += 1)}`;
  const { id } = (await of.admin.post(`${of.path}/devices`, { name, ...more })).body;
  const path = `${of.path}/devices/${id}`;
  const { username, password } = (await of.admin.post(`${path}/credentials`, {})).body;
  return { id, name, path, username, password };
}

interface Visit {
  readonly code: number | undefined;
  /** Resolves when the server has ended it, with the code of its DISCONNECT. */
  readonly ended: Promise<number | undefined>;
  send(...bytes: readonly Buffer[]): void;
  next(type: ServerPacket['type']): Promise<ServerPacket>;
}

async function visit({ name, username, password }: Device, from = home, version = 5): Promise<Visit> {
  const socket = connectSocket(broker.ports.mqtt, '127.0.0.1');
  sockets.push(socket);
  let received = Buffer.alloc(0);
  const packets = (): readonly ServerPacket[] => readPackets(received, version).packets;
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])));
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const family = from.includes(':') ? 'TCP6' : 'TCP4';
  const to = from.includes(':') ? '::1' : '127.0.0.1';
  socket.write(`PROXY ${family} ${from} ${to} 54321 1883\r\n`);
  socket.write(connectBytes(name, { version, username, password }));
  const next: Visit['next'] = (type) =>
    eventually(
      async () => packets().find((packet) => packet.type === type),
      (packet) => packet !== undefined,
    ) as Promise<ServerPacket>;
  const { code } = await next('connack');
  const ended = closed.then(() => packets().find(({ type }) => type === 'disconnect')?.code);
  return { code, ended, next, send: (...bytes) => void socket.write(Buffer.concat(bytes)) };
}

async function leave(visitor: Visit): Promise<void> {
  visitor.send(frame(0xe0));
  await visitor.ended;
}

async function applied(answer: Answer): Promise<Json> {
  expect([answer.text, answer.status < 300]).toEqual([answer.text, true]);
  const path = answer.headers.get('operation-location') ?? 'no operation';
  return eventually(
    async () => (await api.platform.get(path)).body,
    ({ status }) => status === 'applied',
  );
}

async function denialOf({ id }: Device): Promise<Json> {
  return eventually(
    async () => (await tenant.viewer.get(`${tenant.path}/denials?device=${id}&action=connect`)).body.items[0],
    (denial) => denial !== undefined,
  );
}

describe('ranges of addresses', () => {
  it('of a device let it in from there alone, and close what is outside at once, with a receipt', async () => {
    const device = await newDevice();
    const [here, there] = [await newDevice(tenant, { addresses: { allow: ['203.0.113.0/24'] } }), device];
    expect((await visit(here, home)).code).toBe(0);
    expect((await visit(here, away)).code).toBe(notAuthorized);
    expect((await visit(here, away, 4)).code).toBe(5);
    expect((await visit(here, '::ffff:203.0.113.8')).code).toBe(0);
    expect(await denialOf(here)).toMatchObject({
      reason: 'not-authorized',
      address: away,
      detail: 'the address is in none of the ranges that the device allows',
    });
    const live = await visit(there, away);
    expect(live.code).toBe(0);
    const changed = await tenant.admin.patch(there.path, { addresses: { deny: [`${away}/32`] } });
    expect(changed.body.addresses).toEqual({ allow: null, deny: [`${away}/32`] });
    expect(await applied(changed)).toMatchObject({ sessionsTouched: 1, connectionsClosed: 1 });
    expect(await live.ended).toBe(notAuthorized);
    await tenant.admin.patch(there.path, { addresses: { deny: null } });
    expect((await visit(there, away)).code).toBe(0);
  });

  it('of a tenant hold for all its devices, IPv6 included, and a deny wins', async () => {
    const other = await api.createTenant('fenced');
    const device = await newDevice(other);
    const live = await visit(device, '2001:db8::5');
    const path = `${other.path}/address-ranges`;
    const before = await other.admin.get(path);
    expect(before.body).toMatchObject({ allow: null, deny: [] });
    const put = (body: object, ifMatch: string) =>
      other.admin.call('PUT', path, { body, headers: { 'if-match': ifMatch } });
    expect((await put({}, '"99"')).status).toBe(412);
    const changed = await put(
      { allow: ['2001:db8::/32', '203.0.113.0/24'], deny: ['2001:db8::/64'] },
      before.headers.get('etag') ?? '',
    );
    expect(await applied(changed)).toMatchObject({ connectionsClosed: 1 });
    expect(await live.ended).toBe(notAuthorized);
    expect((await visit(device, '2001:db8:1::5')).code).toBe(0);
    expect((await visit(device, home)).code).toBe(0);
    expect((await visit(device, away)).code).toBe(notAuthorized);
    const bad = await put({ allow: ['203.0.113.0/33'] }, '*');
    expect([bad.status, bad.body.errors[0].pointer]).toEqual([422, '#/allow/0']);
  });
});

describe('a ban', () => {
  it.each([
    ['client-id', '192.0.2.65', (device: Device) => device.name],
    ['username', '192.0.2.66', (device: Device) => device.username.split('@')[0] ?? ''],
    ['address', '192.0.2.69', () => '192.0.2.68/31'],
  ])('on a %s closes who is connected, turns it away, and is lifted', async (kind, from, valueOf) => {
    const device = await newDevice();
    const live = await visit(device, from);
    const made = await tenant.operator.post(`${tenant.path}/bans`, {
      kind,
      value: valueOf(device),
      reason: 'misbehaves',
    });
    expect(made.body).toMatchObject({ kind, isInForce: true, expiresAt: null, reason: 'misbehaves' });
    expect(await applied(made)).toMatchObject({ kind: 'ban', connectionsClosed: 1 });
    expect(await live.ended).toBe(notAuthorized); // DISCONNECT has no word for it
    expect((await visit(device, from)).code).toBe(banned);
    expect((await visit(device, from, 4)).code).toBe(5);
    expect(await denialOf(device)).toMatchObject({
      reason: 'banned',
      detail: expect.stringMatching(/is banned: misbehaves$/),
    });
    expect((await visit(await newDevice(), home)).code).toBe(0);
    expect((await tenant.operator.call('DELETE', `${tenant.path}/bans/${made.body.id}`)).status).toBe(204);
    expect((await visit(device, from)).code).toBe(0);
  });

  it('ends by itself, and can then be made again', async () => {
    await withTimeEnough(2_000, async (ms) => {
      const device = await newDevice();
      const ban = { kind: 'client-id', value: device.name };
      const ending = { ...ban, expiresAt: new Date(Date.now() + ms).toISOString() };
      await applied(await tenant.operator.post(`${tenant.path}/bans`, ending));
      expect((await visit(device)).code).toBe(banned);
      await eventually(
        async () => (await visit(device)).code,
        (code) => code === 0,
      );
      expect((await tenant.operator.post(`${tenant.path}/bans`, ban)).status).toBe(201);
      const twice = await tenant.operator.post(`${tenant.path}/bans`, ban);
      expect([twice.status, twice.body.code]).toEqual([409, 'conflict']);
    });
  });

  it("of one tenant's is nobody else's, and the platform's is everybody's", async () => {
    const stranger = await api.createTenant('stranger');
    const [mine, theirs] = [await newDevice(), await newDevice(stranger)];
    await tenant.operator.post(`${tenant.path}/bans`, { kind: 'client-id', value: theirs.name });
    const lives = await Promise.all([visit(mine, '100.64.1.7'), visit(theirs, '100.64.1.7')]);
    expect(lives.map(({ code }) => code)).toEqual([0, 0]);
    expect((await tenant.admin.post('/v1/bans', { kind: 'address', value: '100.64.1.7' })).status).toBe(403);
    const made = await api.platform.post('/v1/bans', { kind: 'address', value: '100.64.1.0/24' });
    expect(await applied(made)).toMatchObject({ connectionsClosed: 2 });
    expect(await Promise.all(lives.map(({ ended }) => ended))).toEqual([notAuthorized, notAuthorized]);
    expect((await visit(theirs, '100.64.1.200')).code).toBe(banned);
    expect((await stranger.admin.get(`${stranger.path}/bans/${made.body.id}`)).status).toBe(404);
    expect((await api.platform.call('DELETE', `/v1/bans/${made.body.id}`)).status).toBe(204);
    expect((await visit(theirs, '100.64.1.200')).code).toBe(0);
  });
});

describe('failed sign-ins', () => {
  it('slow down the username and the address that they came from, and nobody else', async () => {
    const [device, neighbour] = [await newDevice(), await newDevice()];
    const wrong = { ...device, password: 'not the password' };
    expect((await visit(wrong, '192.0.2.130')).code).toBe(badCredential);
    // One more is allowed every two seconds, of which a slow machine makes something: it fails until it may no more, and tries at once.
    const onceSlowedDown = async (from: string, version = 5): Promise<number | undefined> => {
      while ((await visit(wrong, '192.0.2.130')).code === badCredential);
      return (await visit(device, from, version)).code;
    };
    await eventually(
      () => onceSlowedDown('192.0.2.130'),
      (code) => code === rateExceeded,
    );
    await eventually(
      () => onceSlowedDown('::ffff:c000:282', 4), // the same address, as IPv6 writes it
      (code) => code === 3,
    );
    expect((await visit(device, '192.0.2.131')).code).toBe(0);
    expect((await visit(neighbour, '192.0.2.130')).code).toBe(0);
  });

  it('with a client identifier that somebody holds do not count as a fight over it', async () => {
    const device = await newDevice();
    await api.platform.patch(tenant.path, { limits: { maxTakeovers: 2 } });
    const live = await visit(device);
    const stranger = await newDevice(await api.createTenant('envious'));
    for (let attempt = 0; attempt < 4; attempt += 1) {
      expect((await visit({ ...device, password: 'guessed' }, away)).code).toBe(badCredential);
      expect([0, clientIdNotValid]).toContain((await visit({ ...stranger, name: device.name }, away)).code);
    }
    expect((await visit(device)).code).toBe(0);
    expect(await live.ended).toBe(takenOver);
  });
});

describe('a client identifier that two devices fight over', () => {
  it('stays with one of them for a while, and the other reads why', async () => {
    await api.platform.patch(tenant.path, { limits: { maxTakeovers: 2 } });
    const device = await newDevice();
    const codes = [];
    for (let round = 0; round < 4; round += 1) {
      codes.push((await visit(device, round % 2 === 0 ? home : away)).code);
    }
    expect(codes).toEqual([0, 0, 0, heldOff]);
    expect((await visit(device, home, 4)).code).toBe(3);
    expect(await denialOf(device)).toMatchObject({ reason: 'connection-rate-exceeded' });
    await api.platform.patch(tenant.path, { limits: { maxTakeovers: null } });
  });
});

describe('rules with conditions', () => {
  it('hold by the address and the transport of the connection', async () => {
    const device = await newDevice();
    const rules = [
      {
        effect: 'allow',
        actions: ['subscribe'],
        topics: ['work/#'],
        when: { addresses: ['203.0.113.0/24'], transports: ['tcp'] },
      },
      { effect: 'deny', actions: ['connect'], when: { addresses: ['198.51.100.0/24'] } },
    ];
    const policy = (await tenant.admin.post(`${tenant.path}/policies`, { name: 'by-address', rules })).body;
    const binding = { policyId: policy.id, targetKind: 'device', targetId: device.id };
    await tenant.admin.post(`${tenant.path}/policy-bindings`, binding);
    const ask = async (from: string): Promise<number> => {
      const live = await visit(device, from);
      live.send(frame(0x82, uint16(1), Buffer.from([0]), text('work/a'), Buffer.from([1])));
      const [code] = (await live.next('suback')).codes ?? [];
      await leave(live);
      return code ?? -1;
    };
    expect(await ask(home)).toBe(1);
    expect(await ask('192.0.2.1')).toBe(notAuthorized);
    expect((await visit(device, away)).code).toBe(notAuthorized);
  });

  it('do not hold outside their hours', async () => {
    const device = await newDevice();
    const now = new Date();
    const clock = (ms: number): string => new Date(ms).toISOString().slice(11, 16);
    const time = {
      from: clock(now.getTime() + 3_600_000),
      to: clock(now.getTime() + 7_200_000),
      zone: 'UTC',
    };
    const rules = [{ effect: 'allow', actions: ['subscribe'], topics: ['work/#'], when: { time } }];
    const policy = (await tenant.admin.post(`${tenant.path}/policies`, { name: 'by-hour', rules })).body;
    const binding = { policyId: policy.id, targetKind: 'device', targetId: device.id };
    await tenant.admin.post(`${tenant.path}/policy-bindings`, binding);
    const live = await visit(device);
    live.send(frame(0x82, uint16(1), Buffer.from([0]), text('work/a'), Buffer.from([1])));
    expect((await live.next('suback')).codes).toEqual([notAuthorized]);
  });
});
