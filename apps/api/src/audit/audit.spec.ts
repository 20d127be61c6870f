import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type Json, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let acme: TestTenant;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
});
afterAll(() => api.stop());

const actionsOf = ({ body }: { body: Json }) => body.items.map(({ action }: Json) => action);

describe('the audit of a tenant', () => {
  it('is found by time: from is in it, to is not', async () => {
    await acme.admin.post(`${acme.path}/groups`, { name: 'first' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await acme.admin.post(`${acme.path}/groups`, { name: 'second' });
    const made = await acme.admin.get(`${acme.path}/audit?action=group.create`);
    const [second, first] = made.body.items;
    const subjectsOf = async (window: string) =>
      (await acme.admin.get(`${acme.path}/audit?action=group.create&${window}`)).body.items.map(
        ({ subjectId }: Json) => subjectId,
      );
    expect(await subjectsOf(`from=${second.at}`)).toEqual([second.subjectId]);
    expect(await subjectsOf(`to=${second.at}`)).toEqual([first.subjectId]);
    const query = `{ audit(tenant: "acme", action: "group.create", from: "${second.at}") { edges { node { subjectId } } } }`;
    expect((await acme.admin.post('/graphql', { query })).body.data).toEqual({
      audit: { edges: [{ node: { subjectId: second.subjectId } }] },
    });
  });
});

describe('the audit of the platform', () => {
  it('says who made and revoked its keys, and who made and deleted tenants', async () => {
    const key = await api.platform.post('/v1/api-keys', { name: 'second' });
    const { id, version } = (await api.platform.post('/v1/tenants', { slug: 'brief', name: 'Brief' })).body;
    await api.platform.call('DELETE', `/v1/tenants/${id}`, { headers: { 'if-match': `"${version}"` } });
    const all = await api.platform.get('/v1/audit?limit=3');
    expect(actionsOf(all)).toEqual(['tenant.delete', 'tenant.create', 'api-key.create']);
    expect(all.body.items).toMatchObject([
      { subjectId: id, detail: { slug: 'brief' }, actor: api.platform.key?.slice(0, 16) },
      { subjectId: id, detail: { slug: 'brief' } },
      { subjectId: key.body.id },
    ]);
    const deleted = await api.platform.get('/v1/audit?action=tenant.delete');
    expect(deleted.body.items).toMatchObject([{ subjectId: id }]);
  });

  it('has that of a tenant that is gone, by its id', async () => {
    const { id } = (await api.platform.post('/v1/tenants', { slug: 'gone', name: 'Gone' })).body;
    const group = (await api.platform.post('/v1/tenants/gone/groups', { name: 'g' })).body.id;
    await api.platform.call('DELETE', `/v1/tenants/${id}`, { headers: { 'if-match': '*' } });
    const actions = ['tenant.delete', 'tenant.close', 'group.create', 'tenant.create'];
    expect(actionsOf(await api.platform.get(`/v1/audit?tenantId=${id}`))).toEqual(actions);
    const first = await api.platform.get(`/v1/audit?tenantId=${id}&limit=2`);
    const rest = await api.platform.get(`/v1/audit?tenantId=${id}&after=${first.body.next}`);
    expect(rest.body.items).toMatchObject([{ subjectId: group }, { action: 'tenant.create' }]);
    expect((await api.platform.get(`/v1/audit?after=${first.body.next}`)).status).toBe(400);
    const query = `{ platformAudit(tenantId: "${id}", first: 1) { edges { node { action } } } }`;
    expect((await api.platform.post('/graphql', { query })).body.data).toEqual({
      platformAudit: { edges: [{ node: { action: 'tenant.delete' } }] },
    });
  });

  it('is for keys of the platform alone', async () => {
    for (const query of ['', `?tenantId=${acme.id}`])
      expect((await acme.admin.get(`/v1/audit${query}`)).status).toBe(403);
  });
});
