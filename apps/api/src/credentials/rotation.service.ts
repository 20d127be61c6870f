import { Inject, Injectable } from '@nestjs/common';
import {
  countRotation,
  listRotation,
  type ControlStore,
  type RotationCounts,
  type RotationRow,
  type RotationWindow,
} from '#store';
import { Cursors, type Page } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { RotationQuery, RotationWindowInput } from './rotation.schema.js';

const dayMs = 24 * 60 * 60 * 1_000;

/** How far a tenant's fleet has come: "1 130 of 1 200 moved, 3 unseen for 90 days". */
@Injectable()
export class RotationService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async overview(scope: TenantScope, input: RotationWindowInput): Promise<RotationCounts> {
    return this.store.tenant(scope.tenantId, (tx) => countRotation(tx, windowOf(input)));
  }

  async devices(scope: TenantScope, { state, ...query }: RotationQuery): Promise<Page<RotationRow>> {
    const window = windowOf(query);
    return this.cursors.read(
      `rotation ${scope.tenantId} ${state}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listRotation(tx, state, window, { afterId, limit })),
      (row) => [row.deviceId],
    );
  }
}

function windowOf({ since, unseenDays, expiringDays }: RotationWindowInput): RotationWindow {
  const now = Date.now();
  return {
    since: since ?? new Date(now - 365 * dayMs),
    unseenBefore: new Date(now - unseenDays * dayMs),
    expiringBefore: new Date(now + expiringDays * dayMs),
  };
}
