import { platformId } from './audit.js';
import type { PlatformTx, TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { AuditEntry } from '../generated/client.js';

export type { AuditEntry };

export interface AuditQuery {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly subjectKind?: string | undefined;
  readonly subjectId?: string | undefined;
  /** From is inside the window, to is not. */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** Newest first. */
export function listAudit({ db, tenantId }: TenantTx, query: AuditQuery): Promise<AuditEntry[]> {
  return list(db, tenantId, query);
}

/** The platform's own; or that of a tenant, which may be gone. */
export function listPlatformAudit(
  { db }: PlatformTx,
  { tenantId = platformId, ...query }: AuditQuery & { readonly tenantId?: string | undefined },
): Promise<AuditEntry[]> {
  return list(db, tenantId, query);
}

function list(db: TenantTx['db'], tenantId: string, query: AuditQuery): Promise<AuditEntry[]> {
  const { from, to, beforeId, limit, ...filter } = query;
  return db.auditEntry.findMany({
    where: {
      tenantId,
      ...defined(filter),
      at: defined({ gte: from, lt: to }),
      id: defined({ lt: beforeId }),
    },
    orderBy: { id: 'desc' },
    take: limit,
  });
}
