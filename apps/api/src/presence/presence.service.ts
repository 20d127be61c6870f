import { Inject, Injectable } from '@nestjs/common';
import {
  findDevice,
  findPresence,
  listPresence,
  listPresenceHistory,
  presenceSince,
  storeTime,
  type ControlStore,
  type Presence,
  type PresenceEvent,
  type PresenceState,
} from '#store';
import { notFound } from '../failure.js';
import { LookBack } from '../graphql/feed.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';

export interface PresenceListing extends PageRequest {
  readonly state?: PresenceState | undefined;
  readonly deviceId?: string | undefined;
}

/** Clients that change within one look back; more than this is a reconnect storm, told in part and then further. */
const maxFollowed = 10_000;

@Injectable()
export class PresenceService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, query: PresenceListing): Promise<Page<Presence>> {
    const listing = `presence ${scope.tenantId}`;
    const [afterClientId] = this.cursors.open(listing, query.after) ?? [];
    const rows = await this.store.tenant(scope.tenantId, (tx) =>
      listPresence(tx, { ...query, afterClientId, limit: query.limit + 1 }),
    );
    return this.cursors.page(listing, rows, query.limit, (row) => [row.clientId]);
  }

  /** Changes of state from now on, of the tenant's clients or of one device's. */
  async follow(scope: TenantScope, deviceId: string | undefined): Promise<() => Promise<Presence[]>> {
    const start = await this.store.tenant(scope.tenantId, async (tx) => {
      if (deviceId !== undefined && (await findDevice(tx, deviceId)) === null) throw notFound();
      return storeTime(tx);
    });
    const seen = new LookBack<Presence>(
      start,
      (row) => `${row.epoch} ${row.state} ${row.clientId}`,
      (row) => row.since,
    );
    return async () =>
      seen.untold(
        await this.store.tenant(scope.tenantId, (tx) =>
          presenceSince(tx, { since: seen.from, deviceId, limit: maxFollowed }),
        ),
      );
  }

  async get(scope: TenantScope, clientId: string): Promise<Presence> {
    const row = await this.store.tenant(scope.tenantId, (tx) => findPresence(tx, clientId));
    if (row === null) throw notFound();
    return row;
  }

  async history(scope: TenantScope, deviceId: string, query: PageRequest): Promise<Page<PresenceEvent>> {
    const listing = `presence-history ${scope.tenantId} ${deviceId}`;
    const position = this.cursors.open(listing, query.after);
    const after =
      position === undefined ? undefined : { at: new Date(position[0] ?? ''), id: BigInt(position[1] ?? '') };
    const rows = await this.store.tenant(scope.tenantId, async (tx) => {
      if ((await findDevice(tx, deviceId)) === null) throw notFound();
      return listPresenceHistory(tx, { deviceId, after, limit: query.limit + 1 });
    });
    return this.cursors.page(listing, rows, query.limit, (row) => [row.at.toISOString(), String(row.id)]);
  }
}
