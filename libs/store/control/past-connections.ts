/** The connections of a device, from its comings and goings: each coming, and the going of the same epoch. */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';

export interface PastConnection {
  readonly id: bigint;
  readonly clientId: string;
  readonly epoch: bigint;
  readonly from: Date;
  /** As it was told when it began: address, transport, protocol, username … */
  readonly detail: unknown;
  /** Null: it has not ended, as far as anybody knows. */
  readonly until: Date | null;
  readonly cause: string | null;
  readonly ending: unknown;
}

export interface PastConnectionQuery {
  readonly deviceId: string;
  readonly after: { readonly at: Date; readonly id: bigint } | undefined;
  readonly limit: number;
}

/** Newest first. */
export function listPastConnections(tx: TenantTx, query: PastConnectionQuery): Promise<PastConnection[]> {
  const { deviceId, after, limit } = query;
  const onward =
    after === undefined ? Prisma.empty : Prisma.sql`AND (came.at, came.id) < (${after.at}, ${after.id})`;
  return tx.db.$queryRaw`
    SELECT came.id, came.client_id AS "clientId", came.epoch, came.at AS "from", came.detail,
           went.at AS "until", went.cause, went.detail AS ending
      FROM presence_events came
      LEFT JOIN LATERAL (
        SELECT e.at, e.cause, e.detail FROM presence_events e
         WHERE e.tenant_id = came.tenant_id AND e.device_id = came.device_id AND e.at >= came.at
           AND e.client_id = came.client_id AND e.epoch = came.epoch AND e.state = 'offline'
         ORDER BY e.at, e.id LIMIT 1) went ON true
     WHERE came.tenant_id = ${tx.tenantId}::uuid AND came.device_id = ${deviceId}::uuid AND came.state = 'online' ${onward}
     ORDER BY came.at DESC, came.id DESC LIMIT ${limit}`;
}
