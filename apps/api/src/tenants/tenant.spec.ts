import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { queryAsSuperuser, startTestApi, type Json, type TestApi } from '../../../../test/support/api.js';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

describe('tenants', () => {
  it('are created with a default profile and a policy for their own topics', async () => {
    const created = await api.platform.post('/v1/tenants', { slug: 'acme', name: 'Acme' });
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe('/v1/tenants/acme');
    expect(created.headers.get('etag')).toBe('"1"');
    expect(created.body).toMatchObject({
      slug: 'acme',
      name: 'Acme',
      status: 'active',
      limits: {},
      version: 1,
    });
    const profiles = await api.platform.get('/v1/tenants/acme/profiles');
    expect(profiles.body.items).toMatchObject([
      { name: 'default', telemetry: [{ filter: 'devices/${device}/telemetry', timeField: 'ts' }] },
    ]);
  });

  it('are found by slug and by id', async () => {
    const { id, path } = await api.createTenant('found');
    const bySlug = await api.platform.get(path);
    const byId = await api.platform.get(`/v1/tenants/${id}`);
    expect(byId.status).toBe(200);
    expect(byId.body).toEqual(bySlug.body);
  });

  it('refuse a taken slug, a bad one, and one in the form of an id', async () => {
    await api.createTenant('taken');
    const again = await api.platform.post('/v1/tenants', { slug: 'taken', name: 'Again' });
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ code: 'name-taken', errors: [{ pointer: '#/slug', code: 'taken' }] });
    for (const slug of ['', 'A', '-a', 'a-', 'a_b', 'a'.repeat(64), '018f4e8e-0000-7000-8000-000000000000']) {
      const refused = await api.platform.post('/v1/tenants', { slug, name: 'Bad' });
      expect([slug, refused.status, refused.body.errors[0].pointer]).toEqual([slug, 422, '#/slug']);
    }
  });

  it('name every fault of a body with its place', async () => {
    const refused = await api.platform.post('/v1/tenants', {
      slug: 'faults',
      colour: 'red',
      limits: { maxConnections: -1, nope: 1 },
      settings: { publishDenied: 'explode' },
    });
    expect(refused.status).toBe(422);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(
      refused.body.errors.map(({ pointer, code }: Record<string, string>) => [pointer, code]).sort(),
    ).toEqual([
      ['#/colour', 'unknown'],
      ['#/limits/maxConnections', 'too-small'],
      ['#/limits/nope', 'unknown'],
      ['#/name', 'invalid-type'],
      ['#/settings/publishDenied', 'invalid-value'],
    ]);
  });

  it('are changed by a merge patch under the tag that was read', async () => {
    const { path } = await api.createTenant('patched');
    const changed = await api.platform.call('PATCH', path, {
      text: JSON.stringify({
        name: 'New',
        limits: { maxConnections: 5, publishRate: 10 },
        settings: { publishDenied: 'close' },
      }),
      headers: { 'content-type': 'application/merge-patch+json', 'if-match': '"1"' },
    });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).toBe('"2"');
    expect(changed.headers.get('operation-location')).toMatch(/^\/v1\/tenants\/patched\/operations\/\d+$/);
    const limits = { publishRate: 0.5, maxConnections: '5' };
    const bad = await api.platform.patch(path, { limits, settings: { publishDenied: 'explode' } });
    expect(bad.body.errors.map(({ pointer, message }: Json) => [pointer, message])).toEqual([
      ['#/limits/maxConnections', 'Invalid input: expected number, received string'],
      ['#/limits/publishRate', 'Invalid input: expected int, received number'],
      ['#/settings/publishDenied', 'Invalid option: expected one of "acknowledge"|"close"'],
    ]);
    const merged = await api.platform.patch(path, { limits: { publishRate: null } });
    expect(merged.body).toMatchObject({
      name: 'New',
      limits: { maxConnections: 5 },
      settings: { publishDenied: 'close' },
    });
    expect(merged.body.limits).not.toHaveProperty('publishRate');
    expect((await api.platform.patch(path, { name: 'Late' }, '"1"')).status).toBe(412);
    expect((await api.platform.call('PATCH', path, { body: { name: 'Blind' } })).status).toBe(428);
  });

  it('belong to the platform: no role of a tenant lists, creates, changes or deletes one', async () => {
    const { admin, path } = await api.createTenant('own');
    expect((await admin.get(path)).status).toBe(200);
    expect((await admin.get('/v1/tenants')).status).toBe(403);
    expect((await admin.post('/v1/tenants', { slug: 'mine', name: 'Mine' })).status).toBe(403);
    expect((await admin.patch(path, { name: 'Mine' }, '"1"')).status).toBe(403);
    expect((await admin.delete(path, '"1"')).status).toBe(403);
  });

  it("show another tenant's key exactly what an unknown tenant shows", async () => {
    const one = await api.createTenant('one');
    const two = await api.createTenant('two');
    const unknown = await one.admin.get('/v1/tenants/nobody');
    expect(unknown.status).toBe(404);
    for (const path of [two.path, `/v1/tenants/${two.id}`, `${two.path}/devices`, `${two.path}/api-keys`]) {
      const foreign = await one.admin.get(path);
      expect([foreign.status, foreign.text]).toEqual([404, unknown.text]);
    }
  });

  it('that are suspended let no key of theirs in', async () => {
    const { admin, path } = await api.createTenant('asleep');
    await api.platform.patch(path, { status: 'suspended' });
    const refused = await admin.get(path);
    expect([refused.status, refused.body.code]).toEqual([403, 'tenant-suspended']);
    await api.platform.patch(path, { status: 'active' });
    expect((await admin.get(path)).status).toBe(200);
  });

  it('leave nothing behind: one that is created again under the slug is empty', async () => {
    const before = await api.createTenant('phoenix');
    const device = await before.admin.post(`${before.path}/devices`, { name: 'd1' });
    await before.admin.post(`${before.path}/devices/${device.body.id}/credentials`, {});
    await before.admin.post(`${before.path}/groups`, { name: 'g1' });
    await insertTelemetry(before.id, device.body.id);
    expect((await api.platform.delete(before.path)).status).toBe(204);
    expect((await api.platform.get(before.path)).status).toBe(404);
    expect((await before.admin.get(before.path)).status).toBe(401);
    expect(await rowsOf(before.id)).toEqual([]);
    const after = await api.createTenant('phoenix');
    expect(after.id).not.toBe(before.id);
    for (const list of ['devices', 'groups']) {
      expect((await after.admin.get(`${after.path}/${list}`)).body.items).toEqual([]);
    }
    expect((await after.admin.get(`${after.path}/devices/${device.body.id}`)).status).toBe(404);
  });
});

async function insertTelemetry(tenantId: string, deviceId: string): Promise<void> {
  await queryAsSuperuser(
    api.database,
    `INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, qos)
     SELECT $1, $2, now(), 'devices/d1/telemetry', '{}', 1 FROM generate_series(1, 100)`,
    [tenantId, deviceId],
  );
}

/** Tables that still have a row of the tenant; its audit, and the change that tells of its end, stay. */
async function rowsOf(tenantId: string): Promise<string[]> {
  const tables = await queryAsSuperuser(
    api.database,
    `SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'
        AND table_name NOT IN ('audit_entries', 'changes')`,
  );
  const found: string[] = [];
  for (const { table_name: table } of tables) {
    const rows = await queryAsSuperuser(api.database, `SELECT FROM ${table} WHERE tenant_id = $1 LIMIT 1`, [
      tenantId,
    ]);
    if (rows.length > 0) found.push(table);
  }
  return found;
}
