/** What the broker refused, aggregated: the answer to "why was I refused?". */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';
import type { Denial } from '../generated/client.js';

export type { Denial };

export interface DenialPlace {
  readonly lastAt: Date;
  readonly id: bigint;
}

export interface DenialQuery {
  readonly deviceId?: string | undefined;
  /** Of any of them. */
  readonly deviceIds?: readonly string[] | undefined;
  readonly clientId?: string | undefined;
  readonly action?: string | undefined;
  readonly since?: Date | undefined;
  readonly after: DenialPlace | undefined;
  readonly limit: number;
}

/** Newest first. A denial that happens again while somebody pages moves to the front; none is missed from the first page on. */
export function listDenials(tx: TenantTx, query: DenialQuery): Promise<Denial[]> {
  const conditions = [Prisma.sql`tenant_id = ${tx.tenantId}::uuid`];
  if (query.deviceId !== undefined) conditions.push(Prisma.sql`device_id = ${query.deviceId}::uuid`);
  if (query.deviceIds !== undefined)
    conditions.push(Prisma.sql`device_id = ANY (${[...query.deviceIds]}::uuid[])`);
  if (query.clientId !== undefined) conditions.push(Prisma.sql`client_id = ${query.clientId}`);
  if (query.action !== undefined) conditions.push(Prisma.sql`action = ${query.action}`);
  if (query.since !== undefined) conditions.push(Prisma.sql`last_at >= ${query.since}`);
  if (query.after !== undefined)
    conditions.push(Prisma.sql`(last_at, id) < (${query.after.lastAt}, ${query.after.id})`);
  return tx.db.$queryRaw`
    SELECT tenant_id AS "tenantId", id, key, device_id AS "deviceId", client_id AS "clientId", username, address, action,
           topic, reason, detail, first_at AS "firstAt", last_at AS "lastAt", count
    FROM denials WHERE ${Prisma.join(conditions, ' AND ')}
    ORDER BY last_at DESC, id DESC LIMIT ${query.limit}`;
}
