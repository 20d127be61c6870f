/** Certificates against the broker as it runs: what is refused on every TLS listener and in both versions of TLS, and why. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';

import { isSignedBy, readCertificate, readRevocationList } from '#access';
import { connectBytes, readPackets } from '#mqtt/testing';
import { addTenantHost, deleteTrustAnchor, replaceRevocationList } from '#store';

import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import {
  type CertificateOptions,
  makeAuthority,
  makeSelfSigned,
  type Pair,
  purposes,
  usages,
} from './support/pki.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';
import { withTimeEnough } from './support/time-enough.js';

const dayMs = 24 * 3600 * 1000;
const listeners = ['mqtts', 'wss'] as const;
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const matrix = listeners.flatMap((listener) => versions.map((version) => ({ listener, version })));
type Way = (typeof matrix)[number];

let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let other: TestTenant;
let authority: Pair;
let otherAuthority: Pair;
let anchorId: string;
let device: TestDevice;
const ownHost = 'own.mqtt.example.com';
const otherHost = 'other.mqtt.example.com';
let pinned: Pair;
const clients: MqttClient[] = [];

beforeAll(async () => {
  installation = await createInstallation();
  broker = await installation.startBroker();
  const { store, database } = installation;
  [tenant, other, authority, otherAuthority, pinned] = await Promise.all([
    createTestTenant(store, database.secretKey),
    createTestTenant(store, database.secretKey),
    makeAuthority('Factory'),
    makeAuthority('Factory'), // the same name: it is the key that counts
    makeSelfSigned('whoever'),
  ]);
  anchorId = await tenant.addAnchor(authority.der);
  await other.addAnchor(otherAuthority.der);
  device = await addMeter('meter-1');
  await addCertificate(tenant, device, { fingerprint: pinned, authId: 'pinned-1' });
  await store.tenant(tenant.id, (tx) => addTenantHost(tx, ownHost));
  await store.tenant(other.id, (tx) => addTenantHost(tx, otherHost));
  const twin = await other.addDevice('meter-1');
  await addCertificate(other, twin);
});
afterAll(async () => {
  await broker.stop();
  await installation.remove();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});

// ------------------------------------------------------------------------------------------------------------ what is there

interface CertificateCredential {
  readonly fingerprint?: Pair;
  readonly anchorId?: string;
  readonly authId?: string;
}

async function addCertificate(
  of: TestTenant,
  { id, name }: TestDevice,
  more: CertificateCredential = {},
): Promise<string> {
  const { fingerprint: own, anchorId: demanded = null, authId = `cert-${name}` } = more;
  const fingerprint = own && readCertificate(own.der)?.fingerprint;
  const { id: credentialId } = await installation.store.tenant(of.id, ({ db }) =>
    db.credential.create({
      data: {
        tenantId: of.id,
        deviceId: id,
        kind: 'certificate',
        authId,
        anchorId: demanded,
        fingerprint: fingerprint === undefined ? null : Uint8Array.from(Buffer.from(fingerprint, 'hex')),
      },
    }),
  );
  return credentialId;
}

async function addMeter(name: string): Promise<TestDevice> {
  const made = await tenant.addDevice(name);
  await addCertificate(tenant, made);
  return made;
}

async function revoke(
  anchor: string,
  serials: readonly string[],
  nextUpdate = new Date(Date.now() + dayMs),
): Promise<bigint> {
  revocations += 1;
  return tenant.change('trust-anchor', { anchorId: anchor }, async (tx) => {
    const { version } = await tx.db.trustAnchor.findFirstOrThrow({ where: { id: anchor } });
    const number = String(revocations);
    await replaceRevocationList(tx, anchor, version, { number, thisUpdate: new Date(), nextUpdate, serials });
  });
}
let revocations = 0;

/** Of this change; with it whatever was changed before is in force. */
async function receiptOf(number: bigint): Promise<unknown> {
  for (;;) {
    const row = await installation.store.tenant(tenant.id, ({ db }) =>
      db.changeReceipt.findFirst({ where: { tenantId: tenant.id, number } }),
    );
    if (row !== null) return row.result;
    await sleep(20);
  }
}

