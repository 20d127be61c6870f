import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hashSecret } from '#access';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { makeAuthority } from '../../../../test/support/pki.js';

let api: TestApi;
let tenant: TestTenant;
let device: Json;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('clinic');
  device = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'pump' })).body;
  path = `${tenant.path}/devices/${device.id}/credentials`;
});
afterAll(() => api.stop());

describe('credentials', () => {
  it('are made with a long random password that is shown once and kept as a keyed hash', async () => {
    const made = await tenant.operator.post(path, {});
    expect(made.status).toBe(201);
    expect(made.body.password).toMatch(/^[\w-]{43,}$/);
    expect(made.body.username).toBe(`${made.body.authId}@clinic`);
    expect(made.body).toMatchObject({
      clientIdRule: { kind: 'device' },
      notAfter: null,
      disabledAt: null,
      version: 1,
    });
    const read = await tenant.viewer.get(made.headers.get('location') ?? '');
    const { password, ...rest } = made.body;
    expect(read.body).toEqual(rest);
    expect((await tenant.viewer.get(path)).text).not.toContain(password);
    const [row] = await queryAsSuperuser(api.database, 'SELECT * FROM credentials WHERE id = $1', [
      made.body.id,
    ]);
    expect(row!['secret_hash']).toEqual(hashSecret(api.database.secretKey, password));
    expect(JSON.stringify(row)).not.toContain(password);
  });

  it('take a chosen authId, once in a tenant, that a username can hold', async () => {
    const made = await tenant.admin.post(path, {
      authId: 'pump-main',
      clientIdRule: { kind: 'prefix', value: 'p-' },
    });
    expect(made.body).toMatchObject({
      username: 'pump-main@clinic',
      clientIdRule: { kind: 'prefix', value: 'p-' },
    });
    const again = await tenant.admin.post(path, { authId: 'pump-main' });
    expect([again.status, again.body.code]).toEqual([409, 'name-taken']);
    for (const authId of ['', 'a@b', 'a/b', 'a\u0000', '+', 'x'.repeat(201)]) {
      const refused = await tenant.admin.post(path, { authId });
      expect([authId, refused.status, refused.body.errors[0].pointer]).toEqual([authId, 422, '#/authId']);
    }
    const elsewhere = await api.createTenant('ward');
    const other = (await elsewhere.admin.post(`${elsewhere.path}/devices`, { name: 'pump' })).body;
    const free = await elsewhere.admin.post(`${elsewhere.path}/devices/${other.id}/credentials`, {
      authId: 'pump-main',
    });
    expect(free.body.username).toBe('pump-main@ward');
  });

  it('have a validity that is in order', async () => {
    const notBefore = '2030-01-01T00:00:00Z';
    const made = await tenant.admin.post(path, { notBefore, notAfter: '2031-01-01T00:00:00+01:00' });
    expect(made.body).toMatchObject({
      notBefore: '2030-01-01T00:00:00.000Z',
      notAfter: '2030-12-31T23:00:00.000Z',
    });
    for (const body of [
      { notBefore, notAfter: notBefore },
      { notAfter: 'tomorrow' },
      { notBefore: '2030-01-01T00:00:00' },
      { clientIdRule: { kind: 'exact' } },
      { kind: 'dance' },
      { kind: 'token', secret: 'zH3-kq9.Lm2x-zH3' },
      { kind: 'external', publicKey: 'x' },
      { kind: 'token', publicKey: 'hello' },
      { secret: 'short' },
      { secret: 'pump-main-2026!', authId: 'pump-main-2026' },
      { password: 'my own' },
    ]) {
      expect([body, (await tenant.admin.post(path, body)).status]).toEqual([body, 422]);
    }
    const self = made.headers.get('location') ?? '';
    const refused = await tenant.admin.patch(self, { notAfter: '2029-01-01T00:00:00Z' });
    expect([refused.status, refused.body.errors[0]]).toMatchObject([
      422,
      { pointer: '#/notAfter', code: 'out-of-order' },
    ]);
    expect((await tenant.admin.patch(self, { notBefore: null })).body.notBefore).toBeNull();
  });

  it('do not end before they begin to be: an end that is over is refused, by the name of its member', async () => {
    const { admin } = tenant;
    const over = new Date(Date.now() - 1_000).toISOString();
    const past = [422, { in: 'body', pointer: '#/notAfter', code: 'past' }];
    const created = await admin.post(path, { notAfter: over });
    expect([created.status, created.body.errors[0]]).toMatchObject(past);
    expect(created.body.errors[0].message).toContain(new Date().toISOString().slice(0, 13));
    const made = await admin.post(path, { notAfter: new Date(Date.now() + 1_500).toISOString() });
    const self = made.headers.get('location') ?? '';
    const patched = await admin.patch(self, { notAfter: over });
    expect([patched.status, patched.body.errors]).toMatchObject([422, [past[1]]]);
    expect(patched.body.errors[0].message).toContain('disabled');
    const rotate = (body: object) => admin.post(`${self}/rotate`, body, { 'if-match': '*' });
    const rotated = await rotate({ notAfter: over });
    expect([rotated.status, rotated.body.errors[0]]).toMatchObject(past);
    // One that has ended since is changed all the same, sent back as it was read, and extended.
    await new Promise((resolve) => setTimeout(resolve, Date.parse(made.body.notAfter) - Date.now() + 5));
    const { notAfter } = made.body;
    const kept = await admin.patch(self, { notAfter, clientIdRule: { kind: 'prefix', value: 'p-' } });
    expect([kept.status, kept.body.notAfter]).toEqual([200, notAfter]);
    expect((await admin.patch(self, { notBefore: null })).status).toBe(200);
    expect((await admin.patch(self, { notAfter: new Date(Date.now() + 60_000) })).status).toBe(200);
    expect((await rotate({ overlapS: 0 })).status).toBe(201);
    const none = await queryAsSuperuser(
      api.database,
      `SELECT count(*)::int AS ended FROM credentials WHERE created_at >= not_after`,
    );
    expect(none).toEqual([{ ended: 0 }]);
  });

  it('pin no certificate whose own time is over, or over before it may be used', async () => {
    const authority = await makeAuthority('Line');
    const dayMs = 24 * 3_600_000;
    const at = (days: number) => new Date(Date.now() + days * dayMs);
    const pin = async (from: Date, to: Date, more: object = {}) => {
      const { pem } = await authority.issue('pump', { notBefore: from, notAfter: to });
      return tenant.admin.post(path, { kind: 'certificate', certificate: pem, ...more });
    };
    const expired = await pin(at(-2), at(-1));
    expect([expired.status, expired.body.errors]).toMatchObject([
      422,
      [{ pointer: '#/certificate', code: 'expired' }],
    ]);
    const late = await pin(at(-1), at(1), { notBefore: at(2) });
    expect([late.status, late.body.errors]).toMatchObject([
      422,
      [{ pointer: '#/notBefore', code: 'out-of-order' }],
    ]);
    const made = await pin(at(1), at(2), { notBefore: at(-3) });
    expect(made.status).toBe(201);
    const { pem } = await authority.issue('pump', { notBefore: at(-2), notAfter: at(-1) });
    const self = made.headers.get('location') ?? '';
    const rotated = await tenant.admin.post(`${self}/rotate`, { certificate: pem }, { 'if-match': '*' });
    expect([rotated.status, rotated.body.errors[0].pointer]).toEqual([422, '#/certificate']);
  });

  it('are disabled, enabled and deleted, each a change that brokers follow', async () => {
    const made = await tenant.admin.post(path, {});
    const self = made.headers.get('location') ?? '';
    const disabled = await tenant.operator.patch(self, { disabled: true });
    expect(disabled.body.disabledAt).not.toBeNull();
    expect(disabled.body).not.toHaveProperty('password');
    const enabled = await tenant.operator.patch(self, { disabled: false });
    expect(enabled.body).toMatchObject({ disabledAt: null, version: 3 });
    expect((await tenant.operator.delete(self, '"1"')).status).toBe(412);
    expect((await tenant.operator.call('DELETE', self)).status).toBe(428);
    const deleted = await tenant.operator.delete(self);
    const operation = await tenant.viewer.get(deleted.headers.get('operation-location') ?? '');
    expect(operation.body).toMatchObject({
      kind: 'credential',
      status: 'applied',
      waitingFor: [],
      receipts: [],
    });
    expect((await tenant.operator.get(self)).status).toBe(404);
    const changes = await queryAsSuperuser(
      api.database,
      `SELECT kind, subject FROM changes WHERE subject ->> 'credentialId' = $1 ORDER BY number`,
      [made.body.id],
    );
    const subject = { credentialId: made.body.id, deviceId: device.id };
    expect(changes).toEqual([1, 2, 3].map(() => ({ kind: 'credential', subject })));
  });

  it('belong to their device: another device of the tenant does not lead to them', async () => {
    const made = await tenant.admin.post(path, {});
    const other = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'other' })).body;
    expect(
      (await tenant.admin.get(`${tenant.path}/devices/${other.id}/credentials/${made.body.id}`)).status,
    ).toBe(404);
  });

  it('are twenty to a device at most, enough to overlap for rotation', async () => {
    const busy = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'busy' })).body;
    const statuses = [];
    for (let index = 0; index < 21; index += 1) {
      statuses.push((await tenant.admin.post(`${tenant.path}/devices/${busy.id}/credentials`, {})).status);
    }
    expect(statuses.slice(0, 20).every((status) => status === 201)).toBe(true);
    expect(statuses[20]).toBe(409);
  });

  it('are not for viewers to make, nor for others to see', async () => {
    expect((await tenant.viewer.post(path, {})).status).toBe(403);
    expect((await api.anonymous.get(path)).status).toBe(401);
    const stranger = await api.createTenant('elsewhere');
    expect((await stranger.admin.get(path)).status).toBe(404);
  });
});

