import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type Json, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('grid');
  path = `${tenant.path}/groups`;
});
afterAll(() => api.stop());

describe('groups', () => {
  it('are created, renamed and deleted, under the tag that was read', async () => {
    const created = await tenant.operator.post(path, { name: 'North' });
    expect([created.status, created.body]).toMatchObject([201, { name: 'North', version: 1 }]);
    const self = created.headers.get('location') ?? '';
    expect((await tenant.operator.patch(self, { name: 'South' })).body).toMatchObject({
      name: 'South',
      version: 2,
    });
    expect((await tenant.operator.patch(self, { name: 'Late' }, '"1"')).status).toBe(412);
    expect((await tenant.operator.call('PATCH', self, { body: { name: 'Blind' } })).status).toBe(428);
    expect((await tenant.operator.delete(self)).status).toBe(204);
    expect((await tenant.operator.get(self)).status).toBe(404);
  });

  it('refuse a taken name, also by renaming, and a bad one', async () => {
    await tenant.admin.post(path, { name: 'A' });
    const { headers } = await tenant.admin.post(path, { name: 'B' });
    expect((await tenant.admin.post(path, { name: 'A' })).body).toMatchObject({
      status: 409,
      code: 'name-taken',
    });
    expect((await tenant.admin.patch(headers.get('location') ?? '', { name: 'A' })).body.code).toBe(
      'name-taken',
    );
    for (const name of ['', '   ', 'a\u0007', 'x'.repeat(201), 7]) {
      expect([name, (await tenant.admin.post(path, { name })).status]).toEqual([name, 422]);
    }
  });

  it('take devices in and let them go, as often as it is asked', async () => {
    const { body: group } = await tenant.admin.post(path, { name: 'members' });
    const { body: device } = await tenant.admin.post(`${tenant.path}/devices`, { name: 'm1' });
    const member = `${path}/${group.id}/members/${device.id}`;
    const joined = await tenant.operator.call('PUT', member);
    expect([joined.status, joined.headers.get('operation-location')]).toEqual([
      204,
      expect.stringContaining('/operations/'),
    ]);
    const again = await tenant.operator.call('PUT', member);
    expect([again.status, again.headers.get('operation-location')]).toEqual([204, null]);
    const members = await tenant.viewer.get(`${path}/${group.id}/members`);
    expect(members.body.items.map(({ name }: Json) => name)).toEqual(['m1']);
    expect((await tenant.viewer.get(`${tenant.path}/devices/${device.id}`)).body.groupIds).toEqual([
      group.id,
    ]);
    expect((await tenant.operator.call('DELETE', member)).status).toBe(204);
    expect((await tenant.operator.call('DELETE', member)).status).toBe(204);
    expect((await tenant.viewer.get(`${path}/${group.id}/members`)).body.items).toEqual([]);
  });

  it('never take a device of another tenant', async () => {
    const other = await api.createTenant('other-grid');
    const { body: foreign } = await other.admin.post(`${other.path}/devices`, { name: 'f' });
    const { body: group } = await tenant.admin.post(path, { name: 'closed' });
    const unknown = await tenant.admin.get(`${path}/018f4e8e-0000-7000-8000-000000000000`);
    for (const member of [
      `${path}/${group.id}/members/${foreign.id}`,
      `${other.path}/groups/${group.id}/members/${foreign.id}`,
    ]) {
      const refused = await tenant.admin.call('PUT', member);
      expect([refused.status, refused.text]).toEqual([404, unknown.text]);
    }
    expect((await other.admin.get(`${other.path}/groups/${group.id}`)).status).toBe(404);
  });

  it('are not for viewers to change', async () => {
    expect((await tenant.viewer.post(path, { name: 'v' })).status).toBe(403);
    expect((await tenant.viewer.get(path)).status).toBe(200);
    expect((await api.anonymous.get(path)).status).toBe(401);
  });
});
