/**
 * How devices prove themselves other than by generated passwords and certificates: set up by REST, tried over MQTT against the
 * broker as it runs, with an issuer of tokens and a tenant's own authenticator behind https.
 */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

import { startTestApi, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { eventually } from './support/product.js';
import { withTimeEnough } from './support/time-enough.js';

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let outside: Outside;
const clients: MqttClient[] = [];

beforeAll(async () => {
  api = await startTestApi();
  installation = await createInstallation(api.database);
  outside = await startOutside(installation);
  broker = await installation.startBroker({
    egress: { allowed: ['127.0.0.1'], ca: installation.certificates.ca },
  });
  tenant = await api.createTenant('clinic');
  const rules = [{ effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] }];
  const policy = (await tenant.admin.post(`${tenant.path}/policies`, { name: 'own', rules })).body;
  const binding = { policyId: policy.id, targetKind: 'tenant', targetId: tenant.id };
  await operationOf(tenant.admin.post(`${tenant.path}/policy-bindings`, binding));
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  await broker.stop();
  outside.stop();
  await api.api.close();
  await installation.remove();
});

// ------------------------------------------------------------------------------------------------------------ helpers

interface Made {
  /** Of the credential. */
  readonly path: string;
  readonly name: string;
  readonly username: string;
  readonly body: Json;
}

let made = 0;
async function device(credential: object): Promise<Made> {
  const name = `d-${(made += 1)}`;
  const own = (await tenant.admin.post(`${tenant.path}/devices`, { name })).body;
  const path = `${tenant.path}/devices/${own.id}/credentials`;
  const answer = await tenant.admin.post(path, { authId: name, ...credential });
  if (answer.status !== 201) throw new Error(answer.text);
  const { id, username } = answer.body;
  return { path: `${path}/${id}`, name, username, body: answer.body };
}

type Properties = NonNullable<IClientOptions['properties']>;

async function connect(
  { name, username }: Pick<Made, 'name' | 'username'>,
  password: string | undefined,
  properties?: Properties,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const client = mqtt.connect(broker.url('mqtt'), {
    clientId: name,
    username,
    ...(password === undefined ? {} : { password }),
    ...(properties === undefined ? {} : { properties }),
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  });
  // Listened to from the beginning: on a slow machine the end may follow CONNACK at once.
  endings.set(
    client,
    new Promise((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode ?? 0))),
  );
  clients.push(client);
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.on('error', reject);
    client.once('close', () => reject(new Error('it was closed before it was answered')));
  });
  return client;
}

