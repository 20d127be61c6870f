/** Sessions as an operator sees them: whoever is online, and whatever durable session waits for somebody who is not. */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';
import type { Subscription as DurableSubscription } from '../generated/client.js';

export type { DurableSubscription };

export interface SessionRow {
  readonly clientId: string;
  readonly deviceId: string;
  readonly online: boolean;
  /** Since when it is online, or away. Null: it was never seen to go. */
  readonly since: Date | null;
  readonly detail: Prisma.JsonValue;
  readonly durable: boolean;
  readonly expiryIntervalS: bigint | null;
  readonly expiresAt: Date | null;
  readonly createdAt: Date | null;
  readonly queuedMessages: bigint;
}

export interface SessionFilter {
  readonly deviceId?: string | undefined;
  readonly online?: boolean | undefined;
  readonly afterClientId: string | undefined;
  readonly limit: number;
}

/** By client identifier. Each half is a range of a primary key, cut to the page before they are joined. */
export function listSessions(tx: TenantTx, filter: SessionFilter): Promise<SessionRow[]> {
  const after =
    filter.afterClientId === undefined ? Prisma.empty : Prisma.sql`AND client_id > ${filter.afterClientId}`;
  const device =
    filter.deviceId === undefined ? Prisma.empty : Prisma.sql`AND device_id = ${filter.deviceId}::uuid`;
  const online = Prisma.sql`(SELECT client_id FROM presence
    WHERE tenant_id = ${tx.tenantId}::uuid AND state = 'online' ${device} ${after} ORDER BY client_id LIMIT ${filter.limit})`;
  const isOnline = Prisma.sql`EXISTS (SELECT 1 FROM presence p
    WHERE p.tenant_id = sessions.tenant_id AND p.client_id = sessions.client_id AND p.state = 'online')`;
  const durable = (condition: Prisma.Sql): Prisma.Sql => Prisma.sql`(SELECT client_id FROM sessions
    WHERE tenant_id = ${tx.tenantId}::uuid ${device} ${after} ${condition} ORDER BY client_id LIMIT ${filter.limit})`;
  const clients =
    filter.online === undefined
      ? Prisma.sql`${online} UNION ${durable(Prisma.empty)}`
      : filter.online
        ? online
        : durable(Prisma.sql`AND NOT ${isOnline}`);
  return selectSessions(tx, Prisma.sql`SELECT client_id FROM (${clients}) AS both_halves`, filter.limit);
}

export async function findSession(tx: TenantTx, clientId: string): Promise<SessionRow | undefined> {
  const rows = await selectSessions(tx, Prisma.sql`SELECT ${clientId}::text AS client_id`, 1);
  return rows[0];
}

function selectSessions(tx: TenantTx, clients: Prisma.Sql, limit: number): Promise<SessionRow[]> {
  return tx.db.$queryRaw`
    SELECT wanted.client_id AS "clientId", coalesce(s.device_id, p.device_id) AS "deviceId",
           coalesce(p.state = 'online', false) AS online, p.since, coalesce(p.detail, '{}'::jsonb) AS detail,
           s.client_id IS NOT NULL AS durable, s.expiry_interval_s AS "expiryIntervalS", s.expires_at AS "expiresAt",
           s.created_at AS "createdAt",
           coalesce(s.queued_messages, 0) AS "queuedMessages"
    FROM (${clients}) AS wanted
    LEFT JOIN sessions s ON s.tenant_id = ${tx.tenantId}::uuid AND s.client_id = wanted.client_id
    LEFT JOIN presence p ON p.tenant_id = ${tx.tenantId}::uuid AND p.client_id = wanted.client_id
    WHERE s.client_id IS NOT NULL OR p.state = 'online'
    ORDER BY wanted.client_id LIMIT ${limit}`;
}

/** Durable subscriptions; those of a session that ends with its connection are known to its broker process alone (questions.ts). */
export function subscriptionsOfSession(
  tx: TenantTx,
  clientId: string,
  limit: number,
): Promise<DurableSubscription[]> {
  return tx.db.subscription.findMany({
    where: { tenantId: tx.tenantId, clientId },
    orderBy: { filter: 'asc' },
    take: limit,
  });
}

/**
 * Those of these devices, with all that hangs on them. The sessions' own rows go first: a broker locks them to write to a session, so
 * that what a commit under way adds to one is there to be found once it is gone, and nothing is added after that. Otherwise
 * a queue would outlive its session, and be that of whoever comes next under the identifier.
 */
export async function deleteSessions(
  { db, tenantId }: TenantTx,
  deviceIds: readonly string[],
): Promise<void> {
  // In the order in which brokers lock them.
  const gone = await db.$queryRaw<{ clientId: string }[]>`
    DELETE FROM sessions s USING (
      SELECT client_id FROM sessions WHERE tenant_id = ${tenantId}::uuid AND device_id = ANY (${deviceIds}::uuid[])
       ORDER BY client_id OFFSET 0) AS k
     WHERE s.tenant_id = ${tenantId}::uuid AND s.client_id = k.client_id AND s.device_id = ANY (${deviceIds}::uuid[])
    RETURNING s.client_id AS "clientId"`;
  const clients = gone.map(({ clientId }) => clientId);
  await db.$executeRaw`DELETE FROM queue_entries WHERE tenant_id = ${tenantId}::uuid AND client_id = ANY (${clients})`;
  await db.$executeRaw`DELETE FROM subscriptions WHERE tenant_id = ${tenantId}::uuid AND client_id = ANY (${clients})`;
  await db.$executeRaw`DELETE FROM inbound_packets WHERE tenant_id = ${tenantId}::uuid AND client_id = ANY (${clients})`;
}

/** Payload bytes that wait for the session. */
export async function queuedBytes(tx: TenantTx, clientId: string): Promise<number> {
  const rows = await tx.db.$queryRaw<{ bytes: bigint }[]>`
    SELECT queued_bytes AS bytes FROM sessions WHERE tenant_id = ${tx.tenantId}::uuid AND client_id = ${clientId}`;
  return Number(rows[0]?.bytes ?? 0);
}
