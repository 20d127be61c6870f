import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Client } from 'pg';

import type { ClientId, PresenceEvent, TenantId } from '#mqtt';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { openBrokerStore } from './broker-store.js';
import { steadyPlans } from './statements/places.js';
import { followPresence } from './statements/presence.js';
import type { Statement } from './statements/statement.js';

const clients = 20_000;
const batches = 30;

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

const tenantId = randomUUID();

const arrival = (deviceId: string, clientId: string): PresenceEvent => ({
  principal: {
    tenantId: tenantId as TenantId,
    deviceId,
    clientId: clientId as ClientId,
    credentialId: randomUUID(),
    username: 'meter',
  },
  epoch: 1,
  state: 'online',
  cause: 'connected',
  at: Date.now(),
  detail: {},
  will: undefined,
});

/** The plans that were made while nobody had been seen serve when thousands have: statistics come a minute later, or never. */
it('a client that comes costs its own row, however many its tenant has', async () => {
  const deviceId = randomUUID();
  await superuser.query('VACUUM ANALYZE presence, presence_events, device_presence');
  const store = await openBrokerStore({
    url: database.brokerUrl,
    processId: randomUUID(),
    onLeaseLost: () => undefined,
  });
  try {
    for (let i = 0; i < batches; i++) {
      store.journal.presence(arrival(deviceId, `early-${i}`));
      await store.drain();
    }
    await superuser.query(
      `INSERT INTO presence (tenant_id, client_id, device_id, epoch, state, cause, since, process_id)
       SELECT $1, 'c' || n, $2, 1, 'online', 'connected', now(), $3 FROM generate_series(1, ${clients}) n`,
      [tenantId, deviceId, randomUUID()],
    );
    const before = await rowsRead();
    for (let i = 0; i < batches; i++) {
      store.journal.presence(arrival(deviceId, `late-${i}`));
      await store.drain();
    }
    // A connection says what it read when it ends.
    await store.close();
    while (await hasBrokers()) await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await rowsRead()) - before).toBeLessThan(20 * batches);
  } finally {
    await store.close();
  }
});

it('of many devices that come at once each has its own numbers, and none is gone through for another', async () => {
  const devices = Array.from({ length: 200 }, () => randomUUID());
  // Each of them three times, and in turn.
  const presence = Array.from({ length: 600 }, (_, i) => ({
    event: arrival(devices[i % 200] as string, `${i}`),
    isInTurn: true,
  }));
  const statements: Statement[] = [];
  followPresence(
    statements,
    { errors: [], readings: [], messages: [], retained: new Map(), denials: [], presence },
    randomUUID(),
  );
  const [{ text, values }] = statements as [Statement, ...Statement[]];
  const broker = new Client({ connectionString: database.brokerUrl });
  await broker.connect();
  try {
    await broker.query(steadyPlans);
    const { rows } = await broker.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
      values,
    );
    expect(inVain(rows[0]?.['QUERY PLAN'][0].Plan as PlanNode)).toBeLessThan(600);
  } finally {
    await broker.end();
  }
  const { rows } = await superuser.query<{ numbers: string }>(
    `SELECT string_agg(sequence::text, ' ' ORDER BY client_id::int) AS numbers FROM presence_events
      WHERE device_id = ANY ($1) GROUP BY device_id`,
    [devices],
  );
  expect(rows).toEqual(devices.map(() => ({ numbers: '1 2 3' })));
});

interface PlanNode {
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Join Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Pairs of rows that were looked at, and did not belong together. */
function inVain({
  Plans = [],
  'Actual Loops': loops,
  'Rows Removed by Join Filter': each = 0,
}: PlanNode): number {
  return Plans.reduce((sum, plan) => sum + inVain(plan), loops * each);
}

async function hasBrokers(): Promise<boolean> {
  const { rows } = await superuser.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'moorage_broker'`,
  );
  return rows.length > 0;
}

async function rowsRead(): Promise<number> {
  await superuser.query('SELECT pg_stat_force_next_flush()');
  const { rows } = await superuser.query<{ read: number }>(
    `SELECT (seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relname = t.relname))::float8 AS read
       FROM pg_stat_user_tables t WHERE t.relname = 'presence'`,
  );
  return rows[0]?.read ?? NaN;
}
