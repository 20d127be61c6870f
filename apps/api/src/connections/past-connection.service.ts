import { Inject, Injectable } from '@nestjs/common';
import { findDevice, listPastConnections, type ControlStore, type PastConnection } from '#store';
import { notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

@Injectable()
export class PastConnectionService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, deviceId: string, query: PageRequest): Promise<Page<PastConnection>> {
    return this.cursors.read(
      `connections ${scope.tenantId} ${deviceId}`,
      query,
      ([at, id], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          const after = at === undefined ? undefined : { at: new Date(at), id: BigInt(id ?? '') };
          return listPastConnections(tx, { deviceId, after, limit });
        }),
      (row) => [row.from.toISOString(), String(row.id)],
    );
  }
}