// --------------------------------------------------------------------------------------------------------------- signing in

/** No certificate at all. */
const nobody = {} as Pair;

interface Attempt extends IClientOptions {
  readonly shown: Pair;
  /** Sent with it. */
  readonly chain?: readonly Pair[];
  /** The host name that is asked for (SNI). */
  readonly host?: string;
  /** Of TLS, to be resumed. */
  readonly session?: Buffer | undefined;
}

/** CONNACK's code and the client. */
async function attempt(
  { listener, version }: Way,
  { shown, chain = [], host, session, ...options }: Attempt,
): Promise<[number, MqttClient]> {
  // One at a time: who takes its own session over and over again is held off.
  await Promise.all(clients.splice(0).map((client) => client.endAsync(!client.connected)));
  const secure = {
    minVersion: version,
    maxVersion: version,
    ...(host === undefined ? {} : { servername: host, checkServerIdentity: () => undefined }),
    ...(session === undefined ? {} : { session }),
  };
  const client = mqtt.connect(broker.url(listener), {
    clientId: device.name,
    protocolVersion: 5,
    ca: broker.certificates.ca,
    ...(shown === nobody
      ? {}
      : { cert: [shown, ...chain].map(({ pem }) => pem).join(''), key: shown.keyPem }),
    ...(secure as IClientOptions),
    wsOptions: secure as NonNullable<IClientOptions['wsOptions']>,
    reconnectPeriod: 0,
    ...options,
  });
  client.on('error', () => undefined);
  clients.push(client);
  // Listened to from the beginning: on a slow machine the end may follow CONNACK at once.
  endings.set(
    client,
    new Promise((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode))),
  );
  const code = await new Promise<number>((resolve) => {
    client.once('packetreceive', (packet) => resolve((packet as IConnackPacket).reasonCode ?? -1));
    client.once('close', () => resolve(-1));
  });
  return [code, client];
}

const endings = new WeakMap<MqttClient, Promise<number | undefined>>();

interface Denial {
  readonly username: string;
  readonly reason: string;
  readonly detail: string;
}

/** What the tenant is told about an attempt under this client identifier, once it is written. */
async function denialOf(of: TestTenant, clientId: string): Promise<Denial> {
  for (;;) {
    const row = await installation.store.tenant(of.id, ({ db }) =>
      db.denial.findFirst({ where: { tenantId: of.id, clientId } }),
    );
    if (row !== null) return row;
    await sleep(50);
  }
}

let attempts = 0;
const nextId = () => `attempt-${(attempts += 1)}`;

