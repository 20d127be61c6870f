import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import type { ClaimedSession, ClientId, Principal, SessionKey, Stored, TenantId } from '#mqtt';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { type BrokerStore, openBrokerStore } from './broker-store.js';

const long = 50_000;
const others = 200;
const each = 250;
const page = 100;
const tables = ['sessions', 'subscriptions', 'inbound_packets', 'queue_entries', 'queued_messages'];

describe('a long queue', () => {
  let database: TestDatabase;
  let superuser: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    superuser = new Client({ connectionString: database.superuserUrl });
    await superuser.connect();
  });

  afterAll(async () => {
    await superuser.end();
    await database.drop();
  });

  /** The plans that were made for tables known to be empty serve when they are full: statistics come a minute later, or never. */
  it('costs who comes back for it the page that is read, whatever PostgreSQL believes of the tables', async () => {
    const store = await openBrokerStore({
      url: database.brokerUrl,
      processId: randomUUID(),
      onLeaseLost: () => undefined,
    });
    try {
      const principal = newPrincipal('patient');
      await superuser.query(`VACUUM ANALYZE ${tables.join(', ')}`);
      const used = await usePlans(store, principal);
      await fill(principal, used.nextSequence);
      const before = await rowsRead();

      const session = await store.vault.claim(principal, used.epoch + 1, 100, false);
      expect(session).toMatchObject({ resumed: true, queuedMessages: long, queuedBytes: 100 * long });
      const entries = await store.vault.read(keyOf(session), 1, page, 1e6);
      expect(entries).toHaveLength(page);
      const sequences = entries.map(({ sequence }) => sequence);
      await done((stored) => store.vault.markReceived(keyOf(session), sequences[0]!, stored));
      store.vault.settle(keyOf(session), sequences);
      const { sessions } = await store.vault.open(principal.tenantId);
      expect(sessions).toHaveLength(others + 1);
      expect(sessions.find(({ clientId }) => clientId === 'patient')).toMatchObject({
        queuedMessages: long - page,
        queuedBytes: 100 * (long - page),
      });

      // A connection says what it read when it ends.
      await store.close();
      while (await hasBrokers()) await new Promise((resolve) => setTimeout(resolve, 10));
      const after = await rowsRead();
      expect(after.sequentially - before.sequentially).toBe(0);
      // An entry and its message are looked at some times each, when read and when settled; never those that only wait.
      expect(after.byIndex - before.byIndex).toBeLessThan(20 * page);
    } finally {
      await store.close();
    }
  });

  it('is counted from nothing again when its client starts clean', async () => {
    const store = await openBrokerStore({
      url: database.brokerUrl,
      processId: randomUUID(),
      onLeaseLost: () => undefined,
    });
    try {
      const principal = newPrincipal('clean');
      await store.vault.claim(principal, 1, 100, false);
      await fill(principal, 1);
      const session = await store.vault.claim(principal, 2, 100, true);
      expect(session).toMatchObject({ resumed: false, queuedMessages: 0, queuedBytes: 0 });
      expect(await store.vault.read(keyOf(session), 1, page, 1e6)).toEqual([]);
    } finally {
      await store.close();
    }
  });

  /** Often enough for PostgreSQL to settle for one plan of each prepared statement, whatever its parameters. */
  async function usePlans({ vault }: BrokerStore, principal: Principal): Promise<ClaimedSession> {
    for (let epoch = 1; ; epoch++) {
      const session = await vault.claim(principal, epoch, 100, false);
      if (epoch > 12) return session;
      const key = keyOf(session);
      const sequences = [session.nextSequence, session.nextSequence + 1];
      for (const sequence of sequences)
        await done((stored) =>
          vault.append(
            message,
            [{ session: key, sequence, qos: 2, retain: false, subscriptionIds: [] }],
            undefined,
            stored,
          ),
        );
      await done((stored) => vault.markReceived(key, sequences[0]!, stored));
      expect(await vault.read(key, 1, 10, 1e6)).toHaveLength(2);
      vault.settle(key, sequences);
      await vault.flush();
    }
  }

  /** As appends would have left it, in seconds less. */
  async function fill({ tenantId, clientId, deviceId }: Principal, from: number): Promise<void> {
    const waiting = `INSERT INTO queue_entries (tenant_id, client_id, sequence, message_id, qos, retain, bytes)`;
    await superuser.query(
      `INSERT INTO sessions (tenant_id, client_id, device_id, epoch, principal, expiry_interval_s, queued_messages, queued_bytes)
       SELECT $1, 'other-' || n, $2, 1, '{}', 100, $4::int, 100 * $4::int FROM generate_series(1, $3::int) n`,
      [tenantId, deviceId, others, each],
    );
    await superuser.query(
      `INSERT INTO queued_messages (tenant_id, id, topic, payload, publisher, received_at)
       SELECT $1, n, 't', convert_to(repeat('x', 100), 'UTF8'), 'p', now() FROM generate_series(1, $2::int) n`,
      [tenantId, long + others * each],
    );
    await superuser.query(
      `${waiting} SELECT $1, $2, $3::int + n, n, 2, false, 100 FROM generate_series(1, $4::int) n`,
      [tenantId, clientId, from, long],
    );
    await superuser.query(
      `${waiting} SELECT $1, 'other-' || c, n, $2::int + (c - 1) * $4::int + n, 1, false, 100
       FROM generate_series(1, $3::int) c, generate_series(1, $4::int) n`,
      [tenantId, long, others, each],
    );
    await superuser.query(
      `UPDATE sessions SET next_sequence = $3::int + $4::int + 1, queued_messages = $4::int, queued_bytes = 100 * $4::int
       WHERE tenant_id = $1 AND client_id = $2`,
      [tenantId, clientId, from, long],
    );
  }

  async function hasBrokers(): Promise<boolean> {
    const { rows } = await superuser.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'moorage_broker'`,
    );
    return rows.length > 0;
  }

  /** Of the sessions' tables, by every connection that has ended and by this one. */
  async function rowsRead(): Promise<{ readonly sequentially: number; readonly byIndex: number }> {
    await superuser.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await superuser.query<{ sequentially: number; byIndex: number }>(
      `SELECT sum(t.seq_tup_read)::float8 AS sequentially,
         (SELECT sum(i.idx_tup_read)::float8 FROM pg_stat_user_indexes i
           WHERE i.relname = ANY ($1)) AS "byIndex"
       FROM pg_stat_user_tables t WHERE t.relname = ANY ($1)`,
      [tables],
    );
    return rows[0]!;
  }
});

const message = {
  topic: 't',
  payload: Buffer.alloc(100, 'x'),
  qos: 2,
  retain: false,
  properties: undefined,
  publisher: 'p' as ClientId,
  receivedAt: 1_790_000_000_000,
  expiresAt: undefined,
} as const;

function newPrincipal(clientId: string): Principal {
  return {
    tenantId: randomUUID() as TenantId,
    deviceId: randomUUID(),
    credentialId: randomUUID(),
    username: clientId,
    clientId: clientId as ClientId,
  };
}

function keyOf({ principal, epoch, clientId }: ClaimedSession): SessionKey {
  return { tenantId: principal.tenantId, clientId, epoch };
}

function done(write: (stored: Stored) => void): Promise<void> {
  return new Promise((resolve, reject) => write((error) => (error ? reject(error) : resolve())));
}
