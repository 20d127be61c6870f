import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type TestApi, type TestTenant } from '../../../../test/support/api.js';
import { addPresence } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let deviceId: string;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  deviceId = (await acme.admin.post(`${acme.path}/devices`, { name: 'meter' })).body.id;
  const events = [
    { clientId: 'a/1', state: 'online', cause: 'connected', at: '2026-01-01T00:00:01Z' },
    { clientId: 'b', state: 'online', cause: 'connected', at: '2026-01-01T00:00:02Z' },
    {
      clientId: 'a/1',
      state: 'offline',
      cause: 'network',
      at: '2026-01-01T00:00:03Z',
      will: Buffer.from('gone'),
    },
  ] as const;
  for (const event of events) await addPresence(api.database, acme.id, deviceId, event);
});
afterAll(() => api.stop());

const clientsOf = (body: { items: { clientId: string }[] }) => body.items.map(({ clientId }) => clientId);

describe('presence', () => {
  it('says who is online and who is not, and why', async () => {
    const all = await acme.viewer.get(`${acme.path}/presence`);
    expect(all.body.items).toMatchObject([
      {
        clientId: 'a/1',
        deviceId,
        state: 'offline',
        cause: 'network',
        will: 'Z29uZQ==',
        detail: { transport: 'tcp' },
      },
      { clientId: 'b', state: 'online', cause: 'connected', since: '2026-01-01T00:00:02.000Z', will: null },
    ]);
    expect(clientsOf((await acme.viewer.get(`${acme.path}/presence?state=online`)).body)).toEqual(['b']);
    expect(
      clientsOf((await acme.viewer.get(`${acme.path}/presence?device=${deviceId}&limit=1`)).body),
    ).toEqual(['a/1']);
  });

  it('is read of one client, whatever characters its identifier has', async () => {
    const one = await acme.viewer.get(`${acme.path}/presence/${encodeURIComponent('a/1')}`);
    expect(one.body).toMatchObject({ clientId: 'a/1', state: 'offline' });
    expect((await other.viewer.get(`${other.path}/presence/b`)).status).toBe(404);
  });

  it('keeps a history, newest first', async () => {
    const path = `${acme.path}/devices/${deviceId}/presence-history`;
    const first = await acme.viewer.get(`${path}?limit=2`);
    expect(first.body.items).toMatchObject([
      { clientId: 'a/1', state: 'offline', cause: 'network', will: 'Z29uZQ==' },
      { clientId: 'b', state: 'online' },
    ]);
    const rest = await acme.viewer.get(`${path}?limit=2&after=${first.body.next}`);
    expect(rest.body).toMatchObject({ items: [{ clientId: 'a/1', state: 'online' }], next: null });
    expect((await other.viewer.get(`${other.path}/devices/${deviceId}/presence-history`)).status).toBe(404);
  });

  it('has a history of a time: from is in it, to is not, on every page', async () => {
    const path = `${acme.path}/devices/${deviceId}/presence-history`;
    const window = 'from=2026-01-01T00:00:02Z&to=2026-01-01T01:00:03%2B01:00';
    expect((await acme.viewer.get(`${path}?${window}`)).body.items).toMatchObject([{ clientId: 'b' }]);
    const first = await acme.viewer.get(`${path}?from=2026-01-01T00:00:02Z&limit=1`);
    expect(first.body.items).toMatchObject([{ state: 'offline' }]);
    const rest = await acme.viewer.get(`${path}?from=2026-01-01T00:00:02Z&limit=1&after=${first.body.next}`);
    expect(rest.body).toMatchObject({ items: [{ clientId: 'b' }], next: null });
    const refused = await acme.viewer.get(`${path}?from=2026-01-01T00:00:02`);
    expect(refused).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '#/from', message: expect.stringContaining('2026-11-30T12:00:00Z') }] },
    });
    const query = `{ presenceHistory(tenant: "acme", device: "${deviceId}", from: "2026-01-01T00:00:02Z", to: "2026-01-01T00:00:03Z") { edges { node { clientId } } } }`;
    expect((await acme.viewer.post('/graphql', { query })).body.data).toEqual({
      presenceHistory: { edges: [{ node: { clientId: 'b' } }] },
    });
  });

  it('is also that of a device, of one that was never seen too', async () => {
    const silent = (await acme.admin.post(`${acme.path}/devices`, { name: 'silent' })).body.id;
    const off = (await acme.admin.post(`${acme.path}/devices`, { name: 'off', status: 'disabled' })).body.id;
    const statesOf = async (query = '') =>
      (await acme.viewer.get(`${acme.path}/device-presence${query}`)).body.items.map(
        (item: { device: string; state: string }) => [item.device, item.state],
      );
    expect(await statesOf()).toEqual([
      ['meter', 'online'],
      ['silent', 'never-seen'],
      ['off', 'suspended'],
    ]);
    for (const [device, state] of await statesOf())
      expect(await statesOf(`?state=${state}`)).toEqual([[device, state]]);
    expect(await statesOf('?state=offline')).toEqual([]);
    const { body } = await acme.viewer.get(`${acme.path}/devices/${deviceId}/presence`);
    expect(body).toEqual({
      deviceId,
      device: 'meter',
      state: 'online',
      cause: 'connected',
      since: '2026-01-01T00:00:02.000Z',
      sequence: '3',
      clients: [
        expect.objectContaining({ clientId: 'b', state: 'online', since: '2026-01-01T00:00:02.000Z' }),
        expect.objectContaining({ clientId: 'a/1', state: 'offline', cause: 'network' }),
      ],
    });
    const query = `{ devicePresences(tenant: "acme", state: never_seen) { edges { node { deviceId state since } } } devicePresence(tenant: "acme", device: "${off}") { state clients { clientId } } }`;
    expect((await acme.viewer.post('/graphql', { query })).body.data).toEqual({
      devicePresences: { edges: [{ node: { deviceId: silent, state: 'never_seen', since: null } }] },
      devicePresence: { state: 'suspended', clients: [] },
    });
    expect((await other.viewer.get(`${other.path}/devices/${deviceId}/presence`)).status).toBe(404);
  });

  it('is linked from its device and to it by GraphQL', async () => {
    const query = `{ device(tenant: "acme", id: "${deviceId}") { presence { clientId state device { name } } } presenceHistory(tenant: "acme", device: "${deviceId}", first: 1) { edges { node { cause } } } }`;
    const { body } = await acme.viewer.post('/graphql', { query });
    expect(body.data).toEqual({
      device: {
        presence: [
          { clientId: 'a/1', state: 'offline', device: { name: 'meter' } },
          { clientId: 'b', state: 'online', device: { name: 'meter' } },
        ],
      },
      presenceHistory: { edges: [{ node: { cause: 'network' } }] },
    });
  });
});
