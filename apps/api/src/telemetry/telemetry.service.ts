import { Inject, Injectable } from '@nestjs/common';
import {
  countTelemetry,
  findDevice,
  listTelemetry,
  storeTime,
  type ControlStore,
  type TelemetryPlace,
  type TelemetryRow,
  type TelemetryWindow,
} from '#store';
import { notFound } from '../failure.js';
import { LookBack } from '../graphql/feed.js';
import { Cursors, type Page, type PageRequest, type Position } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';

export interface TelemetryListing extends PageRequest {
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly topic?: string | undefined;
  readonly order: 'newest' | 'oldest';
}

const followedPage = 1_000;
const maxFollowed = 10_000;

@Injectable()
export class TelemetryService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, deviceId: string, query: TelemetryListing): Promise<Page<TelemetryRow>> {
    return this.cursors.read(
      `telemetry ${scope.tenantId} ${deviceId} ${query.order}`,
      query,
      (position, limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          return listTelemetry(tx, { ...query, deviceId, after: placeOf(position), limit });
        }),
      (row) => [row.receivedAt.toISOString(), String(row.id)],
    );
  }

  /** Readings of a device from now on. */
  async follow(scope: TenantScope, deviceId: string): Promise<() => Promise<TelemetryRow[]>> {
    const start = await this.store.tenant(scope.tenantId, async (tx) => {
      if ((await findDevice(tx, deviceId)) === null) throw notFound();
      return storeTime(tx);
    });
    const seen = new LookBack<TelemetryRow>(
      start,
      (row) => String(row.id),
      (row) => row.receivedAt,
    );
    return async () => {
      const { from } = seen;
      const rows: TelemetryRow[] = [];
      for (let after: TelemetryPlace | undefined; ; after = rows.at(-1)) {
        const page = await this.store.tenant(scope.tenantId, (tx) =>
          listTelemetry(tx, { deviceId, from, order: 'oldest', after, limit: followedPage }),
        );
        rows.push(...page);
        if (page.length < followedPage) return seen.untold(rows);
        // A device that sends more than this between two polls is followed by pages, from where it was left.
        if (rows.length >= maxFollowed) return seen.untold(rows);
      }
    };
  }

  /** Exact up to a million. A device that is not there is an error, and not nothing received. */
  count(scope: TenantScope, window: TelemetryWindow): Promise<number> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      if (window.deviceId !== undefined && (await findDevice(tx, window.deviceId)) === null) throw notFound();
      return countTelemetry(tx, window);
    });
  }
}

function placeOf([receivedAt, id = '']: Position): TelemetryPlace | undefined {
  return receivedAt === undefined ? undefined : { receivedAt: new Date(receivedAt), id: BigInt(id) };
}
