import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createClient, type Client } from 'graphql-ws';
import { Client as PostgresClient } from 'pg';
import { WebSocket as NodeWebSocket } from 'ws';

import { startTestApi, type ApiClient, type TestApi, type TestTenant } from '../../../../test/support/api.js';
import { addPresence, addReadings } from '../../../../test/support/broker-rows.js';
import { PresenceService } from '../presence/presence.service.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let deviceId: string;
const clients: Client[] = [];

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  deviceId = (await acme.admin.post(`${acme.path}/devices`, { name: 'meter' })).body.id;
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.dispose();
});
afterAll(() => api.stop());

function connect(as: ApiClient): Client {
  return connectWith(as.key === undefined ? {} : { authorization: `Bearer ${as.key}` });
}

function connectWith(
  connectionParams: Record<string, unknown>,
  webSocketImpl: unknown = WebSocket,
  url = api.url,
): Client {
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl,
    connectionParams,
    retryAttempts: 0,
    lazy: true,
  });
  clients.push(client);
  return client;
}

/** How a subscription ends: with errors of the operation, or with the code the connection was closed with. */
async function endOf(client: Client, query: string): Promise<unknown> {
  try {
    for await (const { errors } of client.iterate({ query })) return errors?.[0]?.extensions?.['code'];
    return 'complete';
  } catch (error) {
    if (Array.isArray(error)) return error[0].extensions.code;
    return (error as { code?: number }).code;
  }
}

/** A feed begins when it has read what there is: what is written before that is not told. Whatever is, one more is written. */
async function writeUntil<T>(told: Promise<T>, write: (n: number) => Promise<void>): Promise<T> {
  const feed = { hasSpoken: false };
  void told.finally(() => (feed.hasSpoken = true));
  let n = 1;
  for (; !feed.hasSpoken; n += 1) await write(n);
  await write(n);
  return told;
}

const telemetry = (tenant: string, device: string) =>
  `subscription { telemetry(tenant: "${tenant}", device: "${device}") { topic body raw } }`;

