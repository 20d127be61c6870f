/** Who did what. Entries are written in the transaction of the deed, and never changed or removed. */
import type { PlatformTx, TenantTx } from './control-store.js';

export interface AuditNote {
  /** The shown part of the API key. */
  readonly actor: string;
  /** e.g. `device.create` */
  readonly action: string;
  readonly subjectKind: string;
  readonly subjectId: string;
  readonly detail?: Readonly<Record<string, string | number | boolean | null>>;
}

/** Stands for the platform where an entry concerns no tenant. */
export const platformId = '00000000-0000-0000-0000-000000000000';

export async function recordAudit(tx: TenantTx | PlatformTx, ...notes: readonly AuditNote[]): Promise<void> {
  const tenantId = tx.scope === 'tenant' ? tx.tenantId : platformId;
  await tx.db.auditEntry.createMany({
    data: notes.map(({ detail = {}, ...note }) => ({ tenantId, ...note, detail })),
  });
}
