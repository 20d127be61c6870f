import { Inject, Injectable } from '@nestjs/common';
import { listAudit, listPlatformAudit, type AuditEntry, type AuditQuery, type ControlStore } from '#store';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export type AuditListing = PageRequest & Omit<AuditQuery, 'beforeId' | 'limit'>;

@Injectable()
export class AuditService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  list({ tenantId }: TenantScope, listing: AuditListing): Promise<Page<AuditEntry>> {
    return this.page(tenantId, listing, (query) => this.store.tenant(tenantId, (tx) => listAudit(tx, query)));
  }

  /** Of a tenant that is named, one that is deleted too; without, what concerns the platform alone. */
  listOfPlatform({
    tenantId,
    ...listing
  }: AuditListing & { readonly tenantId?: string | undefined }): Promise<Page<AuditEntry>> {
    return this.page(tenantId ?? 'platform', listing, (query) =>
      this.store.platform((tx) => listPlatformAudit(tx, { ...query, tenantId })),
    );
  }

  private page(
    whose: string,
    { limit, after, ...filter }: AuditListing,
    rows: (query: AuditQuery) => Promise<AuditEntry[]>,
  ): Promise<Page<AuditEntry>> {
    return this.cursors.read(
      `audit ${whose}`,
      { limit, after },
      ([before], most) =>
        rows({ ...filter, beforeId: before === undefined ? undefined : BigInt(before), limit: most }),
      (row) => [String(row.id)],
    );
  }
}
