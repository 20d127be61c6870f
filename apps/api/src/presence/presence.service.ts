import { Inject, Injectable } from '@nestjs/common';
import {
  findDevice,
  findDevicePresence,
  findPresence,
  listDevicePresence,
  listPresence,
  listPresenceHistory,
  newestPresence,
  presenceSince,
  type ControlStore,
  type DevicePresence,
  type DeviceState,
  type Presence,
  type PresenceEvent,
  type PresenceState,
} from '#store';
import { notFound } from '../failure.js';
import { Feeds, type Follower } from '../graphql/feed.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { PresenceHistoryListing } from './presence.schema.js';

export interface PresenceListing extends PageRequest {
  readonly state?: PresenceState | undefined;
  readonly deviceId?: string | undefined;
}

const followedPage = 1_000;

@Injectable()
export class PresenceService {
  /** By tenant and, where only one is followed, device. */
  readonly feeds = new Feeds<Presence>({
    keyOf: ({ epoch, state, clientId }) => `${epoch} ${state} ${clientId}`,
    timeOf: ({ since }) => since,
  });

  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, query: PresenceListing): Promise<Page<Presence>> {
    return this.cursors.read(
      `presence ${scope.tenantId}`,
      query,
      ([afterClientId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listPresence(tx, { ...query, afterClientId, limit })),
      (row) => [row.clientId],
    );
  }

  async listDevices(
    scope: TenantScope,
    query: PageRequest & { readonly state?: DeviceState | undefined },
  ): Promise<Page<DevicePresence>> {
    return this.cursors.read(
      `device-presence ${scope.tenantId}`,
      query,
      ([afterDeviceId], limit) =>
        this.store.tenant(scope.tenantId, (tx) =>
          listDevicePresence(tx, { state: query.state, afterDeviceId, limit }),
        ),
      (row) => [row.deviceId],
    );
  }

  async getDevice(scope: TenantScope, deviceId: string): Promise<DevicePresence> {
    const row = await this.store.tenant(scope.tenantId, (tx) => findDevicePresence(tx, deviceId));
    if (row === undefined) throw notFound();
    return row;
  }

  /** Changes of state from now on, of the tenant's clients or of one device's. */
  follow({ tenantId }: TenantScope, deviceId: string | undefined): Promise<Follower<Presence>> {
    return this.feeds.follow(
      `${tenantId} ${deviceId ?? ''}`,
      (from) => this.changesSince(tenantId, deviceId, from),
      () =>
        this.store.tenant(tenantId, async (tx) => {
          if (deviceId !== undefined && (await findDevice(tx, deviceId)) === null) throw notFound();
          return newestPresence(tx, deviceId);
        }),
    );
  }

  private async *changesSince(
    tenantId: string,
    deviceId: string | undefined,
    since: Date,
  ): AsyncGenerator<readonly Presence[]> {
    for (let after: Presence | undefined, isLast = false; !isLast;) {
      const query = { since, deviceId, after, limit: followedPage };
      const page = await this.store.tenant(tenantId, (tx) => presenceSince(tx, query));
      after = page.at(-1);
      isLast = page.length < followedPage;
      yield page;
    }
  }

  async get(scope: TenantScope, clientId: string): Promise<Presence> {
    const row = await this.store.tenant(scope.tenantId, (tx) => findPresence(tx, clientId));
    if (row === null) throw notFound();
    return row;
  }

  async history(
    scope: TenantScope,
    deviceId: string,
    query: PresenceHistoryListing,
  ): Promise<Page<PresenceEvent>> {
    return this.cursors.read(
      `presence-history ${scope.tenantId} ${deviceId}`,
      query,
      ([at, id], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          const after = at === undefined ? undefined : { at: new Date(at), id: BigInt(id ?? '') };
          return listPresenceHistory(tx, { ...query, deviceId, after, limit });
        }),
      (row) => [row.at.toISOString(), String(row.id)],
    );
  }
}