describe.each(matrix)('on $listener with $version', (way) => {
  it('a certificate under an anchor of the tenant is let in, without a username', async () => {
    const [code] = await attempt(way, { shown: await authority.issue('meter-1') });
    expect(code).toBe(0);
  });

  it('so it is with intermediates, with its username, with the first part of it, and with a password of the device', async () => {
    const deeper = await (await authority.issueAuthority('Line 1')).issueAuthority('Station 1');
    const line = await authority.issueAuthority('Line 2', { pathLength: 0 });
    const shown = await line.issue('meter-1');
    expect((await attempt(way, { shown, chain: [line] }))[0]).toBe(0);
    expect(deeper.der.length).toBeGreaterThan(0);
    const own = { shown: await authority.issue('meter-1') };
    const password = device.password;
    for (const more of [
      { username: `cert-meter-1@${tenant.slug}` },
      { username: 'cert-meter-1' },
      { username: device.username, password },
      { username: 'meter-1', password },
    ])
      expect([more, (await attempt(way, { ...own, ...more }))[0]]).toEqual([more, 0]);
  });

  it('a pinned certificate is let in by itself, where the username names the tenant', async () => {
    const username = `pinned-1@${tenant.slug}`;
    expect((await attempt(way, { shown: pinned, username }))[0]).toBe(0);
    expect((await attempt(way, { shown: pinned }))[0]).toBe(0x86);
  });

  const named = (): Pick<Attempt, 'username'> => ({ username: `cert-meter-1@${tenant.slug}` });
  const issued = async (options: CertificateOptions): Promise<Attempt> => ({
    shown: await authority.issue('meter-1', options),
  });

  it.each<[string, number, () => Promise<Attempt>]>([
    [
      'unknown-anchor', // another key under the anchor's name
      0x86,
      async () => ({ shown: await (await makeAuthority('Factory')).issue('meter-1'), ...named() }),
    ],
    [
      'unknown-anchor', // the whole wrong chain, root included
      0x86,
      async () => {
        const root = await makeAuthority('Elsewhere');
        return { shown: await root.issue('meter-1'), chain: [root], ...named() };
      },
    ],
    [
      'unknown-anchor', // the authority of another tenant
      0x86,
      async () => ({ shown: await otherAuthority.issue('meter-1'), ...named() }),
    ],
    ['unknown-anchor', 0x86, async () => ({ shown: await makeSelfSigned('meter-1'), ...named() })],
    [
      'expired',
      0x87,
      () => issued({ notBefore: new Date(Date.now() - dayMs), notAfter: new Date(Date.now() - 60_000) }),
    ],
    ['not-yet-valid', 0x87, () => issued({ notBefore: new Date(Date.now() + 3_600_000) })],
    ['wrong-usage', 0x86, () => issued({ extendedKeyUsage: [purposes.serverAuth] })],
    ['wrong-usage', 0x86, () => issued({ keyUsage: usages.keyAgreement })],
    ['wrong-usage', 0x86, async () => ({ shown: await authority.issueAuthority('meter-1') })],
    ['wrong-usage', 0x86, async () => ({ shown: authority, ...named() })],
    [
      'wrong-usage', // a device that issues certificates for others
      0x86,
      async () => {
        const rogue = await authority.issue('meter-2');
        return { shown: await rogue.issue('meter-1'), chain: [rogue], ...named() };
      },
    ],
    [
      'path-too-long',
      0x86,
      async () => {
        const line = await authority.issueAuthority('Line', { pathLength: 0 });
        const station = await line.issueAuthority('Station');
        return { shown: await station.issue('meter-1'), chain: [station, line] };
      },
    ],
    [
      'chain-incomplete',
      0x86,
      async () => ({ shown: await (await authority.issueAuthority('Line')).issue('meter-1'), ...named() }),
    ],
    ['unknown-identity', 0x86, async () => ({ shown: await authority.issue('nobody') })],
    [
      'revoked',
      0x87,
      async () => {
        const shown = await authority.issue('meter-1');
        await revoke(anchorId, [shown.serial]);
        return { shown };
      },
    ],
    [
      'revoked', // by its intermediate authority
      0x87,
      async () => {
        const line = await authority.issueAuthority('Line');
        await revoke(anchorId, [line.serial]);
        return { shown: await line.issue('meter-1'), chain: [line] };
      },
    ],
    [
      'wrong-host', // it would be let in under the tenant's own host name, or under none
      0x86,
      async () => ({ shown: await authority.issue('meter-1'), host: otherHost }),
    ],
  ])('%s is refused, and the tenant sees why', async (fault, expected, prepare) => {
    const clientId = nextId();
    const [code] = await attempt(way, { ...(await prepare()), clientId });
    expect([fault, code]).toEqual([fault, expected]);
    expect((await denialOf(tenant, clientId)).detail).toBe(`certificate: ${fault}`);
  });

  it('a certificate never helps a password of another device, nor a password a certificate that is worth nothing', async () => {
    const neighbour = await tenant.addDevice(`n-${nextId()}`);
    const { username, password } = neighbour;
    const clientId = nextId();
    const mixed = await attempt(way, {
      shown: await authority.issue('meter-1'),
      username,
      password,
      clientId,
    });
    expect(mixed[0]).toBe(0x86);
    expect((await denialOf(tenant, clientId)).detail).toBe('the certificate is of another device');
    const worthless = {
      shown: await makeSelfSigned('x'),
      username: device.username,
      password: device.password,
    };
    expect((await attempt(way, worthless))[0]).toBe(0x86);
    const guess = { shown: await authority.issue('meter-1'), username: device.username, password: 'guess' };
    expect((await attempt(way, guess))[0]).toBe(0x86);
  });

  it('the same name under the anchor of another tenant is the device of that tenant', async () => {
    const shown = await otherAuthority.issue('meter-1');
    expect((await attempt(way, { shown }))[0]).toBe(0);
    const [presence] = await installation.store.tenant(tenant.id, ({ db }) =>
      db.presence.findMany({ where: { tenantId: other.id } }),
    );
    expect(presence).toBeUndefined();
  });

  it('no session of TLS is resumed, so that a certificate that was revoked meanwhile is seen', async () => {
    const shown = await authority.issue('meter-1');
    const open = (session: Buffer | undefined): TLSSocket =>
      connectTls({
        port: broker.ports[way.listener],
        host: '127.0.0.1',
        ca: broker.certificates.ca,
        cert: shown.pem,
        key: shown.keyPem,
        minVersion: way.version,
        maxVersion: way.version,
        ...(session === undefined ? {} : { session }),
      });
    const first = open(undefined);
    let session: Buffer | undefined;
    first.on('session', (ticket) => (session = ticket));
    await once(first, 'secureConnect');
    // TLS 1.3 sends its tickets after the handshake, before anything else.
    if (way.listener === 'mqtts') expect(await codeOver(first)).toBe(0);
    session ??= first.getSession();
    first.destroy();
    await revoke(anchorId, [shown.serial]);
    const second = open(session);
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(false);
    second.destroy();
    const clientId = nextId();
    expect((await attempt(way, { shown, session, clientId }))[0]).toBe(0x87);
    expect((await denialOf(tenant, clientId)).detail).toBe('certificate: revoked');
  });

  it("a tenant's own host name names the tenant, for certificates, pinned ones and passwords, and refuses all others'", async () => {
    const own = { shown: await authority.issue('meter-1'), host: ownHost };
    expect((await attempt(way, own))[0]).toBe(0);
    expect((await attempt(way, { ...own, host: ownHost.toUpperCase() }))[0]).toBe(0);
    expect((await attempt(way, { shown: pinned, host: ownHost }))[0]).toBe(0);
    const { username, password } = device;
    const plain = { shown: nobody, password, host: ownHost };
    expect((await attempt(way, { ...plain, username: 'meter-1' }))[0]).toBe(0);
    expect((await attempt(way, { ...plain, username }))[0]).toBe(0);
    const clientId = nextId();
    expect((await attempt(way, { ...plain, username, host: otherHost, clientId }))[0]).toBe(0x86);
    expect((await denialOf(tenant, clientId)).detail).toBe('the host name is of another tenant');
    expect((await attempt(way, { ...plain, username: 'meter-1', host: otherHost }))[0]).toBe(0x86);
  });
});