/** The reason code of the refusal; 0: it was let in. */
async function codeOf(connecting: Promise<MqttClient>): Promise<number> {
  try {
    await connecting;
    return 0;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

const endings = new WeakMap<MqttClient, Promise<number>>();

/** The code of the server's DISCONNECT. */
async function ending(client: MqttClient): Promise<number | undefined> {
  return endings.get(client);
}

/** What the tenant reads of refusals: the reasons, latest first, of one user. */
async function denialOf({ username }: Pick<Made, 'username'>, detail: RegExp): Promise<void> {
  await eventually(
    async () => (await tenant.admin.get(`${tenant.path}/denials?limit=200`)).text,
    (text) =>
      JSON.parse(text).items.some((one: Json) => one.username === username && detail.test(one.detail)),
  );
}

interface Outside {
  readonly url: string;
  /** What the address of the keys answers. */
  keys: object[];
  keysAsked: number;
  /** What the authenticator answers; undefined: nothing at all. */
  answer: ((question: Json, signature: string, body: string) => object | number) | undefined;
  questions: Json[];
  stop(): void;
}

async function startOutside({ certificates }: TestInstallation): Promise<Outside> {
  const { cert, key } = certificates;
  const server = createServer({ cert, key }, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (request.url === '/keys') {
        state.keysAsked += 1;
        response.end(JSON.stringify({ keys: state.keys }));
        return;
      }
      const question: Json = JSON.parse(body);
      state.questions.push(question);
      const answer = state.answer?.(question, String(request.headers['moorage-signature']), body);
      if (answer === undefined) return;
      if (typeof answer === 'number') response.writeHead(answer).end();
      else response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const state: Outside = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keys: [],
    keysAsked: 0,
    answer: undefined,
    questions: [],
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return state;
}

interface Key {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

function newKey(kid: string): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' } };
}

function sign({ kid, privateKey }: Key, claims: object, lifetimeS = 600): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + lifetimeS;
  return new SignJWT({ exp, ...claims }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
}

const operationOf = async (
  changing: Promise<{ headers: Headers; status: number; text: string }>,
): Promise<Json> => {
  const { headers, status, text } = await changing;
  if (status >= 300) throw new Error(text);
  const path = headers.get('operation-location') ?? '';
  return eventually(
    async () => (await tenant.admin.get(path)).body,
    ({ status: is }) => is === 'applied',
  );
};

// -------------------------------------------------------------------------------------------------------------- tests

describe('a chosen password', () => {
  const chosen = 'Ein Pferd frisst keinen Gurkensalat';

  it('lets its device in, again and again, and nobody with another one', async () => {
    const own = await device({ secret: chosen });
    expect(own.body.password).toBeUndefined();
    expect(await codeOf(connect(own, chosen))).toBe(0);
    expect(await codeOf(connect(own, chosen))).toBe(0);
    expect(await codeOf(connect(own, `${chosen}!`))).toBe(0x86);
    expect(await codeOf(connect(own, ''))).toBe(0x86);
    await denialOf(own, /^wrong password$/);
  });

  it('that is known again is worth nothing once its credential is disabled or deleted, and who is in is shown out', async () => {
    const own = await device({ secret: chosen });
    const client = await connect(own, chosen);
    const end = ending(client);
    const receipt = await operationOf(tenant.admin.patch(own.path, { disabled: true }));
    expect([await end, receipt.connectionsClosed]).toEqual([0x87, 1]);
    expect(await codeOf(connect(own, chosen))).toBe(0x87);
    await tenant.admin.delete(own.path);
    expect(await codeOf(connect(own, chosen))).toBe(0x86);
  });
});

describe('a rotation', () => {
  it('gives a device a new credential, and the old one an end that closes who still uses it', async () => {
    const own = await device({});
    const before = Date.now();
    const rotated = await tenant.operator.call('POST', `${own.path}/rotate`, {
      body: { overlapS: 3_600 },
      headers: { 'if-match': '"1"' },
    });
    expect([rotated.status, rotated.body.replacesId]).toEqual([201, own.body.id]);
    const old = (await tenant.admin.get(own.path)).body;
    expect(Date.parse(old.notAfter) - before).toBeGreaterThanOrEqual(3_600_000);
    expect(await codeOf(connect(own, own.body.password))).toBe(0);
    const next = { name: own.name, username: rotated.body.username };
    const client = await connect(own, own.body.password);
    const end = ending(client);
    const last = await tenant.operator.call('POST', `${own.path}/rotate`, {
      body: { overlapS: 0 },
      headers: { 'if-match': '*' },
    });
    expect(last.status).toBe(201);
    expect(await end).toBe(0x87);
    expect(await codeOf(connect(own, own.body.password))).toBe(0x87);
    expect(await codeOf(connect(next, rotated.body.password))).toBe(0);
  });

  it('is refused without the version it was decided on, for what cannot be rotated, and with what is not its own', async () => {
    const own = await device({ kind: 'external' });
    const rotate = (path: string, body: object, headers = { 'if-match': '*' }) =>
      tenant.admin.call('POST', `${path}/rotate`, { body, headers });
    expect((await tenant.admin.post(`${own.path}/rotate`, {})).status).toBe(428);
    expect((await rotate(own.path, {}, { 'if-match': '"9"' })).status).toBe(412);
    expect((await rotate(own.path, {})).status).toBe(409);
    const other = await device({});
    expect((await rotate(other.path, { publicKey: 'x' })).status).toBe(422);
    expect((await rotate(other.path, { secret: 'short' })).status).toBe(422);
  });

  it('is counted for the tenant: who has moved, who has not, who has not been seen', async () => {
    const other = await api.createTenant('fleet');
    const fleet = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => {
        const own = (await other.admin.post(`${other.path}/devices`, { name })).body;
        const path = `${other.path}/devices/${own.id}/credentials`;
        return { name, path, credential: name === 'd' ? undefined : (await other.admin.post(path, {})).body };
      }),
    );
    const moved: Json[] = [];
    for (const { path, credential } of fleet.slice(0, 2)) {
      const headers = { 'if-match': '*' };
      const at = `${path}/${credential.id}/rotate`;
      moved.push((await other.admin.call('POST', at, { body: { overlapS: 3_600 }, headers })).body);
    }
    await connect({ name: 'a', username: moved[0].username }, moved[0].password);
    const overview = await eventually(
      async () => (await other.viewer.get(`${other.path}/credential-rotation`)).body,
      (body) => body.moved === 1,
    );
    expect(overview).toEqual({
      devices: 4,
      bare: 1,
      rotating: 2,
      moved: 1,
      pending: 1,
      unseen: 3,
      expiring: 0,
    });
    const list = async (query: string): Promise<string[]> => {
      const { body } = await other.viewer.get(`${other.path}/credential-rotation/devices?${query}`);
      return body.items.map((one: Json) => one.name);
    };
    expect(await list('state=moved')).toEqual(['a']);
    expect(await list('state=pending')).toEqual(['b']);
    expect(await list('state=untouched')).toEqual(['c']);
    expect(await list('state=bare')).toEqual(['d']);
    expect((await list('state=unseen')).toSorted()).toEqual(['b', 'c', 'd']);
    expect(await list('state=moved&since=2999-01-01T00:00:00Z')).toEqual([]);
    const [first] = await list('state=unseen&limit=1');
    expect(first).toBeDefined();
  });
});

describe('a token of a device', () => {
  it('signed by its registered key lets it in; by another, or for another tenant, it does not', async () => {
    const key = newKey('own');
    const own = await device({ kind: 'token', publicKey: key.jwk });
    const claims = { aud: 'clinic' };
    expect(await codeOf(connect(own, await sign(key, claims)))).toBe(0);
    expect(await codeOf(connect(own, await sign(newKey('own'), claims)))).toBe(0x86);
    await denialOf(own, /^token: wrong-signature$/);
    expect(await codeOf(connect(own, await sign(key, { aud: 'other' })))).toBe(0x86);
    await denialOf(own, /^token: wrong-audience$/);
    expect(await codeOf(connect(own, await sign(key, { ...claims, sub: 'somebody' })))).toBe(0x86);
    expect(await codeOf(connect(own, await sign(key, claims, -120)))).toBe(0x87);
    expect(await codeOf(connect(own, await sign(key, claims, 1_000_000)))).toBe(0x86);
    await denialOf(own, /^token: lives-too-long$/);
    expect(await codeOf(connect(own, undefined))).toBe(0x86);
  });

  it('is never in what the tenant reads of its refusal', async () => {
    const key = newKey('own');
    const own = await device({ kind: 'token', publicKey: key.jwk });
    const token = await sign(newKey('other'), { aud: 'clinic', marker: 'hunter2' });
    expect(await codeOf(connect(own, token))).toBe(0x86);
    await denialOf(own, /^token: /);
    const { text } = await tenant.admin.get(`${tenant.path}/denials?limit=200`);
    expect(text).not.toContain(token.slice(0, 40));
    expect(text).not.toContain('hunter2');
  });

  it('ends the connection when it ends, unless the next one comes in time by AUTH', async () => {
    await withTimeEnough(4_000, async (ms) => {
      const key = newKey('own');
      const [own, other] = [0, 1].map(() => device({ kind: 'token', publicKey: key.jwk }));
      // The leeway of clocks, a minute, is put to what a token says.
      const short = await sign(key, { aud: 'clinic' }, ms / 1_000 - 60);
      const [plain, renewed] = await Promise.all([
        connect(await own!, short),
        connect(await other!, undefined, {
          authenticationMethod: 'MOORAGE-JWT',
          authenticationData: Buffer.from(short),
        }),
      ]);
      const answered = new Promise<number>((resolve) => {
        renewed.on('packetreceive', (packet) => {
          if (packet.cmd === 'auth') resolve(packet.reasonCode ?? 0);
        });
        renewed.once('close', () => resolve(-1));
      });
      (renewed as unknown as { _writePacket(packet: object): void })._writePacket({
        cmd: 'auth',
        reasonCode: 0x19,
        properties: {
          authenticationMethod: 'MOORAGE-JWT',
          authenticationData: Buffer.from(await sign(key, { aud: 'clinic' })),
        },
      });
      expect(await answered).toBe(0);
      expect(await ending(plain)).toBe(0x87);
      expect(renewed.connected).toBe(true);
      await renewed.publishAsync(`devices/${renewed.options.clientId ?? ''}/x`, 'still here', { qos: 1 });
    });
  });

  it('by MOORAGE-JWT, of a credential that is none, is refused', async () => {
    const own = await device({});
    const properties = {
      authenticationMethod: 'MOORAGE-JWT',
      authenticationData: Buffer.from(own.body.password as string),
    };
    expect(await codeOf(connect(own, undefined, properties))).toBe(0x86);
  });
});

/** Sign-ins that rested on what the process remembers (decision 0012). */
async function remembered(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${broker.ports.ops}/metrics`)).text();
  return Number(/^moorage_sign_ins_remembered_total (\d+)$/m.exec(metrics)?.[1]);
}

describe('who comes back showing the same', () => {
  it('is let in from memory by a password, and is judged each time by a token or by the word of an authenticator', async () => {
    const generated = await device({});
    const before = await remembered();
    const comeTwice = async (own: Made, secret: string): Promise<void> => {
      for (let i = 0; i < 2; i += 1) await (await connect(own, secret)).endAsync();
    };
    await comeTwice(generated, generated.body.password);
    expect(await remembered()).toBe(before + 1);

    const issued = newKey('issued');
    outside.keys = [issued.jwk];
    const issuer = 'https://comes-back.example';
    const { body } = await tenant.admin.post(`${tenant.path}/token-issuers`, {
      name: 'comes back',
      issuer,
      audiences: ['moorage'],
      jwksUri: `${outside.url}/keys`,
    });
    const holder = await device({ kind: 'token', issuerId: body.id });
    await comeTwice(holder, await sign(issued, { iss: issuer, aud: 'moorage', sub: holder.name }));

    const keyed = newKey('own');
    const own = await device({ kind: 'token', publicKey: keyed.jwk });
    await comeTwice(own, await sign(keyed, { aud: 'clinic' }));

    const { url } = outside;
    await tenant.admin.post(`${tenant.path}/authenticator`, { url: `${url}/ask`, timeoutMs: 500 });
    outside.answer = () => ({ decision: 'allow' });
    const vouched = await device({ kind: 'external' });
    outside.questions = [];
    await comeTwice(vouched, 'x');
    expect(outside.questions.length).toBe(2);
    outside.answer = () => ({ decision: 'deny' });
    expect(await codeOf(connect(vouched, 'x'))).toBe(0x86);
    expect(await remembered()).toBe(before + 1);
    await tenant.admin.delete(`${tenant.path}/authenticator`);
    await tenant.admin.delete(`${tenant.path}/token-issuers/${body.id}`);
    outside.keysAsked = 0;
  });
});

describe('a token of an issuer', () => {
  const first = newKey('first');
  const issuer = 'https://id.example';
  let issuerPath: string;

  beforeAll(async () => {
    outside.keys = [first.jwk];
    const answer = await tenant.admin.post(`${tenant.path}/token-issuers`, {
      name: 'id',
      issuer,
      audiences: ['moorage'],
      jwksUri: `${outside.url}/keys`,
      identity: { claim: 'device', names: 'device' },
    });
    expect(answer.status).toBe(201);
    issuerPath = answer.headers.get('location') ?? '';
  });

  const token = (key: Key, own: Made, more: object = {}) =>
    sign(key, { iss: issuer, aud: 'moorage', device: own.name, ...more });

  it('lets in the device that it names, and asks for the keys once', async () => {
    const own = await device({ kind: 'token' });
    expect(await codeOf(connect(own, await token(first, own)))).toBe(0);
    expect(await codeOf(connect(own, await token(first, own)))).toBe(0);
    expect(outside.keysAsked).toBe(1);
    expect(await codeOf(connect(own, await token(first, own, { device: 'another' })))).toBe(0x86);
    await denialOf(own, /^token: wrong-subject$/);
    expect(await codeOf(connect(own, await token(first, own, { iss: 'https://evil.example' })))).toBe(0x86);
    await denialOf(own, /^token: unknown-issuer$/);
  });

  it('closes its connections when the issuer is no longer believed, and lets them in again when it is', async () => {
    const own = await device({ kind: 'token' });
    const client = await connect(own, await token(first, own));
    const end = ending(client);
    const receipt = await operationOf(tenant.admin.patch(issuerPath, { disabled: true }));
    expect(receipt.connectionsClosed).toBeGreaterThanOrEqual(1);
    expect(await end).toBe(0x87);
    expect(await codeOf(connect(own, await token(first, own)))).toBe(0x86);
    await tenant.admin.patch(issuerPath, { disabled: false });
    expect(await codeOf(connect(own, await token(first, own)))).toBe(0);
  });

  it('whose keys lead to where tenants may not call is no judgement on the client', async () => {
    const name = 'inside';
    const { body } = await tenant.admin.post(`${tenant.path}/token-issuers`, {
      name,
      issuer: name,
      audiences: ['moorage'],
      jwksUri: 'https://169.254.169.254/keys',
    });
    const own = await device({ kind: 'token', issuerId: body.id });
    expect(await codeOf(connect(own, await token(first, own, { iss: name, sub: own.name })))).toBe(0x88);
    await denialOf(own, /^token: keys-unavailable: .*may not be called$/);
    for (const jwksUri of ['http://id.example/keys', 'https://u:p@id.example/keys', 'file:///etc/passwd']) {
      const refused = await tenant.admin.post(`${tenant.path}/token-issuers`, {
        name: 'x',
        issuer: 'x',
        audiences: ['a'],
        jwksUri,
      });
      expect([refused.status, refused.body.errors[0].code]).toEqual([422, 'not-callable']);
    }
  });
});

describe('a tenant’s own authenticator', () => {
  let secret: string;
  let path: string;

  beforeAll(async () => {
    path = `${tenant.path}/authenticator`;
    const answer = await tenant.admin.post(path, { url: `${outside.url}/ask`, timeoutMs: 5_000 });
    expect(answer.status).toBe(201);
    ({ secret } = answer.body);
    expect((await tenant.admin.get(path)).text).not.toContain(secret);
  });

  it('is asked once at CONNECT, by a signed question, and its word stands for the password', async () => {
    const own = await device({ kind: 'external' });
    outside.questions = [];
    let signed = false;
    outside.answer = (_, signature, body) => {
      const [, at = '', hex = ''] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(signature) ?? [];
      signed = createHmac('sha256', secret).update(`${at}.${body}`).digest('hex') === hex;
      return { decision: 'allow' };
    };
    const client = await connect(own, 'open sesame');
    await client.publishAsync(`devices/${own.name}/x`, '1', { qos: 1 });
    expect(signed).toBe(true);
    expect(outside.questions).toMatchObject([
      { tenant: 'clinic', authId: own.name, clientId: own.name, transport: 'tcp' },
    ]);
    expect(Buffer.from(outside.questions[0].password, 'base64').toString()).toBe('open sesame');
  });

  it('may name another credential of its kind, and none of another kind', async () => {
    const [shared, badge, password] = await Promise.all([
      device({ kind: 'external', clientIdRule: { kind: 'any' } }),
      device({ kind: 'external' }),
      device({}),
    ]);
    outside.answer = () => ({ decision: 'allow', authId: badge.name });
    const client = await connect({ name: badge.name, username: shared.username }, 'badge');
    await client.publishAsync(`devices/${badge.name}/x`, '1', { qos: 1 });
    outside.answer = () => ({ decision: 'allow', authId: password.name });
    expect(await codeOf(connect({ name: password.name, username: shared.username }, 'badge'))).toBe(0x86);
    await denialOf(shared, /not its to name$/);
  });

  it('that says no, with a reason, is believed', async () => {
    const own = await device({ kind: 'external' });
    outside.answer = () => ({ decision: 'deny', reason: 'unpaid' });
    expect(await codeOf(connect(own, 'x'))).toBe(0x86);
    await denialOf(own, /^authenticator: denied: unpaid$/);
  });

  it('that ends a connection has its way', async () => {
    const own = await device({ kind: 'external' });
    await withTimeEnough(1_500, async (ms) => {
      outside.answer = () => ({ decision: 'allow', expiresAt: new Date(Date.now() + ms).toISOString() });
      expect(await ending(await connect(own, 'x'))).toBe(0x87);
    });
  });

  it('that is switched off shows out who is in by its word', async () => {
    const own = await device({ kind: 'external' });
    outside.answer = () => ({ decision: 'allow' });
    const end = ending(await connect(own, 'x'));
    await operationOf(tenant.admin.patch(path, { enabled: false }));
    expect(await end).toBe(0x87);
    expect(await codeOf(connect(own, 'x'))).toBe(0x86);
    await operationOf(tenant.admin.patch(path, { enabled: true }));
  });

  it('that fails is nobody’s proof: in time or not, and after a few times it is not asked for a while', async () => {
    const own = await device({ kind: 'external' });
    await operationOf(tenant.admin.patch(path, { timeoutMs: 500 }));
    outside.answer = () => 500;
    expect(await codeOf(connect(own, 'x'))).toBe(0x88);
    outside.answer = () => ({ decision: 'perhaps' });
    expect(await codeOf(connect(own, 'x'))).toBe(0x88);
    outside.answer = undefined;
    expect(await codeOf(connect(own, 'x'))).toBe(0x88);
    await denialOf(own, /^authenticator: .*has not answered in time$/);
    outside.answer = () => 503;
    await codeOf(connect(own, 'x'));
    await codeOf(connect(own, 'x'));
    outside.answer = () => ({ decision: 'allow' });
    outside.questions = [];
    expect(await codeOf(connect(own, 'x'))).toBe(0x88);
    expect(outside.questions).toEqual([]);
    await denialOf(own, /^authenticator: not asked/);
  });

  it('has a secret that is renewed, and shown once', async () => {
    const renewed = await tenant.admin.call('POST', `${path}/secret`, { headers: { 'if-match': '*' } });
    expect(renewed.status).toBe(200);
    expect(renewed.body.secret).not.toBe(secret);
    expect((await tenant.admin.post(path, { url: `${outside.url}/ask` })).status).toBe(409);
  });
});
