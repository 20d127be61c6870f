import { Inject, Injectable } from '@nestjs/common';
import { readReceipts, type ChangeProgress, type ControlStore } from '#store';
import { notFound } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';

@Injectable()
export class OperationService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async get(scope: TenantScope, number: bigint): Promise<ChangeProgress> {
    const progress = await this.store.tenant(scope.tenantId, (tx) => readReceipts(tx, number));
    if (progress === undefined) throw notFound();
    return progress;
  }
}
