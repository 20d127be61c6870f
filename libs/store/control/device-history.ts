/** What a device has left that may be millions of rows: it goes in bites, each a transaction, after the device itself. */
import type { ControlStore, TenantTx } from './control-store.js';

/** A few tenths of a second. */
const biteRows = 20_000;

/** Until nothing is left. Interrupted, it is for housekeeping to go on with. */
export async function clearHistory(
  store: ControlStore,
  tenantId: string,
  deviceId: string,
  whose = tenantId,
): Promise<void> {
  const bite = (): Promise<boolean> => store.tenant(tenantId, (tx) => biteOff(tx, deviceId), whose);
  while (await bite());
}

/**
 * True: there may be more. By their places: a plan for the keys of rows that nobody has analysed yet may go through all of them for
 * each.
 */
async function biteOff({ db, tenantId }: TenantTx, deviceId: string): Promise<boolean> {
  const readings = await db.$executeRaw`
    DELETE FROM telemetry WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM telemetry WHERE tenant_id = ${tenantId}::uuid AND device_id = ${deviceId}::uuid
       ORDER BY tenant_id, device_id, received_at, id LIMIT ${biteRows}))`;
  if (readings === biteRows) return true;
  const events = await db.$executeRaw`
    DELETE FROM presence_events WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM presence_events WHERE tenant_id = ${tenantId}::uuid AND device_id = ${deviceId}::uuid
       ORDER BY tenant_id, device_id, at, id LIMIT ${biteRows}))`;
  return events === biteRows;
}

export async function hasHistory(
  { db, tenantId }: Pick<TenantTx, 'db' | 'tenantId'>,
  deviceId: string,
): Promise<boolean> {
  const [row] = await db.$queryRaw<{ has: boolean }[]>`
    SELECT EXISTS (SELECT FROM telemetry WHERE tenant_id = ${tenantId}::uuid AND device_id = ${deviceId}::uuid)
        OR EXISTS (SELECT FROM presence_events WHERE tenant_id = ${tenantId}::uuid AND device_id = ${deviceId}::uuid) AS has`;
  return row?.has ?? false;
}
