import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readCertificate } from '#access';
import { internalKey } from '#process';
import {
  queryAsSuperuser,
  startTestApi,
  type Answer,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { makeAuthority, makeRequest } from '../../../../test/support/pki.js';

let api: TestApi;
let tenant: TestTenant;
let tokens: string;
beforeAll(async () => {
  api = await startTestApi({ endpoints: { mqttsPort: 18_883, wssPort: 18_084 } });
  tenant = await api.createTenant('grid');
  tokens = `${tenant.path}/claim-tokens`;
  await tenant.admin.post(`${tenant.path}/issuing-authorities`, { name: 'Grid devices' });
});
afterAll(() => api.stop());

let count = 0;
async function newToken(input: object = {}): Promise<Json> {
  const made = await tenant.operator.post(tokens, { name: `batch ${(count += 1)}`, ...input });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return made.body;
}

async function claim(token: string, more: object = {}, csr?: string): Promise<Answer> {
  const request = csr ?? (await makeRequest(`meter-${(count += 1)}`)).csr;
  return api.anonymous.post('/v1/claims', { token, csr: request, ...more });
}

const usesOf = async ({ id }: Json): Promise<number> =>
  (await tenant.viewer.get(`${tokens}/${id}`)).body.uses;

describe('a claim token', () => {
  it('makes a device, with a certificate for the key of its request and the way to the broker', async () => {
    const { token, id } = await newToken();
    const answer = await claim(token, { name: 'kitchen' });
    expect([answer.status, answer.text]).toEqual([201, expect.any(String)]);
    const { body } = answer;
    expect(body).toMatchObject({
      device: { name: 'kitchen' },
      tenant: 'grid',
      clientId: 'kitchen',
      endpoints: {
        mqtts: { host: null, port: 18_883 },
        wss: { host: null, port: 18_084, path: '/mqtt' },
      },
    });
    expect(readCertificate(body.certificate)?.names.cn).toEqual(['kitchen']);
    const device = await tenant.viewer.get(`${tenant.path}/devices/${body.device.id}`);
    expect(device.body).toMatchObject({ name: 'kitchen', status: 'active' });
    const audit = await tenant.admin.get(`${tenant.path}/audit?action=device.claim`);
    expect(audit.body.items[0]).toMatchObject({ subjectId: body.device.id, detail: { claimToken: id } });
  });

  it('tells the host name of the tenant, where it has one', async () => {
    await api.platform.call('PUT', `${tenant.path}/host-names/grid.mqtt.example.com`);
    const { body } = await claim((await newToken()).token);
    expect(body.endpoints.mqtts.host).toBe('grid.mqtt.example.com');
  });

  it('is shown once, and kept as a hash', async () => {
    const made = await newToken();
    const read = await tenant.viewer.get(`${tokens}/${made.id}`);
    expect(read.body).toMatchObject({ id: made.id, maxUses: 1, uses: 0 });
    expect(read.body).not.toHaveProperty('token');
    const { body: audit } = await tenant.admin.get(`${tenant.path}/audit?subjectId=${made.id}`);
    expect(audit.items).toMatchObject([{ action: 'claim-token.create', subjectKind: 'claim-token' }]);
    expect(JSON.stringify(audit)).not.toContain(made.token);
    const dump = await queryAsSuperuser(api.database, 'SELECT * FROM claim_tokens');
    expect(JSON.stringify(dump)).not.toContain(made.token);
  });

  it('lets in as many as it counts, however many ask at once', async () => {
    const made = await newToken({ maxUses: 10, nameTemplate: 'm-${random}' });
    const requests = await Promise.all(Array.from({ length: 50 }, () => makeRequest('m')));
    // Who has waited too long for its turn is told to come back, and does.
    const claimAtLast = async (csr: string): Promise<Answer> => {
      for (;;) {
        const answer = await claim(made.token, {}, csr);
        if (answer.status !== 503) return answer;
        expect(answer.headers.get('retry-after')).toBe('2');
      }
    };
    const answers = await Promise.all(requests.map(({ csr }) => claimAtLast(csr)));
    const codes = answers.map(({ status, body }) => body.code ?? status);
    expect(codes.filter((code) => code === 201)).toHaveLength(10);
    expect(codes.filter((code) => code === 'limit-reached')).toHaveLength(40);
    expect(await usesOf(made)).toBe(10);
    const devices = await tenant.viewer.get(`${tenant.path}/devices?namePrefix=m-&limit=100`);
    expect(devices.body.items).toHaveLength(10);
  });

  it('answers the same key the same way, and counts it once: an answer may be lost', async () => {
    const made = await newToken();
    const { csr } = await makeRequest('lossy');
    const [first, second] = [await claim(made.token, {}, csr), await claim(made.token, {}, csr)];
    expect([second.status, second.body]).toEqual([201, first.body]);
    expect(await usesOf(made)).toBe(1);
    await tenant.operator.delete(`${tenant.path}/devices/${first.body.device.id}`);
    expect((await claim(made.token, {}, csr)).body.code).toBe('forbidden');
  });

  it('costs nothing where the claim fails', async () => {
    const made = await newToken();
    await tenant.operator.post(`${tenant.path}/devices`, { name: 'taken' });
    const taken = await claim(made.token, { name: 'taken' });
    expect([taken.status, taken.body.code]).toEqual([409, 'name-taken']);
    const weak = await claim(made.token, {}, (await makeRequest('w', { keyKind: 'rsa-1024' })).csr);
    expect([weak.status, weak.body.errors[0].code]).toEqual([422, 'weak-key']);
    await api.platform.patch(tenant.path, { limits: { maxDevices: 1 } });
    const one = await claim(made.token);
    expect([one.status, one.body.code]).toEqual([409, 'limit-reached']);
    await api.platform.patch(tenant.path, { limits: { maxDevices: null } });
    expect(await usesOf(made)).toBe(0);
  });

  it('names devices by its template, and only as its pattern allows', async () => {
    const made = await newToken({ maxUses: 5, nameTemplate: 'site1-${name}', namePattern: 'meter-*-a' });
    expect((await claim(made.token, { name: 'meter-7-a' })).body.device.name).toBe('site1-meter-7-a');
    for (const name of ['meter-7-b', 'xmeter-7-a', 'meter-a', 'meter-+-a', 'meter-/-a'])
      expect([name, (await claim(made.token, { name })).status]).toEqual([name, 403]);
    const random = await newToken({ nameTemplate: 'm-${random}' });
    expect((await claim(random.token)).body.device.name).toMatch(/^m-[0-9a-f]{12}$/);
    for (const nameTemplate of ['fixed', '${name}${name}', '${device}', 'a/${name}', '${name', ''])
      expect((await tenant.operator.post(tokens, { name: 't', nameTemplate })).status).toBe(422);
  });

  it('is worth nothing changed, expired, deleted, in a suspended tenant, or of another installation', async () => {
    const { token } = await newToken();
    const last = token.at(-1) === 'A' ? 'B' : 'A';
    const nobodys = `moc_${Buffer.alloc(64).toString('base64url')}`;
    for (const wrong of [token.slice(0, -2) + last + last, 'moc_x', 'x', `${token}A`, nobodys]) {
      const refused = await claim(wrong);
      expect([refused.status, refused.body.code]).toEqual([401, 'unauthenticated']);
    }
    const old = await newToken();
    await queryAsSuperuser(api.database, `UPDATE claim_tokens SET expires_at = now() WHERE id = $1`, [
      old.id,
    ]);
    expect((await claim(old.token)).body.code).toBe('forbidden');
    const deleted = await newToken();
    expect((await tenant.operator.call('DELETE', `${tokens}/${deleted.id}`)).status).toBe(204);
    expect((await claim(deleted.token)).status).toBe(401);
    const closed = await api.createTenant('closed');
    await closed.admin.post(`${closed.path}/issuing-authorities`, { name: 'x' });
    const own = await closed.operator.post(`${closed.path}/claim-tokens`, { name: 'x' });
    await api.platform.patch(closed.path, { status: 'suspended' });
    expect((await claim(own.body.token)).body.code).toBe('tenant-suspended');
  });

  it('is not to be guessed: who tries is slowed down', async () => {
    const other = await startTestApi({ rateLimits: { perKey: 60_000, failedSignIns: 5 } });
    try {
      const codes: number[] = [];
      for (let i = 0; i < 8; i += 1) {
        const token = `moc_${'A'.repeat(85)}${'ABCDEFGH'[i]}`;
        codes.push((await other.anonymous.post('/v1/claims', { token, csr: 'AAAA' })).status);
      }
      expect(codes).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    } finally {
      await other.stop();
    }
  });
});

// ---------------------------------------------------------------------------------------------------- just in time

describe('a provisioning rule', () => {
  const internal = () => api.anonymous.with(internalKey(api.database.secretKey));

  async function trusted(identity?: object): Promise<{ anchorId: string; self: string; of: TestTenant }> {
    const of = await api.createTenant(`jit-${(count += 1)}`);
    const authority = await makeAuthority();
    const anchor = await of.admin.post(`${of.path}/trust-anchors`, {
      name: 'factory',
      certificate: authority.pem,
      ...(identity === undefined ? {} : { identity }),
    });
    const self = `${of.path}/trust-anchors/${anchor.body.id}`;
    const proof = await authority.issue(anchor.body.challenge);
    await of.admin.post(`${self}/proof`, { certificate: proof.pem });
    return { anchorId: anchor.body.id, self: `${self}/provisioning`, of };
  }

  const put = (of: TestTenant, self: string, body: object, tag = '*') =>
    of.operator.call('PUT', self, { body, headers: { 'if-match': tag } });

  async function register(of: TestTenant, anchorId: string, name: string, kind = 'device'): Promise<string> {
    const body = { tenantId: of.id, anchorId, kind, name, address: '192.0.2.1' };
    let answer = await internal().post('/internal/registrations', body);
    // It has waited too long for its turn, and comes back.
    while (answer.status === 503) answer = await internal().post('/internal/registrations', body);
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    return answer.body.why ?? 'registered';
  }

  it('is needed, and has to be enabled: nobody registers without', async () => {
    const { anchorId, self, of } = await trusted();
    expect(await register(of, anchorId, 'a')).toBe('off');
    await put(of, self, { enabled: false, maxDevices: 10 });
    expect(await register(of, anchorId, 'a')).toBe('off');
    await put(of, self, { enabled: true, maxDevices: 10 });
    expect(await register(of, anchorId, 'a')).toBe('registered');
    const devices = await of.viewer.get(`${of.path}/devices`);
    expect(devices.body.items).toMatchObject([{ name: 'a', status: 'active' }]);
    const credentials = await of.viewer.get(`${of.path}/devices/${devices.body.items[0].id}/credentials`);
    expect(credentials.body.items).toMatchObject([{ kind: 'certificate', anchorId, fingerprint: null }]);
  });

  it('lets in so many in all, and so many a minute, however many come at once', async () => {
    const { anchorId, self, of } = await trusted();
    await put(of, self, { enabled: true, maxDevices: 5 });
    const names = Array.from({ length: 20 }, (_, i) => `n-${i}`);
    const outcomes = await Promise.all(names.map((name) => register(of, anchorId, name)));
    expect(outcomes.filter((outcome) => outcome === 'registered')).toHaveLength(5);
    expect(outcomes.filter((outcome) => outcome === 'too-many-devices')).toHaveLength(15);
    const hurried = await trusted();
    await put(hurried.of, hurried.self, { enabled: true, maxDevices: 100, perMinute: 2 });
    const rest = await Promise.all(
      names.slice(0, 5).map((name) => register(hurried.of, hurried.anchorId, name)),
    );
    expect(rest.toSorted()).toEqual([
      'registered',
      'registered',
      'too-many-per-minute',
      'too-many-per-minute',
      'too-many-per-minute',
    ]);
  });

  it('lets in no more than the operator lets the tenant have', async () => {
    const { anchorId, self, of } = await trusted();
    await put(of, self, { enabled: true, maxDevices: 10 });
    await api.platform.patch(of.path, { limits: { maxDevices: 2 } });
    const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => register(of, anchorId, name)));
    expect(outcomes.toSorted()).toEqual(['registered', 'registered', 'too-many-devices', 'too-many-devices']);
  });

  it('makes one device of one name, however often it comes at once, and takes over none that is there', async () => {
    const { anchorId, self, of } = await trusted();
    await put(of, self, { enabled: true, maxDevices: 10 });
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => register(of, anchorId, 'same')));
    expect(new Set(outcomes)).toEqual(new Set(['registered']));
    expect((await of.viewer.get(self)).body.registered).toBe(1);
    await of.operator.post(`${of.path}/devices`, { name: 'by-hand' });
    expect(await register(of, anchorId, 'by-hand')).toBe('name-taken');
  });

  it('does not bring back what somebody has deleted', async () => {
    const { anchorId, self, of } = await trusted();
    await put(of, self, { enabled: true, maxDevices: 10 });
    await register(of, anchorId, 'stolen');
    const [device] = (await of.viewer.get(`${of.path}/devices`)).body.items;
    await of.operator.delete(`${of.path}/devices/${device.id}`);
    expect(await register(of, anchorId, 'stolen')).toBe('registered-before');
  });

  it('names devices as certificates do, or by its template where those name a credential', async () => {
    const { anchorId, self, of } = await trusted();
    const refused = await put(of, self, { enabled: true, maxDevices: 1, nameTemplate: 'x-${name}' });
    expect([refused.status, refused.body.errors[0].pointer]).toEqual([422, '#/nameTemplate']);
    await put(of, self, { enabled: true, maxDevices: 10, namePattern: 'm-*' });
    expect(await register(of, anchorId, 'other')).toBe('name-not-allowed');
    const other = await trusted({ source: 'san-uri', pattern: 'urn:id:${authId}' });
    await put(other.of, other.self, { enabled: true, maxDevices: 1, nameTemplate: 'x-${name}' });
    expect(await register(other.of, other.anchorId, 'serial7', 'authId')).toBe('registered');
    const [device] = (await other.of.viewer.get(`${other.of.path}/devices`)).body.items;
    expect(device.name).toBe('x-serial7');
  });

  it('is changed and deleted under If-Match, and is not for authorities of the platform', async () => {
    const { self, of } = await trusted();
    expect((await of.operator.call('PUT', self, { body: { enabled: true, maxDevices: 1 } })).status).toBe(
      428,
    );
    expect((await put(of, self, { enabled: true, maxDevices: 1 }, '"1"')).status).toBe(412);
    expect((await put(of, self, { enabled: true, maxDevices: 1 })).body.version).toBe(1);
    expect((await put(of, self, { enabled: true, maxDevices: 2 }, '"1"')).body.version).toBe(2);
    expect((await put(of, self, { enabled: true, maxDevices: 2 }, '"1"')).status).toBe(412);
    const shown = (await of.viewer.get(self)).body;
    const again = await put(of, self, shown, '"2"');
    expect([again.status, again.body]).toEqual([
      200,
      { ...shown, version: 3, updatedAt: expect.any(String) },
    ]);
    const [, anchor] = /trust-anchors\/([^/]+)/.exec(self) ?? [];
    const query = `mutation { putProvisioningRule(tenant: "${of.slug}", anchor: "${anchor}", input: { enabled: true, maxDevices: 3 }) { version } }`;
    const { errors } = (await of.operator.post('/graphql', { query })).body;
    expect(errors[0].extensions.code).toBe('precondition-failed');
    expect((await of.operator.delete(self)).status).toBe(204);
    expect((await of.viewer.get(self)).status).toBe(404);
    const { id } = (await of.admin.post(`${of.path}/issuing-authorities`, { name: 'own' })).body;
    const unfit = await put(of, `${of.path}/trust-anchors/${id}/provisioning`, {
      enabled: true,
      maxDevices: 1,
    });
    expect([unfit.status, unfit.body.errors[0].code]).toEqual([422, 'issued-here']);
  });
});

