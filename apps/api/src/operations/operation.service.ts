import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import {
  isApplied,
  readPlatformReceipts,
  readReceipts,
  type ChangeProgress,
  type ControlStore,
} from '#store';
import { notFound } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

/** As long as a request may wait; a process that is lost is waited for until its lease is over. */
const patienceMs = 3_000;
/** Between looks: a process that is well confirms within some 10 ms. */
const firstPauseMs = 10;
const longestPauseMs = 200;

@Injectable()
export class OperationService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async get(scope: TenantScope, number: bigint): Promise<ChangeProgress> {
    const progress = await this.store.tenant(scope.tenantId, (tx) => readReceipts(tx, number));
    if (progress === undefined) throw notFound();
    return progress;
  }

  /** Of a change that concerns all tenants. */
  async getOfPlatform(number: bigint): Promise<ChangeProgress> {
    const progress = await this.store.platform((tx) => readPlatformReceipts(tx, number));
    if (progress === undefined) throw notFound();
    return progress;
  }

  /** Resolves when it is applied, or when that takes too long: the answer says which. */
  async settled(scope: TenantScope, number: bigint): Promise<ChangeProgress> {
    const deadline = Date.now() + patienceMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const progress = await this.get(scope, number);
      if (isApplied(progress) || Date.now() + pauseMs > deadline) return progress;
      await sleep(pauseMs);
    }
  }
}
