import { Inject, Injectable } from '@nestjs/common';
import { listDenials, type ControlStore, type Denial } from '#store';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export interface DenialListing extends PageRequest {
  readonly deviceId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly action?: string | undefined;
  readonly since?: Date | undefined;
}

@Injectable()
export class DenialService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, query: DenialListing): Promise<Page<Denial>> {
    return this.cursors.read(
      `denials ${scope.tenantId}`,
      query,
      ([lastAt, id], limit) => {
        const after = lastAt === undefined ? undefined : { lastAt: new Date(lastAt), id: BigInt(id ?? '') };
        return this.store.tenant(scope.tenantId, (tx) => listDenials(tx, { ...query, after, limit }));
      },
      (row) => [row.lastAt.toISOString(), String(row.id)],
    );
  }
}