/** CONNECT and CONNACK over a socket. */
async function codeOver(socket: TLSSocket): Promise<number | undefined> {
  socket.write(connectBytes(device.name, { version: 5 }));
  let bytes = Buffer.alloc(0);
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
    const [packet] = readPackets(bytes, 5).packets;
    if (packet !== undefined) return packet.code;
  }
}

describe.each(matrix)('somebody who is in, on $listener with $version,', (way) => {
  async function enter(options: CertificateOptions = {}, more: CertificateCredential = {}) {
    const name = `live-${nextId()}`;
    const own = await tenant.addDevice(name);
    const credentialId = await addCertificate(tenant, own, more);
    const line = await makeAuthority(`Line of ${name}`);
    const anchor = await tenant.addAnchor(line.der);
    const shown = await line.issue(name, options);
    const [code, client] = await attempt(way, { shown, clientId: name });
    expect(code).toBe(0);
    /** The reason code of the DISCONNECT that ends the connection. */
    const end = endings.get(client);
    return { client, shown, line, anchor, credentialId, deviceId: own.id, end };
  }

  it('is shown out when the certificate is revoked', async () => {
    const { anchor, shown, end } = await enter();
    await revoke(anchor, [shown.serial]);
    expect(await end).toBe(0x87);
  });

  it('stays when another one is', async () => {
    const { anchor, client } = await enter();
    const number = await revoke(anchor, ['abcd']);
    const receipt = await receiptOf(number);
    expect(receipt).toMatchObject({ sessionsTouched: 1, connectionsClosed: 0 });
    expect(client.connected).toBe(true);
  });

  it('is shown out when the anchor is removed, and the receipt says so', async () => {
    const { anchor, end } = await enter();
    const number = await tenant.change('trust-anchor', { anchorId: anchor }, (tx) =>
      deleteTrustAnchor(tx, anchor, 1),
    );
    expect(await end).toBe(0x87);
    expect(await receiptOf(number)).toMatchObject({ sessionsTouched: 1, connectionsClosed: 1 });
  });

  it('is shown out when the credential is disabled or deleted, or the device disabled', async () => {
    const first = await enter();
    await tenant.change('credential', { credentialId: first.credentialId }, ({ db }) =>
      db.credential.updateMany({ where: { id: first.credentialId }, data: { disabledAt: new Date() } }),
    );
    expect(await first.end).toBe(0x87);
    const second = await enter();
    await tenant.change('credential', { credentialId: second.credentialId }, ({ db }) =>
      db.credential.deleteMany({ where: { id: second.credentialId } }),
    );
    expect(await second.end).toBe(0x87);
    const third = await enter();
    await tenant.change('device', { deviceId: third.deviceId }, ({ db }) =>
      db.device.updateMany({ where: { id: third.deviceId }, data: { status: 'disabled' } }),
    );
    expect(await third.end).toBe(0x87);
  });

  it('is shown out when the certificate ends', async () => {
    await withTimeEnough(3_000, async (ms) => {
      const { end } = await enter({ notAfter: new Date(Date.now() + ms) });
      expect(await end).toBe(0x87);
    });
  });

  it('is shown out when the revocation list is too old, unless the tenant lets it be', async () => {
    const { anchor, end } = await enter();
    await revoke(anchor, [], new Date(Date.now() - 1_000));
    expect(await end).toBe(0x87);
    const lenient = await enter();
    await tenant.change('trust-anchor', { anchorId: lenient.anchor }, ({ db }) =>
      db.trustAnchor.updateMany({ where: { id: lenient.anchor }, data: { crlWhenStale: 'ignore' } }),
    );
    const number = await revoke(lenient.anchor, [], new Date(Date.now() - 1_000));
    expect(await receiptOf(number)).toMatchObject({ sessionsTouched: 1, connectionsClosed: 0 });
  });
});

