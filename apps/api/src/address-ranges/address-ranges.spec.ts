import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type Answer, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('ranges');
  path = `${tenant.path}/address-ranges`;
});
afterAll(() => api.stop());

const put = (rules: object): Promise<Answer> =>
  tenant.admin.call('PUT', path, { body: rules, headers: { 'if-match': '*' } });

describe('ranges of addresses', () => {
  it.each<[string, object]>([
    ['from anywhere', {}],
    ['from some', { allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16'] }],
  ])('%s can be put as they are shown', async (_, rules) => {
    const shown = (await put(rules)).body;
    const again = await put(shown);
    expect([again.status, again.body]).toEqual([200, { ...shown, version: shown.version + 1 }]);
  });

  it('of a device are taken as they are shown when another is made', async () => {
    const devices = `${tenant.path}/devices`;
    const { addresses } = (await tenant.admin.post(devices, { name: 'one' })).body;
    const other = await tenant.admin.post(devices, { name: 'other', addresses });
    expect([other.status, other.body.addresses]).toEqual([201, { allow: null, deny: [] }]);
  });

  it('stand in the audit', async () => {
    await put({ allow: ['192.0.2.0/24', '10.0.0.0/8'] });
    const audit = await tenant.admin.get(`${tenant.path}/audit?action=tenant.set-address-ranges&limit=1`);
    expect(audit.body.items[0].detail).toEqual({ allow: '192.0.2.0/24 10.0.0.0/8', deny: '' });
  });
});