describe('GraphQL subscriptions', () => {
  it('tell a reading that was received before they began, and is stored since', async () => {
    const { body: device } = await acme.admin.post(`${acme.path}/devices`, { name: 'held-up' });
    const add = (second: number) => {
      const at = `2026-01-01T00:00:0${second}Z`;
      return addReadings(api.database, acme.id, device.id, [{ at, body: { second } }]);
    };
    await add(0);
    const writer = new PostgresClient({ connectionString: api.database.superuserUrl });
    await writer.connect();
    await writer.query('BEGIN');
    await writer.query(
      `INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, qos) VALUES ($1, $2, $3, 't', $4, 1)`,
      [acme.id, device.id, '2026-01-01T00:00:02Z', '{"second":2}'],
    );
    const readings = connect(acme.viewer).iterate({ query: telemetry('acme', device.id) });
    await writeUntil(readings.next(), () => add(1));
    await writer.query('COMMIT');
    await writer.end();
    const seconds: (number | undefined)[] = [];
    while (seconds.at(-1) !== 2) {
      const { value } = await readings.next();
      const told = value?.data?.['telemetry'] as { body: { second: number } } | undefined;
      seconds.push(told?.body.second);
    }
    expect(seconds.filter((second) => second !== 1)).toEqual([2]);
  });

  it('tell the readings of a device as they are stored, and none from before', async () => {
    const addNow = (n: number) =>
      addReadings(api.database, acme.id, deviceId, [
        { at: new Date().toISOString(), topic: 't', body: { n } },
      ]);
    await addReadings(api.database, acme.id, deviceId, [{ at: '2026-01-01T00:00:00Z', body: { n: 0 } }]);
    const readings = connect(acme.viewer).iterate({ query: telemetry('acme', deviceId) });
    const seen = [(await writeUntil(readings.next(), addNow)).value?.data?.['telemetry']];
    while (seen.length < 2) seen.push((await readings.next()).value?.data?.['telemetry']);
    expect(seen[0]).toMatchObject({ topic: 't', raw: null });
    const numbers = seen.map((reading) => (reading as { body: { n: number } }).body.n);
    expect(numbers[0]).toBeGreaterThan(0);
    expect(numbers[1]).toBe(numbers[0]! + 1);
    await readings.return?.();
  });

  it('tell who comes and goes, with the device', async () => {
    const query = 'subscription { presence(tenant: "acme") { clientId state cause device { name } } }';
    const events = connect(acme.viewer).iterate({ query });
    const first = await writeUntil(events.next(), (n) =>
      addPresence(api.database, acme.id, deviceId, {
        clientId: 'c',
        state: n % 2 === 0 ? 'online' : 'offline',
        cause: 'network',
        at: new Date().toISOString(),
      }),
    );
    expect(first.value).toMatchObject({
      data: { presence: { clientId: 'c', cause: 'network', device: { name: 'meter' } } },
    });
    await events.return?.();
  });

  it('tell many from one poll a tenant, never what is another’s, and ask no more when the last has gone', async () => {
    const { feeds } = api.api.app.get(PresenceService);
    const query = (tenant: string) => `subscription { presence(tenant: "${tenant}") { clientId } }`;
    const ours = Array.from({ length: 12 }, () => connect(acme.viewer).iterate({ query: query('acme') }));
    const theirs = connect(other.viewer).iterate({ query: query('other') });
    const theirDevice = (await other.admin.post(`${other.path}/devices`, { name: 'theirs' })).body.id;
    const firsts = Promise.all([...ours, theirs].map((events) => events.next()));
    const told = await writeUntil(firsts, async (n) => {
      const event = { state: 'online', cause: 'connected', at: new Date().toISOString() } as const;
      await addPresence(api.database, other.id, theirDevice, { ...event, clientId: `theirs-${n}` });
      await addPresence(api.database, acme.id, deviceId, { ...event, clientId: `ours-${n}` });
    });
    const clientOf = (whose: string) => ({ clientId: expect.stringMatching(`^${whose}-`) });
    expect(told.map(({ value }) => value?.data?.['presence'])).toEqual([
      ...ours.map(() => clientOf('ours')),
      clientOf('theirs'),
    ]);
    expect(feeds.polls).toBe(2);
    for (const client of clients.splice(0)) await client.dispose();
    while (feeds.polls > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('close the connection of whoever brings no valid key', async () => {
    expect(await endOf(connect(api.anonymous), telemetry('acme', deviceId))).toBe(4403);
    const forged = api.anonymous.with(`moo_0123456789ab_${'A'.repeat(43)}`);
    expect(await endOf(connect(forged), telemetry('acme', deviceId))).toBe(4403);
  });

  it('ask to come again later where the store is away', async () => {
    const lost = await startTestApi();
    await lost.database.drop();
    const client = connectWith({ authorization: `Bearer ${lost.platform.key}` }, WebSocket, lost.url);
    expect(await endOf(client, telemetry('acme', deviceId))).toBe(1013);
    await lost.stop();
  });

  it.each([
    ['Authorization', (bearer: string) => ({ params: { Authorization: bearer }, headers: {} })],
    ['among headers', (bearer: string) => ({ params: { headers: { Authorization: bearer } }, headers: {} })],
    ['in the request', (bearer: string) => ({ params: {}, headers: { Authorization: bearer } })],
  ])('take the key where clients put it: %s', async (_where, put) => {
    const { params, headers } = put(`Bearer ${acme.viewer.key}`);
    class Socket extends NodeWebSocket {
      constructor(url: string, protocols: string) {
        super(url, protocols, { headers });
      }
    }
    expect(await endOf(connectWith(params, Socket), 'subscription { nope }')).toBe('invalid-query');
  });

  it('refuse another tenant, another tenant’s device and an unknown one alike', async () => {
    const unknown = '018f4e8e-0000-7000-8000-000000000000';
    expect(await endOf(connect(other.admin), telemetry('acme', deviceId))).toBe('not-found');
    expect(await endOf(connect(other.admin), telemetry('other', deviceId))).toBe('not-found');
    expect(await endOf(connect(other.admin), telemetry('other', unknown))).toBe('not-found');
  });

  it('take subscriptions alone, and valid ones', async () => {
    expect(await endOf(connect(acme.viewer), '{ devices(tenant: "acme") { edges { cursor } } }')).toBe(
      'malformed',
    );
    expect(await endOf(connect(acme.viewer), 'subscription { nope }')).toBe('invalid-query');
    expect(await endOf(connect(acme.viewer), `subscription { ${'a'.repeat(10)} {`)).toBe('invalid-query');
  });

  it('are bounded on one connection', async () => {
    const client = connect(acme.viewer);
    const refused = new Promise<unknown>((resolve) => {
      for (let n = 0; n < 11; n += 1)
        client.subscribe(
          { query: telemetry('acme', deviceId) },
          { next: () => undefined, error: resolve, complete: () => undefined },
        );
    });
    expect(await refused).toMatchObject([{ extensions: { code: 'limit-reached' } }]);
  });

  it('end when the key is revoked', async () => {
    const made = await acme.admin.post(`${acme.path}/api-keys`, { name: 'short', role: 'viewer' });
    const client = connect(api.anonymous.with(made.body.key));
    const events = client.iterate({ query: 'subscription { presence(tenant: "acme") { clientId } }' });
    const ended = (async () => {
      try {
        for (;;) if ((await events.next()).done === true) return 'complete';
      } catch (error) {
        return (error as { extensions: { code: string } }[])[0]?.extensions.code;
      }
    })();
    await new Promise<void>((resolve) => client.on('connected', () => resolve()));
    await acme.admin.delete(`${acme.path}/api-keys/${made.body.id}`);
    expect(['unauthenticated', 4403]).toContain(await ended);
  });
});
