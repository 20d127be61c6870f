import { Inject, Injectable } from '@nestjs/common';
import { listAudit, type AuditEntry, type AuditQuery, type ControlStore } from '#store';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';

export type AuditListing = PageRequest & Omit<AuditQuery, 'beforeId' | 'limit'>;

@Injectable()
export class AuditService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, { limit, after, ...filter }: AuditListing): Promise<Page<AuditEntry>> {
    const listing = `audit ${scope.tenantId}`;
    const [before] = this.cursors.open(listing, after) ?? [];
    const beforeId = before === undefined ? undefined : BigInt(before);
    const rows = await this.store.tenant(scope.tenantId, (tx) =>
      listAudit(tx, { ...filter, beforeId, limit: limit + 1 }),
    );
    return this.cursors.page(listing, rows, limit, (row) => [String(row.id)]);
  }
}