describe('an authority that two tenants trust', () => {
  it('does not name the tenant: the client has to', async () => {
    const shared = await makeAuthority('Shared');
    await tenant.addAnchor(shared.der);
    await other.addAnchor(shared.der);
    const shown = await shared.issue('meter-1');
    const way = { listener: 'mqtts', version: 'TLSv1.3' } as const;
    expect((await attempt(way, { shown }))[0]).toBe(0x86);
    for (const { slug } of [tenant, other])
      expect((await attempt(way, { shown, username: `cert-meter-1@${slug}` }))[0]).toBe(0);
  });
});

describe('an identity', () => {
  it.each([
    ['san-uri', 'urn:meter:${device}', 'url', 'urn:meter:meter-1'],
    ['san-dns', '${device}.meters.example', 'dns', 'meter-1.meters.example'],
    ['san-uri', 'urn:id:${authId}', 'url', 'urn:id:cert-meter-1'],
  ] as const)('is read from %s by the template %s', async (source, pattern, type, value) => {
    const line = await makeAuthority(`Line ${pattern.replaceAll(/\W/g, '')}`);
    await tenant.addAnchor(line.der, { identity: { source, pattern } });
    const way = { listener: 'mqtts', version: 'TLSv1.3' } as const;
    const shown = await line.issue('anything', { san: [{ type, value }] });
    expect((await attempt(way, { shown }))[0]).toBe(0);
    const twice = await line.issue('meter-1', {
      san: [
        { type, value },
        { type, value: value.replace('1', '2') },
      ],
    });
    expect((await attempt(way, { shown: twice }))[0]).toBe(0x86);
    expect((await attempt(way, { shown: await line.issue('meter-1') }))[0]).toBe(0x86);
  });

  it('counts under the anchor that its credential demands, and no other', async () => {
    const [right, wrong] = await Promise.all([makeAuthority('Right'), makeAuthority('Wrong')]);
    const demanded = await tenant.addAnchor(right.der);
    await tenant.addAnchor(wrong.der);
    const bound = await tenant.addDevice('bound');
    await addCertificate(tenant, bound, { anchorId: demanded });
    const way = { listener: 'mqtts', version: 'TLSv1.3' } as const;
    const clientId = 'bound';
    expect((await attempt(way, { shown: await right.issue('bound'), clientId }))[0]).toBe(0);
    expect((await attempt(way, { shown: await wrong.issue('bound'), clientId }))[0]).toBe(0x86);
  });
});

