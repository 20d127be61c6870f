import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { AuditEntry } from '../generated/client.js';

export type { AuditEntry };

export interface AuditQuery {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly subjectKind?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** Newest first. */
export function listAudit(tx: TenantTx, query: AuditQuery): Promise<AuditEntry[]> {
  const { beforeId, limit, ...filter } = query;
  return tx.db.auditEntry.findMany({
    where: {
      tenantId: tx.tenantId,
      ...defined(filter),
      ...(beforeId === undefined ? {} : { id: { lt: beforeId } }),
    },
    orderBy: { id: 'desc' },
    take: limit,
  });
}
