import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Pool } from 'pg';

import { type ClientId, type DenialNote, type Principal, Reasons, type TenantId } from '#mqtt';
import { journalContract, vaultContract } from '#mqtt/testing';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { openBrokerStore, type BrokerStore } from './broker-store.js';

let database: TestDatabase;
let superuser: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  superuser = new Pool({ connectionString: database.superuserUrl, max: 2 });
});

afterAll(async () => {
  await superuser.end();
  await database.drop();
});

/** Two tenants of their own for every test: nothing needs to be cleared between them. */
function tenants(): readonly [TenantId, TenantId] {
  return [randomUUID() as TenantId, randomUUID() as TenantId];
}

const devices = new Map<string, string>();

function principal(tenantId: TenantId, clientId: string): Principal {
  const name = `${tenantId}/${clientId}`;
  const deviceId = devices.get(name) ?? randomUUID();
  devices.set(name, deviceId);
  return {
    tenantId,
    deviceId,
    credentialId: deviceId,
    username: `${clientId}@tenant`,
    clientId: clientId as ClientId,
  };
}

function open(): Promise<BrokerStore> {
  return openBrokerStore({ url: database.brokerUrl, processId: randomUUID(), onLeaseLost: () => undefined });
}

/** What `kill -9` does to its connections. */
async function kill(): Promise<void> {
  await superuser.query(
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'moorage-broker%'`,
  );
}

vaultContract('PostgreSQL', async () => {
  const stores = [await open()];
  return {
    vault: stores[0]!.vault,
    tenants: tenants(),
    principal,
    async reopen() {
      await kill();
      stores.push(await open());
      return stores.at(-1)!.vault;
    },
    close: async () => {
      for (const store of stores) await store.close();
    },
  };
});

journalContract('PostgreSQL', async () => {
  const store = await open();
  const number = (value: string | number) => Number(value);
  return {
    journal: store.journal,
    tenants: tenants(),
    principal,
    flush: () => store.drain(),
    async readings(tenantId) {
      const { rows } = await superuser.query(
        'SELECT device_id, topic, body::text, raw, received_at FROM telemetry WHERE tenant_id = $1 ORDER BY id',
        [tenantId],
      );
      return rows.map((row) => ({
        deviceId: row.device_id,
        topic: row.topic,
        payload: row.raw ?? Buffer.from(row.body),
        receivedAt: row.received_at.getTime(),
      }));
    },
    async presence(tenantId, clientId) {
      const { rows } = await superuser.query(
        'SELECT epoch, state, cause, since FROM presence WHERE tenant_id = $1 AND client_id = $2',
        [tenantId, clientId],
      );
      return rows.map((row) => ({ ...row, epoch: number(row.epoch), at: row.since.getTime() }))[0];
    },
    async history(tenantId, clientId) {
      const { rows } = await superuser.query(
        'SELECT epoch, state, cause, at FROM presence_events WHERE tenant_id = $1 AND client_id = $2 ORDER BY id',
        [tenantId, clientId],
      );
      return rows.map((row) => ({ ...row, epoch: number(row.epoch), at: row.at.getTime() }));
    },
    async denials(tenantId) {
      const { rows } = await superuser.query(
        'SELECT client_id, action, topic, reason, count FROM denials WHERE tenant_id = $1 ORDER BY id',
        [tenantId],
      );
      return rows.map(({ client_id, count, ...row }) => ({
        ...row,
        clientId: client_id,
        count: number(count),
      }));
    },
    close: () => store.close(),
  };
});

describe('denials of more kinds than are told apart', () => {
  it('are counted together for each action and reason, of each tenant for itself', async () => {
    const store = await open();
    const [tenantId, other] = tenants();
    const denied = (tenant: TenantId, topic: string, given: Partial<DenialNote> = {}): void =>
      store.journal.denied({
        ...principal(tenant, 'alice'),
        remoteAddress: '127.0.0.1',
        action: 'subscribe',
        topic,
        reason: Reasons.notAuthorized,
        detail: 'no rule allows it',
        at: 1_790_000_000_000,
        ...given,
      });
    try {
      for (let i = 0; i < 100; i++) denied(tenantId, `own/${i}`);
      for (let i = 100; i < 1_100; i++) denied(tenantId, `own/${i}`);
      denied(tenantId, 'own/0', { action: 'publish', count: 5 });
      denied(tenantId, 'own/0', { reason: Reasons.quotaExceeded });
      denied(other, 'own/0');
      await store.drain();
      const { rows } = await superuser.query(
        `SELECT topic, action, reason, count::int FROM denials WHERE tenant_id = $1 AND client_id = '' ORDER BY action, reason`,
        [tenantId],
      );
      expect(rows).toEqual([
        { topic: '', action: 'publish', reason: 'not-authorized', count: 5 },
        { topic: '', action: 'subscribe', reason: 'not-authorized', count: 1_000 },
        { topic: '', action: 'subscribe', reason: 'quota-exceeded', count: 1 },
      ]);
      const kept = await superuser.query(
        `SELECT tenant_id = $1 AS ours, count(*)::int FROM denials WHERE tenant_id = ANY ($2) AND client_id = 'alice' GROUP BY 1 ORDER BY 1`,
        [tenantId, [tenantId, other]],
      );
      expect(kept.rows).toEqual([
        { ours: false, count: 1 },
        { ours: true, count: 100 },
      ]);
    } finally {
      await store.close();
    }
  });
});
