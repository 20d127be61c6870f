import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import {
  askBrokers,
  closeQuestion,
  countSilent,
  type ControlStore,
  type LiveClient,
  type LiveQuestionRow,
} from '#store';
import type { TenantScope } from './scope.js';
import { STORE } from './injection-tokens.js';

/** As long as a request may wait for broker processes that live. One that is well answers within some 10 ms. */
const patienceMs = 2_000;
const firstPauseMs = 5;
const longestPauseMs = 100;

export interface LiveClients {
  readonly clients: readonly LiveClient[];
  /** False: some process did not answer, or has more than its answer holds. */
  readonly isComplete: boolean;
}

/** Who is connected now, and what to: asked of the broker processes, which alone know it (decision 0013). */
@Injectable()
export class LiveClientService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async of(scope: TenantScope, question: LiveQuestionRow): Promise<LiveClients> {
    if (question.deviceIds.length === 0) return { clients: [], isComplete: true };
    const id = await this.store.tenant(scope.tenantId, (tx) => askBrokers(tx, question));
    if (id === undefined) return { clients: [], isComplete: false };
    const silent = await this.#wait(scope, id);
    const answers = await this.store.tenant(scope.tenantId, (tx) => closeQuestion(tx, id));
    return {
      clients: answers.flatMap(({ clients }) => clients),
      isComplete: silent === 0 && answers.every(({ isComplete }) => isComplete),
    };
  }

  /** Resolves with how many have not answered. */
  async #wait(scope: TenantScope, id: string): Promise<number> {
    const deadline = Date.now() + patienceMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const silent = await this.store.tenant(scope.tenantId, (tx) => countSilent(tx, id));
      if (silent === 0 || Date.now() + pauseMs > deadline) return silent;
      await sleep(pauseMs);
    }
  }
}
