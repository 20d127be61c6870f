/** Devices that nobody knows: how they come in over MQTT, with api and broker as they run, and what they cannot do. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

import { startTestApi, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { makeAuthority, makeRequest, type Pair } from './support/pki.js';

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
const clients: MqttClient[] = [];

beforeAll(async () => {
  api = await startTestApi();
  installation = await createInstallation(api.database);
  broker = await installation.startBroker({ apiUrl: api.url });
  tenant = await api.createTenant('grid');
  await tenant.admin.post(`${tenant.path}/issuing-authorities`, { name: 'Grid devices' });
});
afterAll(async () => {
  await broker.stop();
  await api.api.close();
  await installation.remove();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});

type Listener = 'mqtts' | 'wss';

/** CONNACK or AUTH. */
interface Answer {
  readonly cmd: string;
  readonly reasonCode?: number;
  readonly properties?: { readonly authenticationData?: Buffer };
}

function open(listener: Listener, options: IClientOptions): MqttClient {
  const client = mqtt.connect(broker.url(listener), {
    protocolVersion: 5,
    ca: broker.certificates.ca,
    reconnectPeriod: 0,
    ...options,
  });
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

/** What the broker sends first. */
function received(client: MqttClient): Promise<Answer> {
  return new Promise((resolve) => {
    client.once('packetreceive', (packet) => resolve(packet as Answer));
  });
}

/** The reason code of CONNACK. */
async function signIn(listener: Listener, options: IClientOptions): Promise<[number, MqttClient]> {
  const client = open(listener, options);
  const packet = await received(client);
  return [packet.reasonCode ?? -1, client];
}

/** What AUTH brings back, or the code that CONNACK refuses with. */
async function ask(
  listener: Listener,
  method: string,
  request: object,
  options: IClientOptions = {},
): Promise<Json> {
  const client = open(listener, {
    clientId: 'newcomer',
    properties: {
      authenticationMethod: method,
      authenticationData: Buffer.from(JSON.stringify(request)),
    },
    ...options,
  });
  const packet = await received(client);
  if (packet.cmd !== 'auth') return packet.reasonCode;
  return JSON.parse(String(packet.properties?.authenticationData));
}

async function newToken(input: object = {}): Promise<string> {
  const made = await tenant.operator.post(`${tenant.path}/claim-tokens`, {
    name: `t${Math.random()}`,
    ...input,
  });
  return made.body.token;
}

const asDevice = ({ certificate, chain, clientId }: Json, key: string): IClientOptions => ({
  clientId,
  cert: certificate + chain,
  key,
});

/** The tenant sees it among its denials, once it is written. */
async function toldOf(detail: string): Promise<void> {
  for (;;) {
    const { body } = await tenant.viewer.get(`${tenant.path}/denials?limit=200`);
    if (body.items.some((denial: Json) => denial.detail === detail)) return;
    await sleep(50);
  }
}

describe.each(['mqtts', 'wss'] as const)('on %s', (listener) => {
  it('a claim token and a request bring a certificate, with which the device comes in', async () => {
    const { csr, keyPem } = await makeRequest('x');
    const name = `claimed-${listener}`;
    const answer = await ask(listener, 'MOORAGE-CLAIM', { token: await newToken(), csr, name });
    expect(answer).toMatchObject({ device: { name }, tenant: 'grid', clientId: name });
    const [code, client] = await signIn(listener, asDevice(answer, keyPem));
    expect(code).toBe(0);
    const [granted] = await client.subscribeAsync(`devices/${name}/in`, { qos: 1 });
    expect(granted?.qos).toBe(1);
  });

  it('a token that is wrong or used up brings nothing, and the holder of one that is used up is told', async () => {
    const token = await newToken();
    const claim = async (with_: string): Promise<Json> =>
      ask(listener, 'MOORAGE-CLAIM', { token: with_, csr: (await makeRequest(`m${Math.random()}`)).csr });
    expect(await claim(`${token.slice(0, -3)}AAA`)).toBe(0x86);
    expect((await claim(token)).tenant).toBe('grid');
    expect(await claim(token)).toBe(0x97);
    expect(await ask(listener, 'MOORAGE-CLAIM', { token })).toBe(0x87);
    await toldOf('provisioning: limit-reached');
  });

  it('who claims is not signed in, whatever it sends next', async () => {
    const { csr } = await makeRequest('x');
    const request = { token: await newToken({ nameTemplate: 'n-${random}' }), csr };
    const client = open(listener, {
      clientId: 'newcomer',
      properties: {
        authenticationMethod: 'MOORAGE-CLAIM',
        authenticationData: Buffer.from(JSON.stringify(request)),
      },
    });
    const properties = { authenticationMethod: 'MOORAGE-CLAIM' };
    client.handleAuth = (_, answer) => answer(undefined, { cmd: 'auth', reasonCode: 0x18, properties });
    const packets: Answer[] = [];
    client.on('packetreceive', (packet) => packets.push(packet as Answer));
    await new Promise<void>((resolve) => client.once('close', () => resolve()));
    expect(packets.map(({ cmd, reasonCode }) => [cmd, reasonCode])).toEqual([
      ['auth', 0x18],
      ['connack', 0x87],
    ]);
  });

  it('a device renews with the certificate it has, and both are good until the first is revoked', async () => {
    const first = await makeRequest('x');
    const name = `renews-${listener}`;
    const claimed = await ask(listener, 'MOORAGE-CLAIM', { token: await newToken(), csr: first.csr, name });
    const second = await makeRequest('y');
    const before = asDevice(claimed, first.keyPem);
    const renewed = await ask(listener, 'MOORAGE-RENEW', { csr: second.csr }, before);
    expect(renewed).toMatchObject({ device: claimed.device, clientId: name });
    const [oldCode, old] = await signIn(listener, before);
    expect(oldCode).toBe(0);
    const ended = new Promise<number | undefined>((resolve) => {
      old.once('disconnect', ({ reasonCode }) => resolve(reasonCode));
    });
    const at = `${tenant.path}/devices/${claimed.device.id}/certificates`;
    const { items } = (await tenant.viewer.get(at)).body;
    expect(items.map(({ issuedBy }: Json) => issuedBy.split(' ')[0])).toEqual(['claim', 'renewal']);
    const revoked = await tenant.operator.post(`${at}/${items[0].id}/revoke`, { reason: 'superseded' });
    expect(await ended).toBe(0x87);
    const operation = await tenant.viewer.get(revoked.headers.get('operation-location') ?? '');
    expect(operation.body.kind).toBe('trust-anchor');
    expect((await signIn(listener, before))[0]).toBe(0x87);
    expect((await signIn(listener, asDevice(renewed, second.keyPem)))[0]).toBe(0);
    expect(await ask(listener, 'MOORAGE-RENEW', { csr: second.csr }, before)).toBe(0x87);
    expect(await ask(listener, 'MOORAGE-RENEW', { csr: second.csr })).toBe(0x87);
  });
});

describe('a device that shows a certificate nobody knows', () => {
  let factory: Pair;
  let rule: string;
  beforeAll(async () => {
    factory = await makeAuthority('Factory');
    const anchors = `${tenant.path}/trust-anchors`;
    const { id, challenge } = (
      await tenant.admin.post(anchors, { name: 'factory', certificate: factory.pem })
    ).body;
    await tenant.admin.post(`${anchors}/${id}/proof`, { certificate: (await factory.issue(challenge)).pem });
    rule = `${anchors}/${id}/provisioning`;
  });

  const put = (body: object) => tenant.operator.call('PUT', rule, { body, headers: { 'if-match': '*' } });

  async function come(name: string): Promise<number> {
    const { pem, keyPem } = await factory.issue(name);
    return (await signIn('mqtts', { clientId: name, cert: pem, key: keyPem }))[0];
  }

  it('is registered where a rule of its anchor lets it, at once, and stays out where it does not', async () => {
    expect(await come('jit-1')).toBe(0x86);
    await put({ enabled: true, maxDevices: 2, namePattern: 'jit-*' });
    expect(await come('jit-1')).toBe(0);
    expect(await come('jit-1')).toBe(0);
    expect(await come('other')).toBe(0x87);
    expect(await come('jit-2')).toBe(0);
    expect(await come('jit-3')).toBe(0x87);
    await toldOf('provisioning: name-not-allowed');
    await toldOf('provisioning: too-many-devices');
    const devices = await tenant.viewer.get(`${tenant.path}/devices?namePrefix=jit-`);
    expect(devices.body.items.map(({ name }: Json) => name)).toEqual(['jit-1', 'jit-2']);
  });

  it('is one device, however many connections it opens at once', async () => {
    await put({ enabled: true, maxDevices: 10, namePattern: 'many' });
    const codes = await Promise.all(Array.from({ length: 6 }, () => come('many')));
    expect(new Set(codes)).toEqual(new Set([0]));
  });

  it('is nobody under the host name of another tenant, whatever tenant it names', async () => {
    const neighbour = await api.createTenant('neighbour');
    const host = 'neighbour.mqtt.example.com';
    await api.platform.call('PUT', `${neighbour.path}/host-names/${host}`);
    await put({ enabled: true, maxDevices: 10 });
    const { pem, keyPem } = await factory.issue('astray');
    const secure = { servername: host, checkServerIdentity: () => undefined };
    const username = `astray@${tenant.path.split('/').at(-1) ?? ''}`;
    const options = { clientId: 'astray', username, cert: pem, key: keyPem, ...(secure as IClientOptions) };
    expect((await signIn('mqtts', options))[0]).toBe(0x86);
    await toldOf('certificate: wrong-host');
    const { body } = await tenant.viewer.get(`${tenant.path}/devices?namePrefix=astray`);
    expect(body.items).toEqual([]);
  });

  it('stays out where the api cannot be asked', async () => {
    const alone = await installation.startBroker({ apiUrl: 'http://127.0.0.1:1' });
    const { pem, keyPem } = await factory.issue('many-more');
    await put({ enabled: true, maxDevices: 10 });
    const client = mqtt.connect(alone.url('mqtts'), {
      protocolVersion: 5,
      ca: alone.certificates.ca,
      clientId: 'many-more',
      cert: pem,
      key: keyPem,
      reconnectPeriod: 0,
    });
    client.on('error', () => undefined);
    clients.push(client);
    const packet = await received(client);
    expect(packet.reasonCode).toBe(0x88);
    await alone.stop();
  });
});

describe('with openssl and curl', () => {
  it('the walkthrough of docs/provisioning.md works as it is written', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'moorage-claim-'));
    try {
      const run = (command: string) => promisify(execFile)('sh', ['-ec', command], { cwd: dir });
      await run(`openssl ecparam -name prime256v1 -genkey -noout -out device.key
        openssl req -new -key device.key -subj /CN=boiler-7 -out device.csr`);
      const csr = await readFile(join(dir, 'device.csr'), 'utf8');
      const answer = await api.anonymous.post('/v1/claims', { token: await newToken(), csr });
      expect(answer.status).toBe(201);
      const key = await readFile(join(dir, 'device.key'), 'utf8');
      const [code] = await signIn('mqtts', asDevice(answer.body, key));
      expect([code, answer.body.clientId]).toEqual([0, 'boiler-7']);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
