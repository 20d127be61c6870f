import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { silentLogger } from '#process';

import { makeTestCertificates, type TestCertificates } from '../../../../test/support/certificates.js';
import { makeSelfSigned, purposes, type Pair } from '../../../../test/support/pki.js';
import type { Listener } from './accept.js';
import { Admission } from './admission.js';
import { ServerIdentities, type IdentityFiles } from './identities.js';
import { listenMqtts, listenMqttsBySockets } from './tls.js';
import { listenSecureWebSocket } from './websocket.js';

const dayMs = 24 * 3_600_000;

let first: TestCertificates;
let second: TestCertificates;
let dir: string;
let files: Required<IdentityFiles> & { hostsDir: string };
const open: (() => unknown)[] = [];

beforeAll(async () => {
  [first, second] = await Promise.all([makeTestCertificates(), makeTestCertificates()]);
});
afterAll(async () => {
  await Promise.all([first.remove(), second.remove()]);
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
  await rm(dir, { recursive: true });
});

const listens = {
  mqtts: listenMqtts,
  'mqtts by sockets': listenMqttsBySockets,
  wss: listenSecureWebSocket,
} as const;

async function serve(kind: keyof typeof listens): Promise<[ServerIdentities, Listener]> {
  dir = await mkdtemp(join(tmpdir(), 'moorage-identity-'));
  files = { certFile: join(dir, 'server.crt'), keyFile: join(dir, 'server.key'), hostsDir: dir };
  await put(first);
  const identities = await ServerIdentities.open({ ...files, hostsDir: dir }, silentLogger());
  open.push(() => identities.close());
  const listener = await listens[kind]({
    host: '127.0.0.1',
    port: 0,
    admission: new Admission(100),
    identity: identities,
    accept: (link) => ({
      received: () => undefined,
      drained: () => undefined,
      finished: () => link.end(),
      closed: () => undefined,
    }),
  });
  open.push(() => listener.close());
  return [identities, listener];
}

async function put({ certFile, keyFile }: TestCertificates): Promise<void> {
  await copyFile(certFile, files.certFile);
  await copyFile(keyFile, files.keyFile);
}

async function putHost(name: string, { pem, keyPem }: Pair): Promise<void> {
  await writeFile(join(dir, `${name}.crt`), pem);
  await writeFile(join(dir, `${name}.key`), keyPem);
}

/** What the server shows who asks for this host name. */
async function shown({ port }: Listener, servername = 'localhost'): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerX509Certificate() ?? { fingerprint256: '' };
  socket.destroy();
  return fingerprint256;
}

const fingerprintOf = (pem: Buffer | string): string => new X509Certificate(pem).fingerprint256;
const ofServer = { extendedKeyUsage: [purposes.serverAuth] };

describe.each(['mqtts', 'mqtts by sockets', 'wss'] as const)('the certificates of %s', (kind) => {
  it('are those of the files of now, while connections go on', async () => {
    const [identities, listener] = await serve(kind);
    const socket = connect({ host: '127.0.0.1', port: listener.port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    expect(await shown(listener)).toBe(fingerprintOf(first.cert));
    await put(second);
    expect(await identities.reload()).toBe(true);
    expect(await shown(listener)).toBe(fingerprintOf(second.cert));
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });

  it('stay where new ones cannot be served: no pair, not readable, at their end, or a host without its key', async () => {
    const [identities, listener] = await serve(kind);
    const ended = await makeSelfSigned('localhost', {
      ...ofServer,
      notBefore: new Date(Date.now() - 2 * dayMs),
      notAfter: new Date(Date.now() - dayMs),
    });
    const bad: (() => Promise<void>)[] = [
      () => copyFile(second.certFile, files.certFile),
      () => writeFile(files.certFile, 'no certificate'),
      () => rm(files.certFile),
      async () => {
        await writeFile(files.certFile, ended.pem);
        await writeFile(files.keyFile, ended.keyPem);
      },
      async () => {
        await put(second);
        await writeFile(join(dir, 'lonely.crt'), ended.pem);
      },
    ];
    for (const spoil of bad) {
      await spoil();
      expect(await identities.reload()).toBe(false);
      expect(await shown(listener)).toBe(fingerprintOf(first.cert));
    }
    await rm(join(dir, 'lonely.crt'));
    expect(await identities.reload()).toBe(true);
    expect(await shown(listener)).toBe(fingerprintOf(second.cert));
  });

  it('are those of the host name that a client asks for, with a star for one label', async () => {
    const [identities, listener] = await serve(kind);
    const acme = await makeSelfSigned('acme', {
      ...ofServer,
      san: [{ type: 'dns', value: 'acme.mqtt.example.com' }],
    });
    const all = await makeSelfSigned('all', {
      ...ofServer,
      san: [{ type: 'dns', value: '*.mqtt.example.com' }],
    });
    await putHost('acme', acme);
    await putHost('all', all);
    expect(await identities.reload()).toBe(true);
    expect(await shown(listener, 'ACME.mqtt.example.com')).toBe(fingerprintOf(acme.pem));
    expect(await shown(listener, 'other.mqtt.example.com')).toBe(fingerprintOf(all.pem));
    for (const name of ['deep.other.mqtt.example.com', 'mqtt.example.com', 'localhost'])
      expect([name, await shown(listener, name)]).toEqual([name, fingerprintOf(first.cert)]);
  });
});
