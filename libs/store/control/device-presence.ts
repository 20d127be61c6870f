/**
 * The presence of a device: what its clients do, and whether it may be here at all. A device is suspended while it is disabled or its
 * tenant is; else online while one of its clients is; else offline as the last of them went; never seen while it has had none.
 */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';

export type DeviceState = 'never-seen' | 'online' | 'offline' | 'suspended';

export interface ClientState {
  readonly clientId: string;
  readonly state: 'online' | 'offline';
  readonly cause: string;
  /** ISO 8601. */
  readonly since: string;
  readonly epoch: string;
}

export interface DevicePresence {
  readonly deviceId: string;
  readonly device: string;
  readonly state: DeviceState;
  /** Of the client that decides: an online one, or else the last that went. */
  readonly cause: string | null;
  readonly since: string | null;
  /** Number of the device's last presence event; 0 of one that was never seen. */
  readonly sequence: string;
  /** The online ones first, the newest first; of many the first twenty. */
  readonly clients: readonly ClientState[];
}

const mostClients = 20;
const utc = (time: string): string => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** What may stand in the query's conditions: d, the device; t, its tenant; state. */
const rightState = `CASE WHEN t.status <> 'active' OR d.status <> 'active' THEN 'suspended'
    WHEN c.clients IS NULL THEN 'never-seen' ELSE c.clients -> 0 ->> 'state' END`;

/** Of the columns of DevicePresence. To be followed by WHERE. */
export const selectDevicePresence = `
  SELECT d.id::text AS "deviceId", d.name AS device, ${rightState} AS state, c.clients -> 0 ->> 'cause' AS cause,
    c.clients -> 0 ->> 'since' AS since, coalesce(n.sequence, 0)::text AS sequence, coalesce(c.clients, '[]') AS clients
  FROM devices d
  JOIN tenants t ON t.id = d.tenant_id
  LEFT JOIN device_presence n ON n.tenant_id = d.tenant_id AND n.device_id = d.id
  LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('clientId', client_id, 'state', p.state, 'cause', cause, 'since', ${utc('since')}, 'epoch', epoch::text)
        ORDER BY p.state DESC, since DESC, client_id) AS clients
    FROM (SELECT * FROM presence q WHERE q.tenant_id = d.tenant_id AND q.device_id = d.id
          ORDER BY q.state DESC, since DESC, client_id LIMIT ${mostClients}) p) c ON true`;

export interface DevicePresenceFilter {
  readonly state?: DeviceState | undefined;
  readonly afterDeviceId: string | undefined;
  readonly limit: number;
}

/** Oldest device first. */
export function listDevicePresence(tx: TenantTx, filter: DevicePresenceFilter): Promise<DevicePresence[]> {
  const conditions = [Prisma.sql`d.tenant_id = ${tx.tenantId}::uuid`];
  if (filter.afterDeviceId !== undefined) conditions.push(Prisma.sql`d.id > ${filter.afterDeviceId}::uuid`);
  if (filter.state !== undefined) conditions.push(ofState(tx.tenantId, filter.state));
  return tx.db.$queryRaw`${Prisma.raw(selectDevicePresence)}
    WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY d.id LIMIT ${filter.limit}`;
}

export async function findDevicePresence(
  tx: TenantTx,
  deviceId: string,
): Promise<DevicePresence | undefined> {
  const rows = await tx.db.$queryRaw<DevicePresence[]>`${Prisma.raw(selectDevicePresence)}
    WHERE d.tenant_id = ${tx.tenantId}::uuid AND d.id = ${deviceId}::uuid`;
  return rows[0];
}

/** Said so that PostgreSQL need not make up the state of every device to find a few. */
function ofState(tenantId: string, state: DeviceState): Prisma.Sql {
  const clients = (of: Prisma.Sql): Prisma.Sql =>
    Prisma.sql`(SELECT q.device_id FROM presence q WHERE q.tenant_id = ${tenantId}::uuid${of})`;
  const active = Prisma.sql`(t.status = 'active' AND d.status = 'active')`;
  const isOnline = Prisma.sql`d.id IN ${clients(Prisma.sql` AND q.state = 'online'`)}`;
  const wasSeen = Prisma.sql`d.id IN ${clients(Prisma.empty)}`;
  switch (state) {
    case 'suspended':
      return Prisma.sql`NOT ${active}`;
    case 'online':
      return Prisma.sql`${active} AND ${isOnline}`;
    case 'offline':
      return Prisma.sql`${active} AND ${wasSeen} AND NOT (${isOnline})`;
    case 'never-seen':
      return Prisma.sql`${active} AND NOT (${wasSeen})`;
  }
}
