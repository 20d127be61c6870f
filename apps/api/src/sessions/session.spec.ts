import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { addPresence, addSession } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let deviceId: string;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  deviceId = (await acme.admin.post(`${acme.path}/devices`, { name: 'meter' })).body.id;
  const { database } = api;
  const since = '2026-01-01T00:00:00Z';
  await addPresence(database, acme.id, deviceId, {
    clientId: 'clean',
    state: 'online',
    cause: 'connected',
    at: since,
  });
  await addPresence(database, acme.id, deviceId, {
    clientId: 'durable',
    state: 'online',
    cause: 'connected',
    at: since,
  });
  await addPresence(database, acme.id, deviceId, {
    clientId: 'gone',
    state: 'offline',
    cause: 'clean',
    at: since,
  });
  await addSession(database, acme.id, deviceId, { clientId: 'durable', queued: [] });
  await addSession(database, acme.id, deviceId, { clientId: 'away', queued: ['one', 'three'] });
});
afterAll(() => api.stop());

const clientsOf = (body: { items: { clientId: string }[] }) => body.items.map(({ clientId }) => clientId);

describe('sessions', () => {
  it('are those online and the durable ones that wait, each once', async () => {
    const all = await acme.viewer.get(`${acme.path}/sessions`);
    expect(all.body.items).toMatchObject([
      { clientId: 'away', online: false, durable: true, queuedMessages: 2, expiryIntervalS: 3600 },
      {
        clientId: 'clean',
        online: true,
        durable: false,
        queuedMessages: 0,
        connection: { transport: 'tcp' },
      },
      { clientId: 'durable', online: true, durable: true },
    ]);
    expect(clientsOf((await acme.viewer.get(`${acme.path}/sessions?online=true`)).body)).toEqual([
      'clean',
      'durable',
    ]);
    expect(clientsOf((await acme.viewer.get(`${acme.path}/sessions?online=false`)).body)).toEqual(['away']);
    const first = (await acme.viewer.get(`${acme.path}/sessions?limit=2&device=${deviceId}`)).body;
    expect(clientsOf(first)).toEqual(['away', 'clean']);
    expect(
      clientsOf((await acme.viewer.get(`${acme.path}/sessions?limit=2&after=${first.next}`)).body),
    ).toEqual(['durable']);
  });

  it('are shown with their subscriptions and what waits for them', async () => {
    const { body } = await acme.viewer.get(`${acme.path}/sessions/away`);
    expect(body).toMatchObject({
      clientId: 'away',
      queuedMessages: 2,
      queuedBytes: 8,
      subscriptions: [
        {
          filter: 'a/#',
          qos: 2,
          noLocal: true,
          retainAsPublished: true,
          retainHandling: 1,
          subscriptionId: 7,
        },
      ],
    });
    expect((await acme.viewer.get(`${acme.path}/sessions/gone`)).status).toBe(404);
    expect((await other.viewer.get(`${other.path}/sessions/away`)).status).toBe(404);
  });

  it('are found by any client identifier that a tenant may allow', async () => {
    const clientId = `a/b ?#%${'ö'.repeat(900)}`;
    const device = (await other.admin.post(`${other.path}/devices`, { name: 'long' })).body.id;
    await addSession(api.database, other.id, device, { clientId, queued: [] });
    const self = `${other.path}/sessions/${encodeURIComponent(clientId)}`;
    expect((await other.viewer.get(self)).body).toMatchObject({ clientId });
    expect((await other.viewer.get(`${self}x`)).status).toBe(404);
  });

  it('are disconnected by an operation that the brokers carry out', async () => {
    const accepted = await acme.operator.call('DELETE', `${acme.path}/sessions/clean`);
    expect(accepted.status).toBe(202);
    const operation = accepted.headers.get('operation-location') ?? '';
    expect((await acme.viewer.get(operation)).body).toMatchObject({ kind: 'session' });
    const [change] = await queryAsSuperuser(
      api.database,
      'SELECT kind, subject FROM changes ORDER BY number DESC LIMIT 1',
    );
    expect(change).toEqual({ kind: 'session', subject: { clientId: 'clean', deviceId } });
    const audit = await acme.admin.get(`${acme.path}/audit?action=session.disconnect`);
    expect(audit.body.items).toMatchObject([{ subjectId: 'clean', detail: { deviceId } }]);
  });

  it('are not disconnected by a viewer, by another tenant, or where there is none', async () => {
    expect((await acme.viewer.call('DELETE', `${acme.path}/sessions/clean`)).status).toBe(403);
    expect((await other.admin.call('DELETE', `${acme.path}/sessions/clean`)).status).toBe(404);
    expect((await other.admin.call('DELETE', `${other.path}/sessions/clean`)).status).toBe(404);
    expect((await acme.operator.call('DELETE', `${acme.path}/sessions/gone`)).status).toBe(404);
  });
});
