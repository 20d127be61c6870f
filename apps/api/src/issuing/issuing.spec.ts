import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isSignedBy, readCertificate, readRevocationList } from '#access';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { makeRequest } from '../../../../test/support/pki.js';

const dayMs = 24 * 3_600_000;

let api: TestApi;
let tenant: TestTenant;
let authorities: string;
let device: Json;
let certificates: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('grid');
  authorities = `${tenant.path}/issuing-authorities`;
  device = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'meter' })).body;
  certificates = `${tenant.path}/devices/${device.id}/certificates`;
});
afterAll(() => api.stop());

async function makeAuthority(input: object = {}): Promise<{ body: Json; self: string }> {
  const made = await tenant.admin.post(authorities, { name: `ca-${Math.random()}`, ...input });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return { body: made.body, self: made.headers.get('location') ?? '' };
}

async function issue(more: object = {}, cn = 'whatever'): Promise<Json> {
  const { csr } = await makeRequest(cn);
  const made = await tenant.operator.post(certificates, { csr, ...more });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return made.body;
}

describe('without an issuing authority', () => {
  it('nothing is issued', async () => {
    const { csr } = await makeRequest('meter');
    const refused = await tenant.operator.post(certificates, { csr });
    expect([refused.status, refused.body.errors[0].pointer]).toEqual([422, '#/authorityId']);
  });
});

describe('an issuing authority', () => {
  it('is made with a key that nobody sees, and is a trust anchor at once', async () => {
    const { body } = await makeAuthority({ name: 'Grid devices' });
    expect(body).toMatchObject({ name: 'Grid devices', status: 'active', subject: 'CN=Grid devices' });
    const facts = readCertificate(body.certificate);
    expect(facts).toMatchObject({ isAuthority: true, pathLength: 0, mayIssue: true, weakKey: false });
    const anchor = await tenant.viewer.get(`${tenant.path}/trust-anchors/${body.id}`);
    expect(anchor.body).toMatchObject({ state: 'trusted', challenge: null, identity: null });
    const [row] = await queryAsSuperuser(
      api.database,
      'SELECT sealed_key FROM issuing_authorities WHERE id = $1',
      [body.id],
    );
    // Not a PKCS #8 structure, and not the same twice.
    expect(row?.['sealed_key'].subarray(0, 2).toString('hex')).not.toBe('3081');
    expect(JSON.stringify(body)).not.toMatch(/key/i);
  });

  it('is made by admins alone', async () => {
    const refused = await tenant.operator.post(authorities, { name: 'x' });
    expect(refused.status).toBe(403);
  });

  it('has a key that opens in its own place only', async () => {
    const [first, second] = [await makeAuthority(), await makeAuthority()];
    await queryAsSuperuser(
      api.database,
      `UPDATE issuing_authorities a SET sealed_key = b.sealed_key FROM issuing_authorities b
        WHERE a.id = $1 AND b.id = $2`,
      [first.body.id, second.body.id],
    );
    const { csr } = await makeRequest('meter');
    const failed = await tenant.operator.post(certificates, { csr, authorityId: first.body.id });
    expect(failed.status).toBe(500);
    await tenant.admin.delete(first.self);
  });

  it('that is the newest and active issues: a roll-over is a second one and the retirement of the first', async () => {
    const first = await makeAuthority();
    expect((await issue()).authorityId).toBe(first.body.id);
    const second = await makeAuthority();
    expect((await issue()).authorityId).toBe(second.body.id);
    expect((await issue({ authorityId: first.body.id })).authorityId).toBe(first.body.id);
    const retired = await tenant.admin.patch(first.self, { status: 'retired' });
    expect([retired.status, retired.body.status]).toEqual([200, 'retired']);
    const { csr } = await makeRequest('meter');
    const refused = await tenant.operator.post(certificates, { csr, authorityId: first.body.id });
    expect([refused.status, refused.body.errors[0].code]).toEqual([422, 'retired']);
  });

  it('takes its certificates and their credentials along when it is deleted', async () => {
    const doomed = await makeAuthority();
    const { credentialId } = await issue({ authorityId: doomed.body.id });
    const credential = `${tenant.path}/devices/${device.id}/credentials/${credentialId}`;
    expect((await tenant.viewer.get(credential)).status).toBe(200);
    const deleted = await tenant.admin.delete(doomed.self);
    expect([deleted.status, deleted.headers.get('operation-location')]).toEqual([204, expect.any(String)]);
    expect((await tenant.viewer.get(credential)).status).toBe(404);
  });

  it('is not deleted as a trust anchor, which others may write', async () => {
    const { body, self } = await makeAuthority();
    const anchor = `${tenant.path}/trust-anchors/${body.id}`;
    for (const { status, body: problem } of [
      await tenant.operator.delete(anchor),
      await tenant.admin.delete(anchor),
    ])
      expect([status, problem.code]).toEqual([409, 'in-use']);
    expect((await tenant.admin.get(self)).status).toBe(200);
    expect((await tenant.admin.delete(self)).status).toBe(204);
  });

  it('belongs to its tenant: another cannot have it issue', async () => {
    const other = await api.createTenant('other-grid');
    const { id } = (await makeAuthority()).body;
    const foreign = (await other.admin.post(`${other.path}/devices`, { name: 'meter' })).body;
    const { csr } = await makeRequest('meter');
    const refused = await other.operator.post(`${other.path}/devices/${foreign.id}/certificates`, {
      csr,
      authorityId: id,
    });
    expect([refused.status, refused.body.errors[0].code]).toEqual([422, 'unknown-reference']);
  });
});

