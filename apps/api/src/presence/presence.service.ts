import { Inject, Injectable } from '@nestjs/common';
import {
  findDevice,
  findDevicePresence,
  findPresence,
  listDevicePresence,
  listPresence,
  listPresenceHistory,
  presenceSince,
  storeTime,
  type ControlStore,
  type DevicePresence,
  type DeviceState,
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
    return this.cursors.read(
      `presence-history ${scope.tenantId} ${deviceId}`,
      query,
      ([at, id], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          const after = at === undefined ? undefined : { at: new Date(at), id: BigInt(id ?? '') };
          return listPresenceHistory(tx, { deviceId, after, limit });
        }),
      (row) => [row.at.toISOString(), String(row.id)],
    );
  }
}
