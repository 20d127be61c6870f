import { Inject, Injectable } from '@nestjs/common';
import {
  clearRetained,
  countRetained,
  listRetained,
  recordChange,
  type ChangeProgress,
  type ControlStore,
  type RetainedRow,
} from '#store';
import { record, type RightsChange } from '../changes.js';
import { notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { OperationService } from '../operations/operation.service.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export interface RetainedListing extends PageRequest {
  /** A filter. */
  readonly topic?: string | undefined;
  readonly payload: boolean;
}

export interface Clearing {
  /** How many stood when it began. */
  readonly messages: number;
  /** How far it has come in the memory of brokers. */
  readonly progress: ChangeProgress;
}

/** Of payloads and properties in one page; a message that is larger is a page by itself. */
const contentOfPage = 1024 * 1024;

/** What is retained (decision 0015). Whoever clears is answered when no new subscriber gets it any more, or is told where to see that. */
@Injectable()
export class RetainedService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(OperationService) private readonly operations: OperationService,
  ) {}

  async list(scope: TenantScope, query: RetainedListing): Promise<Page<RetainedRow>> {
    const contentBytes = query.payload ? contentOfPage : 0;
    const page = await this.cursors.read(
      `retained ${scope.tenantId}`,
      query,
      ([afterTopic], limit) =>
        this.store.tenant(scope.tenantId, (tx) =>
          listRetained(tx, { filter: query.topic ?? '#', afterTopic, limit, contentBytes }),
        ),
      (row) => [row.topic],
    );
    return query.payload ? withContent(page) : page;
  }

  /** With its content. */
  async get(scope: TenantScope, topic: string): Promise<RetainedRow> {
    const query = { filter: topic, afterTopic: undefined, limit: 1, contentBytes: contentOfPage };
    const [row] = await this.store.tenant(scope.tenantId, (tx) => listRetained(tx, query));
    if (row === undefined) throw notFound();
    return row;
  }

  async clear(scope: TenantScope, topic: string): Promise<ChangeProgress> {
    const operation = await this.store.tenant(scope.tenantId, async (tx) => {
      const { standing } = await clearRetained(tx, topic, undefined);
      if (standing === 0) throw notFound();
      return record(tx, scope, clearingOf(topic, standing));
    });
    return this.operations.settled(scope, operation);
  }

  count(scope: TenantScope, filter: string): Promise<number> {
    return this.store.tenant(scope.tenantId, (tx) => countRetained(tx, filter));
  }

  /**
   * A bite a transaction, each with the change that tells brokers to clear all that match: where the api ends in the middle, what is gone
   * from the store is gone from their memory too. Recorded also where nothing stands: what is accepted just now is not stored yet.
   */
  async clearAll(scope: TenantScope, filter: string): Promise<Clearing> {
    const first = await this.store.tenant(scope.tenantId, async (tx) => {
      const messages = await countRetained(tx, filter);
      const { next } = await clearRetained(tx, filter, undefined);
      return { messages, next, operation: await record(tx, scope, clearingOf(filter, messages)) };
    });
    let { next, operation } = first;
    // A broker that has them in memory clears them all by the first change, without anybody in its way.
    if (next !== undefined) await this.operations.settled(scope, operation);
    while (next !== undefined) {
      const after = next;
      ({ next, operation } = await this.store.tenant(scope.tenantId, async (tx) => {
        const bite = await clearRetained(tx, filter, after);
        return { next: bite.next, operation: await recordChange(tx, changeOf(filter)) };
      }));
    }
    // Brokers apply changes in their order: where the last is in force the others are.
    return { messages: first.messages, progress: await this.operations.settled(scope, operation) };
  }
}

function changeOf(filter: string): Pick<RightsChange, 'kind' | 'subject'> {
  return { kind: 'retained', subject: { filter } };
}

function clearingOf(filter: string, messages: number): RightsChange {
  return { ...changeOf(filter), action: 'retained.clear', subjectId: filter, detail: { messages } };
}

/** Up to the first whose content does not fit: the next page begins with it. */
function withContent(page: Page<RetainedRow>): Page<RetainedRow> {
  const cut = page.items.findIndex(({ content }) => content === undefined);
  if (cut === -1) return page;
  return { items: page.items.slice(0, cut), cursors: page.cursors.slice(0, cut), hasMore: true };
}