const revocationSettings = `
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 1
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid
`;

describe('certificates by openssl', () => {
  it('are read as it writes them: an authority, an intermediate one, a device, a revocation list', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'moorage-openssl-'));
    const run = (command: string) => promisify(execFile)('sh', ['-ec', command], { cwd: dir });
    try {
      await writeFile(
        join(dir, 'ca.ext'),
        'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n',
      );
      const ec = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
      await run(`openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj '/O=Grid/CN=Plain' -days 2
        openssl req ${ec} -keyout line.key -out line.csr -subj '/O=Grid/CN=Line'
        openssl x509 -req -in line.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out line.crt -days 2 -extfile ca.ext
        openssl req ${ec} -keyout own.key -out own.csr -subj '/O=Grid/CN=meter-1'
        openssl x509 -req -in own.csr -CA line.crt -CAkey line.key -CAcreateserial -out own.crt -days 1
        openssl x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out direct.crt -days 1`);
      const read = (name: string) => readFile(join(dir, name), 'utf8');
      const pair = async (cert: string, key: string): Promise<Pair> => {
        const der = Buffer.from((await read(cert)).split('-----')[2] ?? '', 'base64');
        return { ...authority, pem: await read(cert), der, keyPem: await read(key), serial: '' };
      };
      const plain = await pair('ca.crt', 'ca.key');
      const anchor = await tenant.addAnchor(plain.der);
      const way = { listener: 'mqtts', version: 'TLSv1.3' } as const;
      const shown = await pair('own.crt', 'own.key');
      expect((await attempt(way, { shown, chain: [await pair('line.crt', 'line.key')] }))[0]).toBe(0);
      expect((await attempt(way, { shown: await pair('direct.crt', 'own.key') }))[0]).toBe(0);
      expect((await attempt(way, { shown }))[0]).toBe(0x86);
      await writeFile(join(dir, 'ca.conf'), revocationSettings);
      await run(`touch index.txt; echo 07 > crlnumber
        openssl ca -config ca.conf -cert ca.crt -keyfile ca.key -revoke direct.crt
        openssl ca -config ca.conf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl`);
      const list = await readRevocationList(await read('ca.crl'));
      const facts = readCertificate(plain.der);
      if (typeof list === 'string' || facts === undefined)
        throw new Error('openssl wrote what cannot be read');
      expect([list.number, isSignedBy(list, facts)]).toEqual([7n, true]);
      await receiptOf(await revoke(anchor, list.serials)); // it has been let in by this certificate before
      expect((await attempt(way, { shown: await pair('direct.crt', 'own.key') }))[0]).toBe(0x87);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
