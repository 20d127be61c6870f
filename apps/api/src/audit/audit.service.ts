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
    return this.cursors.read(
      `audit ${scope.tenantId}`,
      { limit, after },
      ([before], rows) => {
        const beforeId = before === undefined ? undefined : BigInt(before);
        return this.store.tenant(scope.tenantId, (tx) => listAudit(tx, { ...filter, beforeId, limit: rows }));
      },
      (row) => [String(row.id)],
    );
  }
}
