import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import {
  Extension,
  makeAuthority,
  makeSelfSigned,
  usages,
  type CertificateOptions,
  type Pair,
} from '../../../../test/support/pki.js';
import { toPem } from './trust-anchor.schema.js';

const dayMs = 24 * 3600 * 1000;
const past = new Date(Date.now() - dayMs);
const future = new Date(Date.now() + dayMs);

let api: TestApi;
let tenant: TestTenant;
let path: string;
let count = 0;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('grid');
  path = `${tenant.path}/trust-anchors`;
});
afterAll(() => api.stop());

/** In a tenant of its own, for a tenant has room for twenty. */
async function bring(
  authority: Pair,
  more: object = {},
): Promise<{ self: string; body: Json; of: TestTenant }> {
  count += 1;
  const of = await api.createTenant(`grid-${count}`);
  const made = await of.operator.post(`${of.path}/trust-anchors`, {
    name: 'factory',
    certificate: authority.pem,
    ...more,
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return { self: made.headers.get('location') ?? '', body: made.body, of };
}

describe('trust anchors', () => {
  it('begin as pending, with a challenge, and are trusted once the key has signed it', async () => {
    const authority = await makeAuthority('Factory');
    const { self, body, of } = await bring(authority);
    expect(body).toMatchObject({
      state: 'pending',
      provenAt: null,
      subject: 'CN=Factory',
      identity: { source: 'cn', pattern: '${device}' },
      crlWhenStale: 'refuse',
      crl: null,
    });
    expect(body.challenge.length).toBeLessThanOrEqual(64);
    expect(body.certificate).toBe(authority.pem);
    const proof = await authority.issue(body.challenge);
    const proven = await of.operator.post(`${self}/proof`, { certificate: proof.pem });
    expect([proven.status, proven.body.state, proven.body.challenge]).toEqual([200, 'trusted', null]);
    const again = await of.operator.post(`${self}/proof`, { certificate: proof.pem });
    expect([again.status, again.body.version]).toEqual([200, proven.body.version]);
  });

  it('are not proven by another key of the same name, another challenge, or the anchor of another tenant', async () => {
    const authority = await makeAuthority();
    const namesake = await makeAuthority();
    const { self, body, of } = await bring(authority);
    const elsewhere = await bring(authority);
    const attempts: [Promise<Pair>, string][] = [
      [namesake.issue(body.challenge), 'not-signed-by-anchor'],
      [makeSelfSigned(body.challenge), 'not-signed-by-anchor'],
      [authority.issue(elsewhere.body.challenge), 'wrong-common-name'],
      [authority.issue(`${body.challenge}x`), 'wrong-common-name'],
      [
        authority.issue(body.challenge, { notBefore: new Date(past.getTime() - dayMs), notAfter: past }),
        'expired',
      ],
    ];
    for (const [attempt, code] of attempts) {
      const refused = await of.admin.post(`${self}/proof`, { certificate: (await attempt).pem });
      expect([refused.status, refused.body.errors[0]]).toMatchObject([
        422,
        { pointer: '#/certificate', code },
      ]);
    }
    expect((await of.viewer.get(self)).body.state).toBe('pending');
  });

  it.each<[string, CertificateOptions]>([
    ['not-an-authority', { isAuthority: false }],
    ['wrong-usage', { keyUsage: usages.digitalSignature }],
    ['weak-key', { keyKind: 'rsa-1024' }],
    ['weak-signature', { keyKind: 'rsa-sha1' }],
    ['expired', { notBefore: new Date(past.getTime() - dayMs), notAfter: past }],
    ['unsupported-extension', { extensions: [new Extension('1.2.3.4', true, Buffer.from('0500', 'hex'))] }],
    ['unsupported-extension', { extensions: [new Extension('2.5.29.30', true, Buffer.from('3000', 'hex'))] }],
  ])('refuse what is %s', async (code, options) => {
    const { pem } = await makeAuthority('Bad', options);
    const refused = await tenant.admin.post(path, { name: code, certificate: pem });
    expect([refused.status, refused.body.errors[0]]).toMatchObject([422, { pointer: '#/certificate', code }]);
  });

  it('refuse what is no certificate, or several', async () => {
    const { pem, keyPem } = await makeAuthority();
    const broken = pem.replace(/[A-Z]{3}/, 'AAA');
    for (const certificate of ['', 'x', keyPem, pem + pem, `${keyPem}\n${pem}`, broken, 7]) {
      const refused = await tenant.admin.post(path, { name: 'n', certificate });
      expect([certificate, refused.status, refused.body.errors[0].pointer]).toEqual([
        certificate,
        422,
        '#/certificate',
      ]);
    }
    const { length } = (await tenant.admin.get(path)).body.items;
    expect(length).toBe(0);
  });

  it('take RSA, P-256 and Ed25519, a name pattern with one variable, and each key once in a tenant', async () => {
    for (const keyKind of ['rsa', 'p256', 'ed25519'] as const) {
      const { pem } = await makeAuthority('Good', { keyKind });
      const identity = { source: 'san-uri', pattern: 'urn:grid:${authId}' };
      const made = await tenant.admin.post(path, { name: keyKind, certificate: pem, identity });
      expect([made.status, made.body.identity]).toEqual([201, identity]);
      const again = await tenant.admin.post(path, { name: 'again', certificate: pem });
      expect([again.status, again.body.errors[0].pointer]).toEqual([409, '#/certificate']);
    }
    const { pem } = await makeAuthority();
    for (const pattern of [
      '',
      'fixed',
      '${device}${authId}',
      '${device}-${device}',
      '${attr.x}',
      '$device',
    ]) {
      const refused = await tenant.admin.post(path, {
        name: 'n',
        certificate: pem,
        identity: { source: 'cn', pattern },
      });
      expect([pattern, refused.status]).toEqual([pattern, 422]);
    }
    const taken = await tenant.admin.post(path, { name: 'rsa', certificate: pem });
    expect([taken.status, taken.body.errors[0].pointer]).toEqual([409, '#/name']);
  });

  it('are renewed under the same key and name, without another proof, and not by anything else', async () => {
    const authority = await makeAuthority('Factory');
    const { self, body, of } = await bring(authority);
    const { pem } = await authority.issue(body.challenge);
    await of.operator.post(`${self}/proof`, { certificate: pem });
    const renewed = await authority.renew('Factory', { notAfter: new Date(Date.now() + 7 * dayMs) });
    const { body: after } = await of.operator.patch(self, { certificate: renewed.pem });
    expect(after).toMatchObject({ state: 'trusted', publicKeyHash: body.publicKeyHash, version: 3 });
    expect(after.fingerprint).not.toBe(body.fingerprint);
    expect(Date.parse(after.notAfter) - Date.parse(body.notAfter)).toBeGreaterThan(5 * dayMs);
    const forged = toPem(withLastByteChanged(renewed.der));
    const farAhead = new Date(future.getTime() + dayMs);
    const longAgo = new Date(past.getTime() - dayMs);
    const otherKeyId = new Extension('2.5.29.14', false, Buffer.from('0403616263', 'hex'));
    for (const [code, other] of [
      ['not-signed-by-anchor', { pem: forged }],
      ['not-yet-valid', await authority.renew('Factory', { notBefore: future, notAfter: farAhead })],
      ['other-key', await makeAuthority('Factory')],
      ['other-subject', await authority.renew('Plant')],
      ['other-key-id', await authority.renew('Factory', { keyId: otherKeyId })],
      ['wrong-usage', await authority.renew('Factory', { keyUsage: usages.cRLSign })],
      ['expired', await authority.renew('Factory', { notBefore: longAgo, notAfter: past })],
    ] as const) {
      const refused = await of.operator.patch(self, { certificate: other.pem });
      expect([code, refused.status, refused.body.errors?.[0]]).toMatchObject([
        code,
        422,
        { pointer: '#/certificate', code },
      ]);
    }
  });

  it('are changed and deleted under If-Match, each a change that brokers follow', async () => {
    const { self, body, of } = await bring(await makeAuthority());
    expect((await of.operator.call('PATCH', self, { body: { name: 'x' } })).status).toBe(428);
    const changed = await of.operator.patch(self, { crlWhenStale: 'grace', crlGraceS: 60 });
    expect(changed.body).toMatchObject({ crlWhenStale: 'grace', crlGraceS: 60, version: 2 });
    expect((await of.operator.delete(self, '"1"')).status).toBe(412);
    const deleted = await of.operator.delete(self);
    const operation = await of.viewer.get(deleted.headers.get('operation-location') ?? '');
    expect(operation.body).toMatchObject({ kind: 'trust-anchor', status: 'applied' });
    const changes = await queryAsSuperuser(
      api.database,
      `SELECT subject FROM changes WHERE kind = 'trust-anchor' AND tenant_id = $1`,
      [of.id],
    );
    expect(changes).toEqual([1, 2].map(() => ({ subject: { anchorId: body.id } })));
  });
});

function withLastByteChanged(der: Buffer): Buffer {
  const changed = Buffer.from(der);
  changed[changed.length - 1]! ^= 1;
  return changed;
}

describe('a responder of an anchor', () => {
  it('is asked where the tenant says so: never, or at an address of its own, or where certificates say', async () => {
    const { self, body, of } = await bring(await makeAuthority());
    expect(body).toMatchObject({ ocsp: 'off', ocspUrl: null });
    const asked = await of.operator.patch(self, { ocsp: 'hard', ocspUrl: 'http://ocsp.example/' });
    expect(asked.body).toMatchObject({ ocsp: 'hard', ocspUrl: 'http://ocsp.example/', version: 2 });
    expect(asked.headers.get('operation-location')).not.toBeNull();
    expect((await of.operator.patch(self, { ocspUrl: null })).body).toMatchObject({
      ocsp: 'hard',
      ocspUrl: null,
    });
    for (const ocspUrl of ['ocsp.example', 'ftp://ocsp.example/', 'http://user:secret@ocsp.example/']) {
      const refused = await of.operator.patch(self, { ocspUrl });
      expect([ocspUrl, refused.status, refused.body.errors[0].pointer]).toEqual([ocspUrl, 422, '#/ocspUrl']);
    }
    expect((await of.operator.patch(self, { ocsp: 'maybe' })).status).toBe(422);
  });
});

describe('a revocation list', () => {
  it('takes the place of an older one, in PEM or DER, and never of a newer', async () => {
    const authority = await makeAuthority();
    const { self, of } = await bring(authority);
    const put = async (crl: string) => of.operator.call('PUT', `${self}/crl`, { body: { crl } });
    const first = await put(await authority.revoke(['0a', '00ff'], { number: 5 }));
    expect([first.status, first.body.crl]).toMatchObject([200, { number: '5', entries: 2 }]);
    expect(first.headers.get('operation-location')).not.toBeNull();
    const earlier = { number: 6, thisUpdate: new Date(Date.now() - 3_600_000) };
    for (const older of [{ number: 5 }, { number: 4 }, earlier]) {
      const refused = await put(await authority.revoke([], older));
      expect([refused.status, refused.body.errors[0].code]).toEqual([422, 'not-newer']);
    }
    const pem = await authority.revoke(['0b'], { number: 6 });
    const der = pem.split('-----')[2]!.replaceAll('\n', '');
    expect((await put(der)).body.crl).toMatchObject({ number: '6', entries: 1 });
    const rows = await queryAsSuperuser(
      api.database,
      'SELECT serial FROM revoked_certificates WHERE tenant_id = $1',
      [of.id],
    );
    expect(rows).toEqual([{ serial: 'b' }]);
  });

  it('of a large fleet is sent as it is, DER or PEM, up to 16 MiB', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'moorage-crl-'));
    const run = (command: string) => execFileSync('openssl', command.split(' '), { cwd: dir, stdio: 'pipe' });
    try {
      run('req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Fleet -days 30');
      await writeFile(
        join(dir, 'ca.cnf'),
        '[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n',
      );
      const make = async (first: number, count: number, number: string): Promise<Buffer> => {
        const serial = (index: number) => (0x7a00_0000_0000 + first + index).toString(16).toUpperCase();
        const line = (_: unknown, index: number) =>
          `R\t391231235959Z\t260101000000Z\t${serial(index)}\tunknown\t/CN=x\n`;
        await writeFile(join(dir, 'index'), Array.from({ length: count }, line).join(''));
        await writeFile(join(dir, 'index.attr'), 'unique_subject = no\n');
        await writeFile(join(dir, 'number'), `${number}\n`);
        run('ca -gencrl -config ca.cnf -cert ca.crt -keyfile ca.key -out list.pem');
        run('crl -in list.pem -outform DER -out list.der');
        return readFile(join(dir, 'list.der'));
      };
      const pem = await readFile(join(dir, 'ca.crt'), 'utf8');
      const { self, of } = await bring({ pem } as Pair);
      const put = (body: Buffer | string, type: string) =>
        fetch(`${api.url}${self}/crl`, {
          method: 'PUT',
          headers: { authorization: `Bearer ${of.operator.key}`, 'content-type': type },
          body: body as string,
        });
      const first = await put(await make(0, 40_000, '01'), 'application/pkix-crl');
      expect([first.status, ((await first.json()) as Json).crl]).toMatchObject([200, { entries: 40_000 }]);
      await make(100, 40_000, '02');
      const second = await put(await readFile(join(dir, 'list.pem'), 'utf8'), 'application/x-pem-file');
      expect([second.status, ((await second.json()) as Json).crl]).toMatchObject([200, { number: '2' }]);
      const rows = await queryAsSuperuser(
        api.database,
        'SELECT count(*)::int, min(serial) FROM revoked_certificates WHERE tenant_id = $1',
        [of.id],
      );
      expect(rows).toEqual([{ count: 40_000, min: '7a0000000064' }]);
      const huge = await put(Buffer.alloc(16 * 1024 * 1024 + 1), 'application/pkix-crl');
      expect([huge.status, ((await huge.json()) as Json).code]).toEqual([413, 'too-large']);
      const rowsType = await put('x', 'text/csv');
      expect([rowsType.status, ((await rowsType.json()) as Json).code]).toEqual([
        415,
        'unsupported-media-type',
      ]);
      const elsewhere = await of.operator.call('POST', `${of.path}/devices`, {
        text: 'x',
        headers: { 'content-type': 'application/pkix-crl' },
      });
      expect(elsewhere.status).toBe(415);
      expect((await of.viewer.get(self)).body.crl).toMatchObject({ number: '2' });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('is refused from another key, out of its time, without a number, or for a part of the certificates', async () => {
    const authority = await makeAuthority();
    const namesake = await makeAuthority();
    const noSigner = await makeAuthority('Mute', { keyUsage: usages.keyCertSign });
    const { self, of } = await bring(authority);
    const mute = await bring(noSigner);
    const delta = new Extension('2.5.29.27', true, Buffer.from('020101', 'hex'));
    const attempts: [string, string | Promise<string>, string?, TestTenant?][] = [
      ['not-signed-by-anchor', namesake.revoke([])],
      ['not-signed-by-anchor', noSigner.revoke([]), mute.self, mute.of],
      ['expired', authority.revoke([], { thisUpdate: new Date(past.getTime() - dayMs), nextUpdate: past })],
      [
        'not-yet-valid',
        authority.revoke([], { thisUpdate: future, nextUpdate: new Date(future.getTime() + dayMs) }),
      ],
      ['partial-list', authority.revoke([], { extensions: [delta] })],
      ['malformed', 'AAAA'],
      ['malformed', authority.pem],
    ];
    for (const [code, crl, at = self, by = of] of attempts) {
      const refused = await by.admin.call('PUT', `${at}/crl`, { body: { crl: await crl } });
      expect([code, refused.status, refused.body.errors?.[0]]).toMatchObject([
        code,
        422,
        { pointer: '#/crl', code },
      ]);
    }
    expect((await of.viewer.get(self)).body.crl).toBeNull();
  });
});

describe('certificate credentials', () => {
  let device: Json;
  let credentials: string;
  beforeAll(async () => {
    device = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'meter' })).body;
    credentials = `${tenant.path}/devices/${device.id}/credentials`;
  });

  it('are pinned by a certificate or its fingerprint, once in a tenant, and have no password', async () => {
    const own = await makeSelfSigned('whatever');
    const made = await tenant.operator.post(credentials, { kind: 'certificate', certificate: own.pem });
    expect([made.status, made.body.kind, made.body.anchorId]).toEqual([201, 'certificate', null]);
    expect(made.body.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(made.body).not.toHaveProperty('password');
    const { fingerprint } = made.body;
    const again = await tenant.operator.post(credentials, { kind: 'certificate', fingerprint });
    expect([again.status, again.body.code]).toEqual([409, 'name-taken']);
    const { pem } = await makeSelfSigned('server', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] });
    const server = await tenant.operator.post(credentials, { kind: 'certificate', certificate: pem });
    expect([server.status, server.body.errors[0].code]).toEqual([422, 'wrong-usage']);
  });

  it('demand an anchor of the tenant, or take any, and go with the one they demand', async () => {
    const { pem } = await makeAuthority();
    const anchor = await tenant.admin.post(path, { name: 'demanded', certificate: pem });
    const bound = await tenant.operator.post(credentials, { kind: 'certificate', anchorId: anchor.body.id });
    expect([bound.status, bound.body.anchorId]).toEqual([201, anchor.body.id]);
    const free = await tenant.operator.post(credentials, { kind: 'certificate' });
    expect([free.status, free.body.fingerprint, free.body.anchorId]).toEqual([201, null, null]);
    const foreign = (await bring(await makeAuthority())).body.id;
    const refused = await tenant.operator.post(credentials, { kind: 'certificate', anchorId: foreign });
    expect([refused.status, refused.body.errors[0]]).toMatchObject([
      422,
      { pointer: '#/anchorId', code: 'unknown' },
    ]);
    await tenant.operator.delete(anchor.headers.get('location') ?? '');
    expect((await tenant.viewer.get(bound.headers.get('location') ?? '')).status).toBe(404);
  });

  it('mean one thing: of several ways, and of a password with them, the second is refused', async () => {
    const { pem } = await makeSelfSigned('x');
    const fingerprint = 'a'.repeat(64);
    for (const body of [
      { certificate: pem },
      { kind: 'password', fingerprint },
      { kind: 'certificate', certificate: pem, fingerprint },
      { kind: 'certificate', fingerprint: fingerprint.toUpperCase() },
    ])
      expect((await tenant.admin.post(credentials, body)).status).toBe(422);
  });
});
