import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('keys');
  path = `${tenant.path}/api-keys`;
});
afterAll(() => api.stop());

describe('API keys of a tenant', () => {
  it('are shown once, prefixed, kept as a hash, and work at once', async () => {
    const made = await tenant.admin.post(path, { name: 'ci', role: 'viewer' });
    expect(made.status).toBe(201);
    const { key, prefix, id } = made.body;
    expect(key.startsWith(`${prefix}_`)).toBe(true);
    const read = await tenant.admin.get(`${path}/${id}`);
    expect(read.body).toMatchObject({ name: 'ci', role: 'viewer', prefix, revokedAt: null });
    expect(read.text).not.toContain(key);
    expect((await tenant.admin.get(path)).text).not.toContain(key);
    const [row] = await queryAsSuperuser(api.database, 'SELECT * FROM api_keys WHERE id = $1', [id]);
    expect(JSON.stringify(row)).not.toContain(key.slice(prefix.length + 1));
    expect((await api.anonymous.with(key).get(tenant.path)).status).toBe(200);
    expect((await tenant.admin.get(`${path}/${id}`)).body.lastUsedAt).not.toBeNull();
  });

  it('stop working the moment they are revoked; revoking again changes nothing', async () => {
    const { body } = await tenant.admin.post(path, { name: 'short', role: 'admin' });
    const client = api.anonymous.with(body.key);
    expect((await client.get(tenant.path)).status).toBe(200);
    expect((await tenant.admin.call('DELETE', `${path}/${body.id}`)).status).toBe(204);
    expect((await client.get(tenant.path)).status).toBe(401);
    const { revokedAt } = (await tenant.admin.get(`${path}/${body.id}`)).body;
    expect((await tenant.admin.call('DELETE', `${path}/${body.id}`)).status).toBe(204);
    expect((await tenant.admin.get(`${path}/${body.id}`)).body.revokedAt).toBe(revokedAt);
  });

  it('stop working when they expire', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { body } = await tenant.admin.post(path, { name: 'timed', role: 'viewer', expiresAt });
    expect((await api.anonymous.with(body.key).get(tenant.path)).status).toBe(200);
    await queryAsSuperuser(
      api.database,
      `UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = $1`,
      [body.id],
    );
    expect((await api.anonymous.with(body.key).get(tenant.path)).status).toBe(401);
    const past = await tenant.admin.post(path, {
      name: 'past',
      role: 'viewer',
      expiresAt: '2020-01-01T00:00:00Z',
    });
    expect([past.status, past.body.errors[0]]).toMatchObject([422, { pointer: '#/expiresAt', code: 'past' }]);
  });

  it('have a role of a tenant, and never one of the platform', async () => {
    for (const body of [{ name: 'x' }, { name: 'x', role: 'root' }, { name: '', role: 'viewer' }]) {
      expect([body, (await tenant.admin.post(path, body)).status]).toEqual([body, 422]);
    }
    expect((await tenant.admin.get('/v1/api-keys')).status).toBe(403);
    expect((await tenant.admin.post('/v1/api-keys', { name: 'mine' })).status).toBe(403);
  });

  it('are seen and revoked by administrators of their own tenant only', async () => {
    const { body } = await tenant.admin.post(path, { name: 'own', role: 'viewer' });
    const stranger = await api.createTenant('thieves');
    expect((await stranger.admin.get(`${stranger.path}/api-keys/${body.id}`)).status).toBe(404);
    expect((await stranger.admin.call('DELETE', `${stranger.path}/api-keys/${body.id}`)).status).toBe(404);
    expect((await tenant.operator.call('DELETE', `${path}/${body.id}`)).status).toBe(403);
    expect((await api.anonymous.with(body.key).get(tenant.path)).status).toBe(200);
    const listed = (await stranger.admin.get(`${stranger.path}/api-keys`)).text;
    expect(listed).not.toContain(body.id);
  });
});

describe('API keys of the platform', () => {
  it('administer every tenant, and the last one that works cannot be revoked', async () => {
    const own = await api.platform.get('/v1/api-keys');
    expect(own.body.items).toHaveLength(1);
    const first = `/v1/api-keys/${own.body.items[0].id}`;
    expect((await api.platform.call('DELETE', first)).body).toMatchObject({ status: 409, code: 'in-use' });
    const made = await api.platform.post('/v1/api-keys', { name: 'second' });
    expect([made.status, made.body.role]).toEqual([201, 'admin']);
    const second = api.anonymous.with(made.body.key);
    expect((await second.get(tenant.path)).status).toBe(200);
    expect((await second.call('DELETE', `/v1/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await second.get(tenant.path)).status).toBe(401);
    expect((await api.platform.get(tenant.path)).status).toBe(200);
  });

  it('leave one that works where the last two are revoked at the same moment', async () => {
    const other = await startTestApi();
    try {
      const { body: second } = await other.platform.post('/v1/api-keys', { name: 'second' });
      const [first] = (await other.platform.get('/v1/api-keys')).body.items;
      const answers = await Promise.all([
        other.platform.call('DELETE', `/v1/api-keys/${first.id}`),
        other.anonymous.with(second.key).call('DELETE', `/v1/api-keys/${second.id}`),
      ]);
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 409]);
    } finally {
      await other.stop();
    }
  });

  it('do not show under a tenant, nor a tenant’s among them', async () => {
    const platformKeys = (await api.platform.get('/v1/api-keys')).body.items;
    const tenantKeys = (await api.platform.get(path)).body.items;
    expect((await api.platform.get(`${path}/${platformKeys[0].id}`)).status).toBe(404);
    expect((await api.platform.get(`/v1/api-keys/${tenantKeys[0].id}`)).status).toBe(404);
  });
});
