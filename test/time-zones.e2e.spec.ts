/** PostgreSQL's own settings say how it writes times, and where noon is. They are the server's, and must not move a reading by hours. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { MqttClient } from 'mqtt';
import { queryAsSuperuser, startTestApi, type TestApi, type TestTenant } from './support/api.js';
import { addReadings } from './support/broker-rows.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { createTestDatabase } from './support/postgres.js';

const settings = [
  ['America/New_York', 'ISO, MDY'],
  ['Asia/Kolkata', 'German, DMY'],
] as const;

describe.each(settings)('on a server in %s that writes times as %s', (zone, style) => {
  let installation: TestInstallation;
  let broker: TestBroker;
  let api: TestApi;
  let tenant: TestTenant;
  let deviceId: string;

  beforeAll(async () => {
    const database = await createTestDatabase();
    const name = new URL(database.superuserUrl).pathname.slice(1);
    await queryAsSuperuser(database, `ALTER DATABASE ${name} SET timezone = '${zone}'`);
    await queryAsSuperuser(database, `ALTER DATABASE ${name} SET datestyle = '${style}'`);
    installation = await createInstallation(database);
    broker = await installation.startBroker();
    api = await startTestApi({}, database);
    tenant = await api.createTenant('zoned');
    deviceId = (await tenant.admin.post(`${tenant.path}/devices`, { name: 'meter' })).body.id;
  });
  afterAll(async () => {
    await broker.stop();
    await api.api.close();
    await installation.remove();
  });

  async function connect(validity: object): Promise<MqttClient> {
    const made = await tenant.admin.post(`${tenant.path}/devices/${deviceId}/credentials`, validity);
    const { id: credentialId, username, password } = made.body;
    return broker.connect({ id: deviceId, name: 'meter', credentialId, username, password });
  }

  it('a reading is found where it was received, and told so', async () => {
    const client = await connect({});
    const from = new Date(Date.now() - 60_000).toISOString();
    await client.publishAsync('devices/meter/telemetry', '{"n":1}', { qos: 1 });
    const to = new Date(Date.now() + 60_000).toISOString();
    const path = `${tenant.path}/devices/${deviceId}/telemetry`;
    const { body } = await tenant.viewer.get(`${path}?from=${from}&to=${to}`);
    expect(body.items).toMatchObject([{ body: { n: 1 } }]);
    const [{ receivedAt }] = body.items;
    expect(receivedAt >= from && receivedAt < to).toBe(true);
    await client.endAsync();
  });

  it('no page skips or repeats the hour that clocks are set back by', async () => {
    const hours = ['2025-11-02T05:30:00.000Z', '2025-11-02T06:30:00.000Z', '2025-11-02T07:30:00.000Z'];
    await addReadings(
      api.database,
      tenant.id,
      deviceId,
      hours.map((at) => ({ at })),
    );
    const found: string[] = [];
    const path = `${tenant.path}/devices/${deviceId}/telemetry?order=oldest&to=2025-12-01T00:00:00Z&limit=1`;
    for (let after: string | null = ''; after !== null && found.length < 10;) {
      const { body } = await tenant.viewer.get(after === '' ? path : `${path}&after=${after}`);
      found.push(...body.items.map((item: { receivedAt: string }) => item.receivedAt));
      after = body.next;
    }
    expect(found).toEqual(hours);
  });

  it('a credential is good from when to when it says', async () => {
    const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
    const anHourAgo = new Date(Date.now() - 3_600_000).toISOString();
    await expect(connect({ notAfter: anHourAgo })).rejects.toThrow(
      /Bad User Name or Password|Not authorized/,
    );
    await expect(connect({ notBefore: inAnHour })).rejects.toThrow(
      /Bad User Name or Password|Not authorized/,
    );
    const client = await connect({ notBefore: anHourAgo, notAfter: inAnHour });
    await client.endAsync();
  });
});