describe('a certificate for a device', () => {
  it('says what the platform knows, whatever the request asked for', async () => {
    await makeAuthority();
    const { csr } = await makeRequest('somebody else', {
      san: [
        { type: 'dns', value: 'bank.example' },
        { type: 'url', value: 'urn:uuid:0' },
      ],
    });
    const { body } = await tenant.operator.post(certificates, { csr });
    const facts = readCertificate(body.certificate);
    expect(facts?.names).toEqual({ cn: ['meter'], 'san-dns': [], 'san-uri': [`urn:uuid:${device.id}`] });
    expect(facts).toMatchObject({ isAuthority: false, maySign: true, isForClients: true, mayIssue: false });
    const authority = new X509Certificate(body.chain);
    expect(new X509Certificate(body.certificate).verify(authority.publicKey)).toBe(true);
    expect(body.serial).toMatch(/^[4-7][0-9a-f]{31}$/);
    const credential = await tenant.viewer.get(
      `${tenant.path}/devices/${device.id}/credentials/${body.credentialId}`,
    );
    expect(credential.body).toMatchObject({
      kind: 'certificate',
      fingerprint: body.fingerprint,
      anchorId: body.authorityId,
      notAfter: body.notAfter,
      username: body.username,
    });
  });

  it('is refused for what does not prove a strong key', async () => {
    const { csr } = await makeRequest('meter');
    const [head = '', body = '', tail = ''] = csr.split(/(?<=REQUEST-----\n)|(?=\n-----END)/);
    const der = Buffer.from(body, 'base64');
    der[der.length - 3]! ^= 1; // in its signature
    for (const [code, given] of [
      ['weak-key', (await makeRequest('meter', { keyKind: 'rsa-1024' })).csr],
      ['weak-signature', (await makeRequest('meter', { keyKind: 'rsa-sha1' })).csr],
      ['not-signed-by-its-key', `${head}${der.toString('base64')}${tail}`],
      ['malformed', 'AAAA'],
      ['malformed', csr + csr],
      ['malformed', csr.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE')],
    ] as const) {
      const refused = await tenant.operator.post(certificates, { csr: given });
      expect([refused.status, refused.body.errors[0]]).toMatchObject([422, { pointer: '#/csr', code }]);
    }
  });

  it('is issued for RSA, P-256 and Ed25519 keys, in PEM and in base64', async () => {
    for (const keyKind of ['rsa', 'p256', 'ed25519'] as const) {
      const { csr } = await makeRequest('meter', { keyKind });
      const bare = csr.split('-----')[2]!.replaceAll('\n', '');
      for (const given of [csr, bare]) {
        const made = await tenant.operator.post(certificates, { csr: given });
        expect([keyKind, made.status]).toEqual([keyKind, 201]);
        await tenant.operator.post(`${certificates}/${made.body.id}/revoke`, {});
      }
    }
  });

  it('is valid for as long as the authority lets it, and never longer than the authority itself', async () => {
    await makeAuthority({ days: 10, certificateDays: 5, maxCertificateDays: 60 });
    const lasts = ({ notBefore, notAfter }: Json) =>
      Math.round((Date.parse(notAfter) - Date.parse(notBefore)) / dayMs);
    expect(lasts(await issue())).toBe(5);
    expect(lasts(await issue({ days: 8 }))).toBe(8);
    expect(lasts(await issue({ days: 60 }))).toBe(10);
    const { csr } = await makeRequest('meter');
    const refused = await tenant.operator.post(certificates, { csr, days: 61 });
    expect([refused.status, refused.body.errors[0]]).toMatchObject([
      422,
      { pointer: '#/days', code: 'out-of-range' },
    ]);
  });

  it('is revoked once, for good, with an operation to follow, and stands in the signed list', async () => {
    const { body: authority, self } = await makeAuthority();
    const issued = await issue();
    const at = `${certificates}/${issued.id}`;
    const revoked = await tenant.operator.post(`${at}/revoke`, { reason: 'keyCompromise' });
    expect([revoked.status, revoked.body.revocationReason]).toEqual([200, 'keyCompromise']);
    expect(revoked.headers.get('operation-location')).not.toBeNull();
    expect((await tenant.operator.post(`${at}/revoke`, {})).status).toBe(409);
    const rows = await queryAsSuperuser(
      api.database,
      'SELECT serial FROM revoked_certificates WHERE anchor_id = $1',
      [authority.id],
    );
    expect(rows).toEqual([{ serial: issued.serial }]);
    const { body } = await tenant.viewer.get(`${self}/crl`);
    const list = await readRevocationList(body.crl);
    const facts = readCertificate(authority.certificate);
    if (typeof list === 'string' || facts === undefined) throw new Error('unreadable');
    expect([list.serials, String(list.number), isSignedBy(list, facts)]).toEqual([
      [issued.serial],
      body.number,
      true,
    ]);
    // The list cannot be brought back as a newer one: nothing takes a revocation back.
    const brought = await tenant.admin.call('PUT', `${tenant.path}/trust-anchors/${authority.id}/crl`, {
      body: { crl: body.crl },
    });
    expect([brought.status, brought.body.errors[0].code]).toEqual([422, 'issued-here']);
  });

  it('is revoked with its device', async () => {
    const { body: authority } = await makeAuthority();
    const doomed = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'doomed' })).body;
    const { csr } = await makeRequest('doomed');
    const { body } = await tenant.operator.post(`${tenant.path}/devices/${doomed.id}/certificates`, { csr });
    await tenant.operator.delete(`${tenant.path}/devices/${doomed.id}`);
    const rows = await queryAsSuperuser(
      api.database,
      'SELECT serial FROM revoked_certificates WHERE anchor_id = $1',
      [authority.id],
    );
    expect(rows).toEqual([{ serial: body.serial }]);
  });

  it('leaves an audit that names who asked, and no key', async () => {
    const { id } = await issue();
    const { body } = await tenant.admin.get(`${tenant.path}/audit?action=certificate.issue`);
    expect(body.items[0]).toMatchObject({ subjectId: id, detail: { deviceId: device.id } });
  });
});

