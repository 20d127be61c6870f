/** Who is connected, who was, and why not any more: the broker's word, read back. */
import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import { Prisma } from '../generated/client.js';
import type { Presence, PresenceEvent } from '../generated/client.js';

export type { Presence, PresenceEvent };

export type PresenceState = 'online' | 'offline';

export interface PresenceFilter {
  readonly state?: PresenceState | undefined;
  readonly deviceId?: string | undefined;
  readonly afterClientId: string | undefined;
  readonly limit: number;
}

/** By client identifier. */
export function listPresence(tx: TenantTx, filter: PresenceFilter): Promise<Presence[]> {
  return tx.db.presence.findMany({
    where: {
      tenantId: tx.tenantId,
      ...defined({ state: filter.state, deviceId: filter.deviceId }),
      ...(filter.afterClientId === undefined ? {} : { clientId: { gt: filter.afterClientId } }),
    },
    orderBy: { clientId: 'asc' },
    take: filter.limit,
  });
}

export function findPresence(tx: TenantTx, clientId: string): Promise<Presence | null> {
  return tx.db.presence.findUnique({ where: { tenantId_clientId: { tenantId: tx.tenantId, clientId } } });
}

export interface PresenceSince {
  readonly since: Date;
  readonly deviceId?: string | undefined;
  readonly after?: Pick<Presence, 'since' | 'clientId'> | undefined;
  readonly limit: number;
}

/** Clients whose state changed at `since` or later, in that order. */
export function presenceSince(tx: TenantTx, query: PresenceSince): Promise<Presence[]> {
  const { after } = query;
  return tx.db.presence.findMany({
    where: {
      tenantId: tx.tenantId,
      since: { gte: query.since },
      ...defined({ deviceId: query.deviceId }),
      ...(after === undefined
        ? {}
        : { OR: [{ since: { gt: after.since } }, { since: after.since, clientId: { gt: after.clientId } }] }),
    },
    orderBy: [{ since: 'asc' }, { clientId: 'asc' }],
    take: query.limit,
  });
}

/** When the last of the tenant's clients, or of one device's, has changed its state; undefined: there are none. */
export async function newestPresence(tx: TenantTx, deviceId: string | undefined): Promise<Date | undefined> {
  const { _max: newest } = await tx.db.presence.aggregate({
    where: { tenantId: tx.tenantId, ...defined({ deviceId }) },
    _max: { since: true },
  });
  return newest.since ?? undefined;
}

/** Of many devices at once, bounded for each; for a request's DataLoader. */
export function presenceOfDevices(
  tx: TenantTx,
  deviceIds: readonly string[],
  limitEach: number,
): Promise<Presence[]> {
  return tx.db.$queryRaw`
    SELECT client.* FROM unnest(${deviceIds}::uuid[]) AS wanted(device)
    CROSS JOIN LATERAL (
      SELECT tenant_id AS "tenantId", client_id AS "clientId", device_id AS "deviceId", epoch, state, cause, since,
             process_id AS "processId", detail, will, sequence
      FROM presence WHERE tenant_id = ${tx.tenantId}::uuid AND device_id = wanted.device
      ORDER BY since DESC, client_id LIMIT ${limitEach}) AS client`;
}

export interface PresencePlace {
  readonly at: Date;
  readonly id: bigint;
}

export interface PresenceHistoryQuery {
  readonly deviceId: string;
  /** From is inside the window, to is not. */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly after: PresencePlace | undefined;
  readonly limit: number;
}

/** Newest first: late events, which changed nothing, included. */
export function listPresenceHistory(tx: TenantTx, query: PresenceHistoryQuery): Promise<PresenceEvent[]> {
  const { from, to, after } = query;
  const isAfter = from === undefined ? Prisma.empty : Prisma.sql`AND at >= ${from}`;
  const isBefore = to === undefined ? Prisma.empty : Prisma.sql`AND at < ${to}`;
  const onward = after === undefined ? Prisma.empty : Prisma.sql`AND (at, id) < (${after.at}, ${after.id})`;
  return tx.db.$queryRaw`
    SELECT tenant_id AS "tenantId", device_id AS "deviceId", at, id, client_id AS "clientId", epoch, state, cause,
           detail, will, sequence, applied
    FROM presence_events
    WHERE tenant_id = ${tx.tenantId}::uuid AND device_id = ${query.deviceId}::uuid ${isAfter} ${isBefore} ${onward}
    ORDER BY at DESC, id DESC LIMIT ${query.limit}`;
}
