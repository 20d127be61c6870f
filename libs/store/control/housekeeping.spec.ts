import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Pool } from 'pg';
import { addPresence, addReadings, addSession } from '../../../test/support/broker-rows.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../test/support/tenant.js';
import { recordAudit } from './audit.js';
import { openControlStore, type ControlStore } from './control-store.js';
import { readReceipts } from './changes.js';
import { clearHistory } from './device-history.js';
import { deleteDevice } from './devices.js';
import { keepHouse } from './housekeeping.js';
import { Sweeper } from '../broker/sweep.js';
import { deleteTenant, emptyTenant } from './tenants.js';

describe('what has outlived its use', () => {
  let database: TestDatabase;
  let store: ControlStore;
  let superuser: Client;
  let broker: Pool;
  let tenant: TestTenant;
  let device: TestDevice;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl, poolSize: 2 });
    broker = new Pool({ connectionString: database.brokerUrl, max: 2 });
    superuser = new Client({ connectionString: database.superuserUrl });
    await superuser.connect();
  });

  afterAll(async () => {
    await Promise.all([store.close(), broker.end(), superuser.end()]);
    await database.drop();
  });

  beforeEach(async () => {
    await superuser.query(
      'TRUNCATE broker_processes, changes, change_receipts, queued_messages, retained_messages',
    );
    tenant = await createTestTenant(store, database.secretKey);
    device = await tenant.addDevice('pump');
  });

  const count = async (table: string): Promise<number> => {
    const { rows } = await superuser.query(`SELECT count(*)::int AS n FROM ${table} WHERE tenant_id = $1`, [
      tenant.id,
    ]);
    return Number(rows[0].n);
  };

  const audit = (action: string, subjectId: string) =>
    store.tenant(tenant.id, (tx) => recordAudit(tx, { actor: 'a', action, subjectKind: 'x', subjectId }));

  it('goes, whatever waits for a tenant’s turns meanwhile', async () => {
    const five = openControlStore({ url: database.appUrl, poolSize: 5 });
    const { promise: until, resolve: end } = Promise.withResolvers<undefined>();
    const held = Array.from({ length: 6 }, () => five.tenant(tenant.id, () => until));
    await expect(keepHouse(five)).resolves.toBeUndefined();
    end(undefined);
    await Promise.all(held);
    await five.close();
  });

  describe('of changes', () => {
    const numbers = async (): Promise<unknown[]> =>
      (await superuser.query('SELECT number FROM changes ORDER BY number')).rows.map(({ number }) => number);

    /** Three changes, the first two long ago, with a receipt each. */
    async function threeChanges(): Promise<readonly [string, string, string]> {
      const made: string[] = [];
      for (let i = 0; i < 3; i += 1)
        made.push(String(await tenant.change('device', {}, () => Promise.resolve())));
      const [first = '', second = '', third = ''] = made;
      await superuser.query(
        `UPDATE changes SET created_at = now() - interval '31 days' WHERE number = ANY ($1::int8[])`,
        [[first, second]],
      );
      await superuser.query(
        `INSERT INTO change_receipts (tenant_id, number, process_id, result) SELECT $1, unnest($2::int8[]), $3, '{}'`,
        [tenant.id, made, randomUUID()],
      );
      return [first, second, third];
    }

    const register = (applied: string, lease = '1 minute') =>
      superuser.query(
        `INSERT INTO broker_processes (id, lease_until, applied) VALUES ($1, now() + $3::interval, $2)`,
        [randomUUID(), applied, lease],
      );

    it('goes after a month, with its receipts', async () => {
      const [, , third] = await threeChanges();
      await register(third);
      await keepHouse(store);
      expect(await numbers()).toEqual([third]);
      expect(await count('change_receipts')).toBe(1);
    });

    it('stays while a process has not applied it, also one whose lease is over', async () => {
      const [first, second, third] = await threeChanges();
      await register(third);
      await register(first, '-1 hour');
      await keepHouse(store);
      expect(await numbers()).toEqual([second, third]);
    });

    it('stays while a process has only begun, or none is there to say what it knows', async () => {
      await threeChanges();
      await keepHouse(store);
      expect(await numbers()).toHaveLength(3);
      await register('0');
      await keepHouse(store);
      expect(await numbers()).toHaveLength(3);
    });
  });

  it('of a device: what the broker wrote after its end goes, another device’s under the same identifier stays', async () => {
    const other = await tenant.addDevice('other');
    await store.tenant(tenant.id, (tx) => deleteDevice(tx, device.id, 1));
    await audit('device.delete', device.id);
    await addSession(database, tenant.id, device.id, { clientId: 'late', queued: ['a'] });
    await addSession(database, tenant.id, other.id, { clientId: 'pump', queued: ['b'] });
    await addReadings(database, tenant.id, device.id, [{ at: '2026-01-01T00:00:00Z' }]);
    await addReadings(database, tenant.id, other.id, [{ at: '2026-01-01T00:00:00Z' }]);
    await keepHouse(store);
    expect(await count('sessions')).toBe(1);
    expect(await count('queue_entries')).toBe(1);
    expect(await count('telemetry')).toBe(1);
  });

  it('of a device: what it left goes with it, but not the session of who has its identifier by now', async () => {
    const other = await tenant.addDevice('other');
    await addPresence(database, tenant.id, device.id, {
      clientId: 'shared',
      state: 'offline',
      cause: 'clean',
      at: '2026-01-01T00:00:00Z',
    });
    await addSession(database, tenant.id, device.id, { clientId: 'pump', queued: ['a', 'b'] });
    await addSession(database, tenant.id, other.id, { clientId: 'shared', queued: ['c'] });
    for (const [clientId, deviceId] of [
      ['pump', device.id],
      ['shared', other.id],
    ])
      await superuser.query(
        `INSERT INTO wills (tenant_id, client_id, epoch, principal, topic, payload, qos, retain, delay_s, process_id)
         VALUES ($1, $2, 1, $3, 't', '', 0, false, 0, $4)`,
        [tenant.id, clientId, { deviceId }, randomUUID()],
      );
    await store.tenant(tenant.id, (tx) => deleteDevice(tx, device.id, 1));
    const { rows } = await superuser.query('SELECT client_id FROM sessions WHERE tenant_id = $1', [
      tenant.id,
    ]);
    expect(rows).toEqual([{ client_id: 'shared' }]);
    for (const table of ['subscriptions', 'queue_entries', 'wills'])
      expect([table, await count(table)]).toEqual([table, 1]);
  });

  it('of a device: what a broker adds to its queue meanwhile goes too, and is not the next one’s under its identifier', async () => {
    await addSession(database, tenant.id, device.id, { clientId: 'pump', queued: ['a'] });
    // The middle of a broker's commit: the session is locked, and gets one more message.
    await superuser.query('BEGIN');
    await superuser.query('SELECT FROM sessions WHERE tenant_id = $1 FOR NO KEY UPDATE', [tenant.id]);
    await superuser.query(
      `INSERT INTO queue_entries (tenant_id, client_id, sequence, message_id, qos, retain, subscription_ids)
       SELECT tenant_id, client_id, sequence + 1, message_id, qos, retain, subscription_ids FROM queue_entries WHERE tenant_id = $1`,
      [tenant.id],
    );
    const deleting = store.tenant(tenant.id, (tx) => deleteDevice(tx, device.id, 1));
    const isHeldUp = `SELECT FROM pg_locks WHERE NOT granted AND transactionid IS NOT NULL`;
    while ((await broker.query(isHeldUp)).rowCount === 0);
    await superuser.query('COMMIT');
    expect(await deleting).toBe(true);
    for (const table of ['sessions', 'subscriptions', 'queue_entries'])
      expect([table, await count(table)]).toEqual([table, 0]);
  });

  it('of a device: its readings and history go after it, however many they are', async () => {
    const other = await tenant.addDevice('other');
    for (const id of [device.id, other.id]) {
      await superuser.query(
        `INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, qos)
         SELECT $1, $2, now(), 't', '{}', 1 FROM generate_series(1, $3::int)`,
        [tenant.id, id, id === device.id ? 45_000 : 1],
      );
      await superuser.query(
        `INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause)
         SELECT $1, $2, now(), 'c', n, 'online', 'connected' FROM generate_series(1, $3::int) n`,
        [tenant.id, id, id === device.id ? 21_000 : 1],
      );
    }
    const number = await tenant.change('device', { deviceId: device.id, isDeleted: true }, (tx) =>
      deleteDevice(tx, device.id, 1),
    );
    const progress = () => store.tenant(tenant.id, (tx) => readReceipts(tx, number));
    expect(await progress()).toMatchObject({ isClearing: true });
    await clearHistory(store, tenant.id, device.id);
    expect(await progress()).toMatchObject({ isClearing: false });
    for (const table of ['telemetry', 'presence_events'])
      expect([table, await count(table)]).toEqual([table, 1]);
  });

  it('of a device’s comings and goings: those of long ago', async () => {
    await superuser.query(
      `INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause)
       SELECT $1, $2, now() - n * interval '1 minute', 'c', n, 'online', 'connected' FROM generate_series(1, 150000) n`,
      [tenant.id, device.id],
    );
    await keepHouse(store);
    expect(await count('presence_events')).toBe(90 * 24 * 60 - 1);
  });

  it('of a tenant: what the broker wrote after its end goes', async () => {
    await audit('tenant.delete', tenant.slug);
    await store.platform((platform) => platform.tenant(tenant.id, emptyTenant));
    await store.platform((platform) => deleteTenant(platform, tenant.id));
    await addSession(database, tenant.id, device.id, { clientId: 'late', queued: ['a'] });
    await addReadings(database, tenant.id, device.id, [{ at: '2026-01-01T00:00:00Z' }]);
    await keepHouse(store);
    for (const table of ['sessions', 'subscriptions', 'queue_entries', 'queued_messages', 'telemetry'])
      expect([table, await count(table)]).toEqual([table, 0]);
  });

  it('of queues: messages that wait for nobody go, slice by slice and over again; others stay', async () => {
    await addSession(database, tenant.id, device.id, { clientId: 'pump', queued: ['waits'] });
    const orphans = (from: number, to: number) =>
      superuser.query(
        `INSERT INTO queued_messages (tenant_id, id, topic, payload, publisher, received_at)
         SELECT $1, n, 't', '', 'p', now() FROM generate_series($2::int, $3::int) n`,
        [tenant.id, from, to],
      );
    await orphans(1_000, 26_000);
    const sweeper = new Sweeper(broker);
    await sweeper.sweep([]);
    const left = await count('queued_messages');
    expect(left).toBeGreaterThan(1);
    await sweeper.sweep([]);
    expect(await count('queued_messages')).toBe(1);
    await orphans(1_000, 1_001);
    await sweeper.sweep([]);
    expect(await count('queued_messages')).toBe(1);
  });

  it('of retained messages: those that expired go', async () => {
    for (const [topic, expires] of [
      ['gone', "now() - interval '2 minutes'"],
      ['stays', "now() + interval '1 hour'"],
      ['for ever', 'NULL'],
    ])
      await superuser.query(
        `INSERT INTO retained_messages (tenant_id, topic, payload, qos, publisher, received_at, expires_at)
         VALUES ($1, $2, '', 0, 'p', now(), ${expires})`,
        [tenant.id, topic],
      );
    await new Sweeper(broker).sweep([]);
    const { rows } = await superuser.query('SELECT topic FROM retained_messages ORDER BY topic');
    expect(rows).toEqual([{ topic: 'for ever' }, { topic: 'stays' }]);
  });
});