describe('GraphQL', () => {
  it('makes authorities, issues and revokes as REST does', async () => {
    const run = async (query: string, variables: object = {}): Promise<Json> => {
      const { body } = await tenant.admin.post('/graphql', { query, variables });
      expect(body.errors).toBeUndefined();
      return body.data;
    };
    const { createIssuingAuthority: made } = await run(
      'mutation { createIssuingAuthority(tenant: "grid", input: { name: "by graphql" }) { id status } }',
    );
    expect(made.status).toBe('active');
    const { csr } = await makeRequest('meter');
    const { issueDeviceCertificate: issued } = await run(
      `mutation ($csr: String!) { issueDeviceCertificate(tenant: "grid", device: "${device.id}", input: { csr: $csr }) {
         certificate { id authorityId } chain username } }`,
      { csr },
    );
    expect(issued.certificate.authorityId).toBe(made.id);
    const { revokeDeviceCertificate: revoked } = await run(
      `mutation { revokeDeviceCertificate(tenant: "grid", device: "${device.id}", id: "${issued.certificate.id}") {
         operation certificate { revokedAt } } }`,
    );
    expect(revoked.operation).toMatch(/^\d+$/);
    const { issuedRevocationList: list } = await run(
      `{ issuedRevocationList(tenant: "grid", authority: "${made.id}") { entries number } }`,
    );
    expect(list.entries).toBe(1);
  });
});
