import { Inject, Injectable } from '@nestjs/common';
import {
  findSession,
  listSessions,
  queuedBytes,
  subscriptionsOfSession,
  type ControlStore,
  type SessionRow,
  type DurableSubscription,
} from '#store';
import { record } from '../changes.js';
import { notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';

export interface SessionListing extends PageRequest {
  readonly deviceId?: string | undefined;
  readonly online?: boolean | undefined;
}

export interface SessionDetail {
  readonly session: SessionRow;
  readonly subscriptions: readonly DurableSubscription[];
  readonly queuedBytes: number;
}

const maxSubscriptionsShown = 1_000;

@Injectable()
export class SessionService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, query: SessionListing): Promise<Page<SessionRow>> {
    return this.cursors.read(
      `sessions ${scope.tenantId}`,
      query,
      ([afterClientId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listSessions(tx, { ...query, afterClientId, limit })),
      (row) => [row.clientId],
    );
  }

  get(scope: TenantScope, clientId: string): Promise<SessionDetail> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const session = await findSession(tx, clientId);
      if (session === undefined) throw notFound();
      return {
        session,
        subscriptions: await subscriptionsOfSession(tx, clientId, maxSubscriptionsShown),
        queuedBytes: await queuedBytes(tx, clientId),
      };
    });
  }

  /** The broker that holds the connection closes it; the change's number is the operation to look at. */
  disconnect(scope: TenantScope, clientId: string): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const session = await findSession(tx, clientId);
      if (session === undefined) throw notFound();
      const { deviceId } = session;
      return record(tx, scope, {
        kind: 'session',
        subject: { clientId, deviceId },
        action: 'session.disconnect',
        subjectId: clientId,
        detail: { deviceId },
      });
    });
  }
}