describe('what the broker asks', () => {
  it('is answered to nobody else, whatever key they have', async () => {
    const wrongKey = internalKey(Buffer.alloc(32, 1));
    for (const client of [api.anonymous, api.platform, tenant.admin, api.anonymous.with(wrongKey)])
      for (const path of ['/internal/claims', '/internal/renewals', '/internal/registrations']) {
        const answer = await client.post(path, {});
        expect([path, answer.status]).toEqual([path, 404]);
      }
    const { body } = await api.anonymous.get('/openapi.json');
    expect(Object.keys(body.paths).filter((path) => path.includes('internal'))).toEqual([]);
  });

  it('renews no certificate whose credential was disabled, or given an earlier end, since the broker looked', async () => {
    const broker = api.anonymous.with(internalKey(api.database.secretKey));
    const { csr } = await makeRequest('again');
    for (const [change, status] of [
      [{ clientIdRule: { kind: 'any' } }, 200],
      [{ notAfter: new Date(Date.now() + 3_600_000).toISOString() }, 403],
      [{ disabled: true }, 403],
    ] as const) {
      const { body } = await claim((await newToken()).token);
      const path = `${tenant.path}/devices/${body.device.id}/credentials`;
      const [credential] = (await tenant.operator.get(path)).body.items;
      expect((await tenant.operator.patch(`${path}/${credential.id}`, change)).status).toBe(200);
      const renewal = { tenantId: tenant.id, credentialId: credential.id, csr, address: '192.0.2.1' };
      const answer = await broker.post('/internal/renewals', renewal);
      expect([change, answer.status, answer.text]).toEqual([change, status, expect.any(String)]);
      expect((await tenant.operator.get(path)).body.items).toHaveLength(status === 200 ? 2 : 1);
    }
  });
});

