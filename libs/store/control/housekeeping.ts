/** Now and then, from the api: what has outlived its use goes. The broker's own part is in ../sweep.ts. */
import { sweepBans } from './bans.js';
import { nobody } from './changes.js';
import type { ControlStore, TenantTx } from './control-store.js';
import { clearHistory } from './device-history.js';
import { sweepRequests } from './kept-requests.js';
import { sweepQuestions } from './questions.js';
import { deleteSessions } from './sessions.js';
import { deleteBrokerRows } from './tenants.js';

// An operation can be looked up for so long; what follows a change does so within seconds.
const changesKeptDays = 30;
// What a broker still had in hand when a device or tenant was deleted is written within seconds, or when PostgreSQL is back.
const lateDays = 2;
// What devices do, and which rules they use: unused grants and suggestions look back so far at most.
const observationsKeptDays = 90;
// Comings and goings; the state itself stays.
const historyKeptDays = 90;
const historyBite = 20_000;
// Of one tenant in one transaction; the rest is next time's.
const mostChanges = 10_000;
// Not the tenants': where one keeps the api so busy that its turn does not come in time, those after it would wait for the next time.
const turn = 'housekeeping';

export async function keepHouse(store: ControlStore): Promise<void> {
  await store.platform(sweepRequests);
  await store.platform(sweepBans);
  const { living, deleted } = await store.platform(async ({ db }) => ({
    living: await db.$queryRaw<{ id: string }[]>`SELECT id::text FROM tenants`,
    deleted: await db.$queryRaw<{ id: string }[]>`
      SELECT DISTINCT tenant_id::text AS id FROM audit_entries a
       WHERE action = 'tenant.delete' AND at > now() - ${2 * changesKeptDays} * interval '1 day'
         AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = a.tenant_id)`,
  }));
  // The platform's own, which concern all tenants.
  await store.platform(({ db }) => pruneChanges({ db, tenantId: nobody }));
  for (const { id } of living) {
    for (const device of await store.tenant(id, sweepLiving, turn))
      await clearHistory(store, id, device, turn);
    while (await store.tenant(id, pruneHistory, turn));
  }
  for (const { id } of deleted) await store.tenant(id, sweepDeleted, turn);
}

/** The devices that may have left more. */
async function sweepLiving(tx: TenantTx): Promise<string[]> {
  await pruneChanges(tx);
  await pruneObservations(tx);
  await sweepQuestions(tx);
  return sweepDeletedDevices(tx);
}

async function sweepDeleted(tx: TenantTx): Promise<void> {
  await pruneChanges(tx);
  await deleteBrokerRows(tx);
}

/**
 * Never one that a registered broker process has not applied, however old its lease is: `applied` of a process that has just begun
 * is 0 until it follows. Where there is no process nothing is known, and nothing goes.
 */
async function pruneChanges({ db, tenantId }: Pick<TenantTx, 'db' | 'tenantId'>): Promise<void> {
  await db.$executeRaw`
    WITH gone AS (
      DELETE FROM changes WHERE tenant_id = ${tenantId}::uuid AND number IN (
        SELECT number FROM changes
         WHERE tenant_id = ${tenantId}::uuid AND created_at < now() - ${changesKeptDays} * interval '1 day'
           AND number <= (SELECT min(applied) FROM broker_processes)
         ORDER BY number LIMIT ${mostChanges})
      RETURNING number)
    DELETE FROM change_receipts r USING gone WHERE r.tenant_id = ${tenantId}::uuid AND r.number = gone.number`;
}

async function pruneObservations({ db, tenantId }: TenantTx): Promise<void> {
  const lastAt = { lt: new Date(Date.now() - observationsKeptDays * 86_400_000) };
  await db.observedTopic.deleteMany({ where: { tenantId, lastAt } });
  await db.ruleUse.deleteMany({ where: { tenantId, lastAt } });
}

/** What was written about a device after its end. A client identifier may be another device's by now: only the device's own rows go. */
async function sweepDeletedDevices(tx: TenantTx): Promise<string[]> {
  const { db, tenantId } = tx;
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT DISTINCT subject_id AS id FROM audit_entries a
     WHERE tenant_id = ${tenantId}::uuid AND action = 'device.delete' AND at > now() - ${lateDays} * interval '1 day'
       AND NOT EXISTS (SELECT FROM devices d WHERE d.tenant_id = ${tenantId}::uuid AND d.id::text = a.subject_id)`;
  if (rows.length === 0) return [];
  const devices = rows.map(({ id }) => id);
  const deviceId = { in: devices };
  await deleteSessions(tx, devices);
  await db.$executeRaw`DELETE FROM wills WHERE tenant_id = ${tenantId}::uuid AND principal ->> 'deviceId' = ANY (${deviceId.in})`;
  await db.devicePresence.deleteMany({ where: { tenantId, deviceId } });
  await db.presence.deleteMany({ where: { tenantId, deviceId } });
  await db.denial.deleteMany({ where: { tenantId, deviceId } });
  await db.observedTopic.deleteMany({ where: { tenantId, deviceId } });
  return devices;
}

/**
 * A device's oldest presence events are found by the primary key, whatever else the table holds; a bite of them goes. True: there
 * may be more.
 */
async function pruneHistory({ db, tenantId }: TenantTx): Promise<boolean> {
  const deleted = await db.$executeRaw`
    DELETE FROM presence_events WHERE ctid = ANY (ARRAY(
      SELECT old.place FROM devices d
      CROSS JOIN LATERAL (SELECT p.ctid AS place FROM presence_events p
        WHERE p.tenant_id = d.tenant_id AND p.device_id = d.id AND p.at < now() - ${historyKeptDays} * interval '1 day'
        ORDER BY p.tenant_id, p.device_id, p.at, p.id LIMIT ${historyBite}) old
      WHERE d.tenant_id = ${tenantId}::uuid LIMIT ${historyBite}))`;
  return deleted === historyBite;
}
