import { Inject, Injectable } from '@nestjs/common';
import {
  findSession,
  listSessions,
  queuedBytes,
  subscriptionsOfSession,
  type ControlStore,
  type DurableSubscription,
  type LiveSubscription,
  type SessionRow,
} from '#store';
import { record } from '../changes.js';
import { notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { LiveClientService } from '../live-clients.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export interface SessionListing extends PageRequest {
  readonly deviceId?: string | undefined;
  readonly online?: boolean | undefined;
}

export interface SessionDetail {
  readonly session: SessionRow;
  readonly subscriptions: readonly LiveSubscription[];
  /** False: there are more, or the broker process that knows them did not answer. */
  readonly isComplete: boolean;
  readonly queuedBytes: number;
}

const maxSubscriptionsShown = 1_000;

@Injectable()
export class SessionService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(LiveClientService) private readonly live: LiveClientService,
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

  async get(scope: TenantScope, clientId: string): Promise<SessionDetail> {
    const detail = await this.store.tenant(scope.tenantId, async (tx) => {
      const session = await findSession(tx, clientId);
      if (session === undefined) throw notFound();
      const subscriptions = await subscriptionsOfSession(tx, clientId, maxSubscriptionsShown + 1);
      return { session, subscriptions, queuedBytes: await queuedBytes(tx, clientId) };
    });
    const { session, subscriptions } = detail;
    if (session.durable) return { ...detail, ...shown(subscriptions) };
    // What a session is subscribed to that ends with its connection is in the memory of a broker process alone.
    const live = await this.live.of(scope, { deviceIds: [session.deviceId], clientId });
    const held = shown(live.clients.flatMap((client) => client.subscriptions));
    return { ...detail, ...held, isComplete: held.isComplete && live.isComplete };
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

function shown(
  subscriptions: readonly (DurableSubscription | LiveSubscription)[],
): Pick<SessionDetail, 'subscriptions' | 'isComplete'> {
  return {
    subscriptions: subscriptions.slice(0, maxSubscriptionsShown),
    isComplete: subscriptions.length <= maxSubscriptionsShown,
  };
}
