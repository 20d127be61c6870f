import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { addReadings } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let path: string;
let deviceId: string;

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  deviceId = (await acme.admin.post(`${acme.path}/devices`, { name: 'meter' })).body.id;
  const second = (await acme.admin.post(`${acme.path}/devices`, { name: 'second' })).body.id;
  path = `${acme.path}/devices/${deviceId}/telemetry`;
  await addReadings(api.database, acme.id, deviceId, [
    { at: at(1), topic: 'devices/meter/telemetry', body: { n: 1 } },
    { at: at(2), topic: 'devices/meter/telemetry', body: { n: 2 } },
    { at: at(2), topic: 'devices/meter/telemetry/extra', body: { n: 3 } },
    { at: at(3), topic: '$meter/x', raw: Buffer.from([0xff, 0x00]) },
    { at: at(4), topic: 'a.c/b', body: 4 },
  ]);
  await addReadings(api.database, acme.id, second, [{ at: at(5) }]);
});
afterAll(() => api.stop());

async function numbers(query: string) {
  const { body } = await acme.viewer.get(`${path}?${query}`);
  return body.items.map((item: { body: { n?: number }; topic: string }) => item.body?.n ?? item.topic);
}

describe('telemetry', () => {
  it('comes newest first, or oldest first, whole', async () => {
    expect(await numbers('')).toEqual(['a.c/b', '$meter/x', 3, 2, 1]);
    expect(await numbers('order=oldest')).toEqual([1, 2, 3, '$meter/x', 'a.c/b']);
    const [first] = (await acme.viewer.get(`${path}?order=oldest&limit=1`)).body.items;
    expect(first).toMatchObject({
      deviceId,
      receivedAt: at(1),
      observedAt: null,
      topic: 'devices/meter/telemetry',
      body: { n: 1 },
      raw: null,
      qos: 1,
    });
  });

  it('has every digit that was sent, by GraphQL too', async () => {
    const third = await api.createTenant('third');
    const { body: device } = await third.admin.post(`${third.path}/devices`, { name: 'counter' });
    await addReadings(api.database, third.id, device.id, [{ at: at(1) }]);
    const long = '{"id":9007199254740993,"kWh":12345678901234567.25}';
    await queryAsSuperuser(api.database, 'UPDATE telemetry SET body = $1::jsonb WHERE device_id = $2', [
      long,
      device.id,
    ]);
    const { text } = await third.viewer.get(`${third.path}/devices/${device.id}/telemetry`);
    expect(text.replaceAll(' ', '')).toContain(`"body":${long}`);
    const query = `{ device(tenant: "third", id: "${device.id}") { latestTelemetry { body } } }`;
    const latest = await third.viewer.post('/graphql', { query });
    expect(latest.text).toContain(`"body":${long}`);
  });

  it('gives bytes that are no JSON as base64', async () => {
    const { body } = await acme.viewer.get(`${path}?topic=$meter/x`);
    expect(body.items).toMatchObject([{ body: null, raw: '/wA=' }]);
  });

  it('is paged by time and number, in both orders, without gaps or repetition', async () => {
    for (const order of ['newest', 'oldest']) {
      const seen: string[] = [];
      for (let next: string | null = `${path}?limit=1&order=${order}`; next !== null;) {
        const page = await acme.viewer.get(next);
        seen.push(...page.body.items.map(({ id }: { id: string }) => id));
        next = /<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? null;
      }
      expect(new Set(seen).size).toBe(5);
    }
  });

  it('is cut to a window that includes its beginning and not its end', async () => {
    expect(await numbers(`from=${at(2)}&to=${at(4)}`)).toEqual(['$meter/x', 3, 2]);
  });

  it('is filtered as MQTT would match', async () => {
    expect(await numbers('topic=devices/meter/telemetry')).toEqual([2, 1]);
    expect(await numbers(`topic=${encodeURIComponent('devices/+/telemetry')}`)).toEqual([2, 1]);
    expect(await numbers(`topic=${encodeURIComponent('devices/meter/telemetry/#')}`)).toEqual([3, 2, 1]);
    expect(await numbers(`topic=${encodeURIComponent('#')}`)).toEqual(['a.c/b', 3, 2, 1]);
    expect(await numbers(`topic=${encodeURIComponent('+/x')}`)).toEqual([]);
    expect(await numbers(`topic=${encodeURIComponent('$meter/+')}`)).toEqual(['$meter/x']);
    expect(await numbers(`topic=${encodeURIComponent('abc/+')}`)).toEqual([]);
    expect(await numbers(`topic=${encodeURIComponent('a.c/+')}`)).toEqual(['a.c/b']);
  });

  it('is counted exactly, of a device and of the tenant', async () => {
    expect((await acme.viewer.get(`${path}/count`)).body).toEqual({ count: 5 });
    expect((await acme.viewer.get(`${acme.path}/telemetry/count`)).body).toEqual({ count: 6 });
    const window = `from=${at(2)}&to=${at(3)}&topic=${encodeURIComponent('devices/#')}`;
    expect((await acme.viewer.get(`${acme.path}/telemetry/count?device=${deviceId}&${window}`)).body).toEqual(
      { count: 2 },
    );
    expect((await other.viewer.get(`${other.path}/telemetry/count`)).body).toEqual({ count: 0 });
  });

  it('refuses what it cannot use', async () => {
    const bad = [
      'limit=0',
      'limit=201',
      'from=yesterday',
      'from=2026-01-01T00:00:00',
      'from=0000-01-01T00:00:00Z',
      'from=0001-01-01T00:00:00%2B01:00',
      'to=9999-12-31T23:59:59-01:00',
      'order=random',
      'topic=a%23',
      'colour=red',
      'after=x',
    ];
    for (const query of bad) {
      const refused = await acme.viewer.get(`${path}?${query}`);
      expect([query, refused.status, refused.body.code]).toEqual([query, 400, 'invalid-parameter']);
    }
  });

  it('of a device of another tenant is the telemetry of an unknown one', async () => {
    const foreign = await other.admin.get(`${other.path}/devices/${deviceId}/telemetry`);
    const unknown = await other.admin.get(
      `${other.path}/devices/018f4e8e-0000-7000-8000-000000000000/telemetry`,
    );
    expect([foreign.status, foreign.text]).toEqual([404, unknown.text]);
    const counted = await other.admin.get(`${other.path}/telemetry/count?device=${deviceId}`);
    expect(counted.status).toBe(404);
  });

  it('does not take the cursor of another list', async () => {
    const { next } = (await acme.viewer.get(`${path}?limit=1`)).body;
    expect((await acme.viewer.get(`${path}?order=oldest&after=${next}`)).status).toBe(400);
    expect((await acme.viewer.get(`${path}?after=${next}`)).status).toBe(200);
  });
});
