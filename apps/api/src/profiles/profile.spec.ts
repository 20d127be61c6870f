import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('plant');
  path = `${tenant.path}/profiles`;
});
afterAll(() => api.stop());

describe('profiles', () => {
  it('hold telemetry rules, and are changed and deleted under the tag that was read', async () => {
    const telemetry = [{ filter: 'meters/${device}/+/reading', timeField: 'at' }, { filter: 'raw/#' }];
    const created = await tenant.admin.post(path, { name: 'meter', telemetry });
    expect([created.status, created.body]).toMatchObject([201, { name: 'meter', telemetry, version: 1 }]);
    const self = created.headers.get('location') ?? '';
    const changed = await tenant.admin.patch(self, { telemetry: [] });
    expect(changed.body).toMatchObject({ telemetry: [], version: 2 });
    expect(changed.headers.get('operation-location')).toContain('/operations/');
    expect((await tenant.admin.patch(self, { name: 'late' }, '"1"')).status).toBe(412);
    expect((await tenant.admin.call('DELETE', self)).status).toBe(428);
    expect((await tenant.admin.delete(self)).status).toBe(204);
  });

  it('refuse a rule that is no topic filter or uses an unknown variable', async () => {
    for (const filter of [
      '',
      'a/#/b',
      'a+/b',
      'a\u0000',
      '${nope}/x',
      '${device',
      '$share/g/a',
      'x'.repeat(2_000),
    ]) {
      const refused = await tenant.admin.post(path, { name: 'bad', telemetry: [{ filter }] });
      expect([filter, refused.status, refused.body.errors[0].pointer]).toEqual([
        filter,
        422,
        '#/telemetry/0/filter',
      ]);
    }
    const unknown = await tenant.admin.post(path, { name: 'bad', telemetry: [{ filter: 'a', field: 'b' }] });
    expect(unknown.body.errors).toMatchObject([{ pointer: '#/telemetry/0/field', code: 'unknown' }]);
  });

  it('refuse a rule for topics at which no device publishes, and take a variable at the beginning', async () => {
    const write = (filter: string) =>
      tenant.admin.post(path, { name: `of ${filter}`, telemetry: [{ filter: 'a' }, { filter }] });
    for (const filter of ['$SYS/#', '$tenant/presence/+', '$me', '$', '$/x', '$${device}/x']) {
      const { status, body } = await write(filter);
      expect([filter, status, body.errors]).toMatchObject([
        filter,
        422,
        [{ pointer: '#/telemetry/1/filter', code: 'topic-of-server' }],
      ]);
    }
    for (const filter of ['${device}/#', 'a/$SYS', '+/b', '#'])
      expect([filter, (await write(filter)).status]).toEqual([filter, 201]);
    const self = `${path}/${(await write('x')).body.id}`;
    const changed = await tenant.admin.patch(self, { telemetry: [{ filter: '$SYS/#' }] });
    expect([changed.status, changed.body.errors[0].pointer]).toEqual([422, '#/telemetry/0/filter']);
    const { body } = await tenant.admin.post('/graphql', {
      query: 'mutation($input: NewProfile!) { createProfile(tenant: "plant", input: $input) { id } }',
      variables: { input: { name: 'graph', telemetry: [{ filter: '$me/#' }] } },
    });
    expect(body.errors[0].extensions.errors).toMatchObject([
      { pointer: '#/telemetry/0/filter', code: 'topic-of-server' },
    ]);
  });

  it('refuse a taken name', async () => {
    expect((await tenant.admin.post(path, { name: 'default' })).body).toMatchObject({
      status: 409,
      code: 'name-taken',
    });
  });

  it('are not deleted while a device has them', async () => {
    const { body: profile } = await tenant.admin.post(path, { name: 'used' });
    const { body: device } = await tenant.admin.post(`${tenant.path}/devices`, {
      name: 'd',
      profileId: profile.id,
    });
    expect((await tenant.admin.delete(`${path}/${profile.id}`)).body).toMatchObject({
      status: 409,
      code: 'in-use',
    });
    await tenant.admin.delete(`${tenant.path}/devices/${device.id}`);
    expect((await tenant.admin.delete(`${path}/${profile.id}`)).status).toBe(204);
  });

  it('are for administrators to change, and for their own tenant to see', async () => {
    expect((await tenant.operator.post(path, { name: 'p' })).status).toBe(403);
    expect((await tenant.viewer.get(path)).status).toBe(200);
    expect((await api.anonymous.get(path)).status).toBe(401);
    const stranger = await api.createTenant('strangers');
    const { body: own } = await tenant.admin.get(path);
    expect((await stranger.admin.get(`${stranger.path}/profiles/${own.items[0].id}`)).status).toBe(404);
  });
});
