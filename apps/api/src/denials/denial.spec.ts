import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type TestApi, type TestTenant } from '../../../../test/support/api.js';
import { addDenial } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let deviceId: string;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  deviceId = (await acme.admin.post(`${acme.path}/devices`, { name: 'meter' })).body.id;
  const rows = [
    { clientId: 'a', action: 'publish', topic: 'x', at: '2026-01-01T00:00:01Z', deviceId },
    { clientId: 'b', action: 'subscribe', topic: '#', at: '2026-01-01T00:00:02Z' },
    { clientId: 'a', action: 'connect', at: '2026-01-01T00:00:03Z', deviceId },
  ];
  for (const row of rows) await addDenial(api.database, acme.id, row);
});
afterAll(() => api.stop());

describe('denials', () => {
  it('come newest first, with what was refused and why', async () => {
    const { body } = await acme.viewer.get(`${acme.path}/denials?limit=2`);
    expect(body.items).toMatchObject([
      { clientId: 'a', action: 'connect', deviceId, reason: 'not-authorized', count: '1' },
      { clientId: 'b', action: 'subscribe', topic: '#', deviceId: null, detail: 'no rule allows it' },
    ]);
    const rest = await acme.viewer.get(`${acme.path}/denials?limit=2&after=${body.next}`);
    expect(rest.body).toMatchObject({ items: [{ action: 'publish', topic: 'x' }], next: null });
  });

  it('are filtered by device, client, action and time', async () => {
    const count = async (query: string) =>
      (await acme.viewer.get(`${acme.path}/denials?${query}`)).body.items.length;
    expect(await count(`device=${deviceId}`)).toBe(2);
    expect(await count('clientId=b')).toBe(1);
    expect(await count('clientId=a&action=publish')).toBe(1);
    expect(await count('since=2026-01-01T00:00:02Z')).toBe(2);
    expect((await acme.viewer.get(`${acme.path}/denials?action=eat`)).status).toBe(400);
  });

  it('of another tenant are not seen', async () => {
    expect((await other.viewer.get(`${other.path}/denials`)).body.items).toEqual([]);
    expect((await other.viewer.get(`${acme.path}/denials`)).status).toBe(404);
  });
});
