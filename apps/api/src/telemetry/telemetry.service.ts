import { Inject, Injectable } from '@nestjs/common';
import {
  countTelemetry,
  findDevice,
  latestTelemetry,
  listTelemetry,
  type ControlStore,
  type TelemetryPlace,
  type TelemetryRow,
  type TelemetryWindow,
} from '#store';
import { notFound } from '../failure.js';
import { Feeds, type Follower } from '../graphql/feed.js';
import { Cursors, type Page, type PageRequest, type Position } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export interface TelemetryListing extends PageRequest {
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly topic?: string | undefined;
  readonly order: 'newest' | 'oldest';
}

const followedPage = 1_000;

@Injectable()
export class TelemetryService {
  /** By tenant and device. */
  readonly feeds = new Feeds<TelemetryRow>({
    keyOf: ({ id }) => String(id),
    timeOf: ({ receivedAt }) => receivedAt,
  });

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

  /** Readings of a device that are stored from now on. */
  follow({ tenantId }: TenantScope, deviceId: string): Promise<Follower<TelemetryRow>> {
    return this.feeds.follow(
      `${tenantId} ${deviceId}`,
      (from) => this.readingsSince(tenantId, deviceId, from),
      () =>
        this.store.tenant(tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          const [latest] = await latestTelemetry(tx, [deviceId]);
          return latest?.receivedAt;
        }),
    );
  }

  private async *readingsSince(
    tenantId: string,
    deviceId: string,
    from: Date,
  ): AsyncGenerator<readonly TelemetryRow[]> {
    for (let after: TelemetryPlace | undefined, isLast = false; !isLast;) {
      const query = { deviceId, from, order: 'oldest', after, limit: followedPage } as const;
      const page = await this.store.tenant(tenantId, (tx) => listTelemetry(tx, query));
      after = page.at(-1);
      isLast = page.length < followedPage;
      yield page;
    }
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