describe('an operation', () => {
  it('waits for the broker processes that live, adds up their receipts, and is for its own tenant', async () => {
    const processId = '018f4e8e-0000-7000-8000-000000000001';
    await queryAsSuperuser(
      api.database,
      `INSERT INTO broker_processes (id, lease_until, applied) VALUES ($1, now() + interval '1 hour', 0)`,
      [processId],
    );
    const changed = await tenant.admin.patch(`${tenant.path}/devices/${device.id}`, {
      attributes: { a: 'b' },
    });
    const self = changed.headers.get('operation-location') ?? '';
    expect((await tenant.viewer.get(self)).body).toMatchObject({
      status: 'applying',
      waitingFor: [processId],
    });
    const number = self.split('/').at(-1);
    const result = { sessionsTouched: 2, subscriptionsRemoved: 1, connectionsClosed: 1, willsSuppressed: 0 };
    await queryAsSuperuser(
      api.database,
      'INSERT INTO change_receipts (tenant_id, number, process_id, result) VALUES ($1, $2, $3, $4)',
      [tenant.id, number, processId, JSON.stringify(result)],
    );
    const applied = await tenant.viewer.get(self);
    expect(applied.body).toMatchObject({ number, status: 'applied', waitingFor: [], ...result });
    expect(applied.body.receipts).toMatchObject([{ processId, ...result }]);
    const stranger = await api.createTenant('curious');
    expect((await stranger.admin.get(`${stranger.path}/operations/${number}`)).status).toBe(404);
    for (const bad of ['0', 'x', '99999999999999999999']) {
      expect((await tenant.viewer.get(`${tenant.path}/operations/${bad}`)).status).toBe(404);
    }
  });
});