describe('host names', () => {
  it('are given by the platform, to one tenant each', async () => {
    const other = await api.createTenant('rival');
    const at = (path: string, host: string) => `${path}/host-names/${host}`;
    const put = (path: string, host: string) => api.platform.call('PUT', at(path, host));
    expect((await put(tenant.path, 'one.example.com')).status).toBe(204);
    expect((await put(tenant.path, 'one.example.com')).status).toBe(204);
    const full = await api.createTenant('many-names');
    for (let n = 0; n < 20; n += 1) await put(full.path, `n${n}.example.net`);
    expect((await put(full.path, 'one-more.example.net')).body.code).toBe('limit-reached');
    expect((await put(full.path, 'n0.example.net')).status).toBe(204);
    expect((await put(other.path, 'one.example.com')).body.code).toBe('name-taken');
    expect((await tenant.admin.call('PUT', at(tenant.path, 'two.example.com'))).status).toBe(403);
    for (const bad of ['UPPER.example.com', 'x', '192.0.2.1', '-a.example', 'a..b', '*.example.com'])
      expect([bad, (await put(tenant.path, bad)).status]).toEqual([bad, 404]);
    expect((await tenant.viewer.get(`${tenant.path}/host-names`)).body.items).toContainEqual(
      expect.objectContaining({ host: 'one.example.com' }),
    );
    expect((await api.platform.call('DELETE', at(tenant.path, 'one.example.com'))).status).toBe(204);
    expect((await put(other.path, 'one.example.com')).status).toBe(204);
  });
});
