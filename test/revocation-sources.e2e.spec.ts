/**
 * What an authority says of its certificates, as the platform asks it: revocation lists that the api fetches and OCSP that the broker asks,
 * with both as they run, and clients on TLS and WebSocket.
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt, { type MqttClient } from 'mqtt';

import { queryAsSuperuser, startTestApi, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { createResponder, type TestResponder } from './support/ocsp.js';
import { listPlace, makeAuthority, x509Access, type Pair } from './support/pki.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const listeners = ['mqtts', 'wss'] as const;

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let publisher: Server;
let url: string;
/** What is published, by path. */
const published = new Map<string, RequestListener>();
const asked = new Map<string, number>();
const clients: MqttClient[] = [];
let count = 0;

beforeAll(async () => {
  const egress = { allowed: ['127.0.0.1'] };
  api = await startTestApi({ egress, lookForListsEveryMs: 50 });
  installation = await createInstallation(api.database);
  broker = await installation.startBroker({ apiUrl: api.url, egress });
  publisher = createServer((request, response) => {
    const path = request.url ?? '';
    asked.set(path, (asked.get(path) ?? 0) + 1);
    const answer = published.get(path);
    if (answer !== undefined) return answer(request, response);
    response.statusCode = 404;
    response.end();
  });
  publisher.listen(0, '127.0.0.1');
  await once(publisher, 'listening');
  url = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}`;
});
afterAll(async () => {
  publisher.closeAllConnections();
  publisher.close();
  await broker.stop();
  await api.api.close();
  await installation.remove();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});

function publish(path: string, list: string | Buffer): void {
  published.set(path, (_, response) => void response.end(list));
}

const toDer = (pem: string): Buffer => Buffer.from(pem.split('-----')[2]!, 'base64');

interface Fleet {
  readonly tenant: TestTenant;
  readonly anchor: string;
  readonly authority: Pair;
  readonly device: Pair;
  /** Where the list of this one is published. */
  readonly path: string;
  readonly view: () => Promise<Json>;
}

/** A tenant with a trusted authority and one device with a certificate by it. */
async function makeFleet(
  anchor: (path: string) => object,
  certificate: (path: string) => object = () => ({}),
): Promise<Fleet> {
  count += 1;
  const path = `/${count}.crl`;
  const authority = await makeAuthority(`Factory ${count}`);
  const tenant = await api.createTenant(`fleet-${count}`);
  const made = await tenant.operator.post(`${tenant.path}/trust-anchors`, {
    name: 'factory',
    certificate: authority.pem,
    ...anchor(path),
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  const self = `${tenant.path}/trust-anchors/${made.body.id}`;
  const proof = await authority.issue(made.body.challenge);
  await tenant.operator.post(`${self}/proof`, { certificate: proof.pem });
  const device = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'meter' })).body;
  await tenant.admin.post(`${tenant.path}/devices/${device.id}/credentials`, { kind: 'certificate' });
  return {
    tenant,
    anchor: self,
    authority,
    path,
    device: await authority.issue('meter', certificate(path)),
    view: async () => (await tenant.viewer.get(self)).body,
  };
}

/** The reason code of CONNACK, and the client. */
async function signIn(
  listener: (typeof listeners)[number],
  { device }: Fleet,
): Promise<[number, MqttClient]> {
  const client = mqtt.connect(broker.url(listener), {
    protocolVersion: 5,
    clientId: 'meter',
    ca: broker.certificates.ca,
    cert: device.pem,
    key: device.keyPem,
    reconnectPeriod: 0,
  });
  client.on('error', () => undefined);
  clients.push(client);
  const code = await new Promise<number>((resolve) => {
    client.once('packetreceive', (packet) => resolve((packet as { reasonCode?: number }).reasonCode ?? -1));
    client.once('close', () => resolve(-1));
  });
  return [code, client];
}

/** The reason code of the broker's DISCONNECT. */
function goodbye(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode)));
}

async function until<T>(look: () => Promise<T>, isSo: (value: T) => boolean): Promise<T> {
  for (const began = Date.now(); ; await sleep(50)) {
    const value = await look();
    if (isSo(value)) return value;
    if (Date.now() - began > 60_000) throw new Error(`not within a minute: ${JSON.stringify(value)}`);
  }
}

const fetchedNumber = (number: string) => (view: Json) => view.crl?.number === number;
/** Its turn is now. */
const hurry = () => queryAsSuperuser(api.database, 'UPDATE crl_sources SET due_at = now()', []);

describe('a revocation list that is fetched', () => {
  it('is in force within seconds of being named, is told of, and is asked for again before it is over', async () => {
    const fleet = await makeFleet((path) => ({ crlUrls: [`${url}${path}`] }));
    const expected = await until(fleet.view, (view) => view.crlSources[0].failures > 0);
    expect(expected.crl).toBeNull();
    expect(Date.parse(expected.crlExpectedAt)).toBeGreaterThan(Date.now());
    expect(expected.crlSources).toMatchObject([
      {
        origin: 'named',
        fetchedAt: null,
        error: { code: 'http-status', message: 'It answered with status 404.' },
      },
    ]);
    publish(
      fleet.path,
      await fleet.authority.revoke(['0a'], { number: 7, nextUpdate: new Date(Date.now() + hourMs / 2) }),
    );
    await hurry();
    const view = await until(fleet.view, fetchedNumber('7'));
    const [source] = view.crlSources;
    expect(view).toMatchObject({ crl: { entries: 1 }, crlExpectedAt: null });
    expect(source).toMatchObject({
      url: `${url}${fleet.path}`,
      failures: 0,
      error: null,
      fetchedAt: expect.any(String),
    });
    const waits = Date.parse(source.nextAt) - Date.now();
    expect(waits).toBeGreaterThan(20 * 60_000);
    expect(waits).toBeLessThan(28 * 60_000);
    const { body: audit } = await fleet.tenant.admin.get(
      `${fleet.tenant.path}/audit?action=trust-anchor.revoke`,
    );
    expect(audit.items).toMatchObject([
      { actor: 'platform', detail: { crl: '7', url: `${url}${fleet.path}` } },
    ]);
    const version = view.version;
    await hurry();
    const again = await until(fleet.view, (later) => later.crlSources[0].triedAt !== source.triedAt);
    expect([again.version, again.crlSources[0].error]).toEqual([version, null]); // the same list: nothing has changed
    const graphql = await fleet.tenant.viewer.post('/graphql', {
      query: `{ trustAnchor(tenant: "${fleet.tenant.slug}", id: "${view.id}") { crlSources { url origin nextAt error { code } } crlRefreshS } }`,
    });
    expect(graphql.body.data.trustAnchor).toMatchObject({
      crlRefreshS: 3_600,
      crlSources: [{ origin: 'named', error: null }],
    });
  });

  it.each(listeners)('shows out on %s whom it revokes, and no longer lets them in', async (listener) => {
    const fleet = await makeFleet((path) => ({ crlUrls: [`${url}${path}`] }));
    publish(fleet.path, toDer(await fleet.authority.revoke([], { number: 1 })));
    await hurry();
    await until(fleet.view, fetchedNumber('1'));
    const [code, client] = await signIn(listener, fleet);
    expect(code).toBe(0);
    const ended = goodbye(client);
    publish(fleet.path, toDer(await fleet.authority.revoke([fleet.device.serial], { number: 2 })));
    await hurry();
    expect(await ended).toBe(0x87);
    expect((await signIn(listener, fleet))[0]).toBe(0x87);
  });

  it('is looked for where certificates say, where the tenant has it so', async () => {
    const place = (path: string) => ({ extensions: [listPlace(`${url}${path}`)] });
    const heedless = await makeFleet(() => ({}), place);
    const fleet = await makeFleet(() => ({ crlFromCertificates: true }), place);
    const [code, client] = await signIn('mqtts', fleet);
    expect(code).toBe(0);
    await until(fleet.view, (view) => view.crlSources[0]?.failures > 0); // a broker has noted it, and nothing is there yet
    const ended = goodbye(client);
    publish(fleet.path, await fleet.authority.revoke([fleet.device.serial], { number: 3 }));
    await hurry();
    expect(await ended).toBe(0x87);
    const [source] = (await until(fleet.view, fetchedNumber('3'))).crlSources;
    expect(source).toMatchObject({ url: `${url}${fleet.path}`, origin: 'certificate' });
    await fleet.tenant.operator.patch(fleet.anchor, { crlFromCertificates: false });
    expect((await fleet.view()).crlSources).toEqual([]);
    await signIn('mqtts', heedless);
    expect(asked.get(heedless.path)).toBeUndefined();
  });

  it('that is bad, or cannot be had, changes nothing, and says why', async () => {
    const fleet = await makeFleet((path) => ({ crlUrls: [`${url}${path}`] }));
    const good = { number: 5, nextUpdate: new Date(Date.now() + dayMs) };
    publish(fleet.path, await fleet.authority.revoke(['0a'], good));
    await hurry();
    const { version } = await until(fleet.view, fetchedNumber('5'));
    const namesake = await makeAuthority(`Factory ${count}`);
    const whole = toDer(await fleet.authority.revoke(['0b'], { number: 6 }));
    const past = { thisUpdate: new Date(Date.now() - 2 * dayMs), nextUpdate: new Date(Date.now() - dayMs) };
    const answers: [string, RequestListener][] = [
      ['not-signed-by-anchor', async (_, response) => response.end(await namesake.revoke([], { number: 6 }))],
      ['malformed', (_, response) => response.end(whole.subarray(0, -3))],
      ['malformed', (_, response) => response.end('<html>')],
      ['not-newer', async (_, response) => response.end(await fleet.authority.revoke([], { number: 4 }))],
      [
        'expired',
        async (_, response) => response.end(await fleet.authority.revoke([], { number: 6, ...past })),
      ],
      [
        'egress.too-large',
        (_, response) => response.writeHead(200, { 'content-length': '16777217' }).flushHeaders(),
      ],
      ['egress.redirect', (_, response) => response.writeHead(302, { location: 'http://10.0.0.1/' }).end()],
      ['http-status', (_, response) => response.writeHead(500).end('no')],
      ['egress.unreachable', (request) => request.socket.destroy()],
      ['egress.timeout', () => undefined],
    ];
    for (const [code, answer] of answers) {
      published.set(fleet.path, answer);
      const { triedAt } = (await fleet.view()).crlSources[0];
      await hurry();
      const after = await until(
        fleet.view,
        ({ crlSources: [source] }) => source.triedAt !== triedAt && source.error?.code === code,
      );
      expect([code, after.crl.number, after.version]).toEqual([code, '5', version]);
    }
    const { crlSources } = await fleet.view();
    expect(crlSources[0].failures).toBe(answers.length);
    const waits = Date.parse(crlSources[0].nextAt) - Date.now();
    expect(waits).toBeGreaterThan(0.8 * hourMs); // twice as long each time, and never longer than an hour
    expect(waits).toBeLessThan(1.2 * hourMs);
    const inside = await makeFleet(() => ({ crlUrls: [url.replace('127.0.0.1', '127.0.0.2')] }));
    const refused = await until(inside.view, (view) => view.crlSources[0].error !== null);
    expect(refused.crlSources[0].error.code).toBe('egress.address');
  });

  it.each([
    ['refuse', 0x87],
    ['ignore', 0],
  ])('that never came counts, after a while, as one that is too old: %s', async (crlWhenStale, code) => {
    const makeOne = (): ReturnType<typeof makeFleet> =>
      makeFleet((path) => ({ crlUrls: [`${url}${path}`], crlWhenStale }));
    expect((await signIn('mqtts', await makeOne()))[0]).toBe(0);
    const fleet = await makeOne(); // nobody of it was here: the broker remembers no other time
    await queryAsSuperuser(
      api.database,
      "UPDATE trust_anchors SET crl_expected_at = now() - interval '1 second' WHERE tenant_id = $1",
      [fleet.tenant.id],
    );
    expect((await signIn('mqtts', fleet))[0]).toBe(code);
    await fleet.tenant.operator.patch(fleet.anchor, { crlUrls: [] });
    expect((await signIn('mqtts', fleet))[0]).toBe(0); // none is expected any more
  });

  it('is fetched before another of a tenant whose places have all been slow', async () => {
    const held: ServerResponse[] = [];
    const order: string[] = [];
    const hold = (path: string): void =>
      void published.set(path, (_, response) => {
        order.push('slow');
        held.push(response);
      });
    const slow = await makeFleet(() => ({}));
    for (const name of ['a', 'b']) {
      const paths = Array.from({ length: 4 }, (_, n) => `/slow-${name}-${n}.crl`);
      paths.forEach(hold);
      const authority = await makeAuthority(name);
      const made = await slow.tenant.operator.post(`${slow.tenant.path}/trust-anchors`, {
        name,
        certificate: authority.pem,
        crlUrls: paths.map((path) => url + path),
      });
      const proof = await authority.issue(made.body.challenge);
      await slow.tenant.operator.post(`${slow.tenant.path}/trust-anchors/${made.body.id}/proof`, {
        certificate: proof.pem,
      });
    }
    await until(
      async () => held.length,
      (count) => count === 4,
    ); // all that are fetched at once
    const fleet = await makeFleet((path) => ({ crlUrls: [url + path] }));
    published.set(fleet.path, (_, response) => {
      order.push('other');
      response.end();
    });
    held.shift()?.writeHead(404).end();
    await until(
      async () => order.length,
      (count) => count > 4,
    );
    expect(order[4]).toBe('other');
    for (const path of published.keys()) if (path.startsWith('/slow')) published.delete(path);
    for (const response of held) response.writeHead(404).end();
  });

  it('is not fetched from where nobody may be called, from too many places, or for an authority of the platform', async () => {
    const { tenant, anchor } = await makeFleet(() => ({}));
    const many = Array.from({ length: 5 }, (_, index) => `${url}/${index}`);
    const same = ['http://crl.example/a', 'HTTP://CRL.example:80/a'];
    const spaced = [' http://crl.example/', 'http://crl.example/\n'];
    const none = ['ftp://crl.example/', 'http://u:p@crl.example/', 'x', ...spaced].map((one) => [one]);
    for (const crlUrls of [...none, many, same, [url, url]]) {
      const refused = await tenant.operator.patch(anchor, { crlUrls });
      expect([crlUrls, refused.status]).toEqual([crlUrls, 422]);
    }
    for (const crlRefreshS of [59, 604_801])
      expect((await tenant.operator.patch(anchor, { crlRefreshS })).status).toBe(422);
    const own = await tenant.admin.post(`${tenant.path}/issuing-authorities`, { name: 'own' });
    const refused = await tenant.admin.patch(`${tenant.path}/trust-anchors/${own.body.id}`, {
      crlUrls: [url],
    });
    expect([refused.status, refused.body.errors[0]]).toMatchObject([
      422,
      { pointer: '#/crlUrls', code: 'issued-here' },
    ]);
  });
});

describe('a responder (OCSP)', () => {
  const started: { readonly remove: () => Promise<void>; readonly stop: () => Promise<void> }[] = [];
  afterAll(async () => {
    for (const { stop, remove } of started) {
      await stop();
      await remove();
    }
  });

  /** Where it listens, and says this of certificates. */
  async function respond(authority: Pair, says: Parameters<TestResponder['knows']>[0]): Promise<string> {
    const responder = await createResponder(authority);
    await responder.knows(says);
    const running = await responder.listen(60);
    started.push({ stop: () => running.stop(), remove: () => responder.remove() });
    return running.url;
  }

  it.each(listeners)(
    'lets in on %s whom it calls good, and refuses whom it calls revoked',
    async (listener) => {
      const fleet = await makeFleet(() => ({}));
      const at = await respond(fleet.authority, { revoked: [fleet.device.serial] });
      await fleet.tenant.operator.patch(fleet.anchor, { ocsp: 'hard', ocspUrl: at });
      expect((await signIn(listener, fleet))[0]).toBe(0x87);
      const good = await makeFleet(
        () => ({ ocsp: 'hard' }),
        () => ({ extensions: [x509Access(at)] }),
      );
      expect((await signIn(listener, good))[0]).toBe(0x87); // it speaks for another authority
      const ocspUrl = await respond(good.authority, { good: [good.device.serial] });
      await good.tenant.operator.patch(good.anchor, { ocspUrl });
      expect((await signIn(listener, good))[0]).toBe(0);
    },
  );

  it.each(listeners)(
    'is asked about whoever is in on %s as soon as the tenant has it asked',
    async (listener) => {
      const fleet = await makeFleet(() => ({}));
      const at = await respond(fleet.authority, { revoked: [fleet.device.serial] });
      const [code, client] = await signIn(listener, fleet);
      expect(code).toBe(0);
      const ended = goodbye(client);
      await fleet.tenant.operator.patch(fleet.anchor, { ocsp: 'soft', ocspUrl: at });
      expect(await ended).toBe(0x87);
    },
  );

  it.each([
    ['soft', 0],
    ['hard', 0x87],
  ])('that is silent is as %s has it', async (ocsp, code) => {
    const fleet = await makeFleet(() => ({ ocsp, ocspUrl: `${url}/silent` }));
    published.set('/silent', (request) => request.socket.destroy());
    expect((await signIn('mqtts', fleet))[0]).toBe(code);
  });
});
