/**
 * A tenant's news, from the store: which devices are here, and what was refused. Every broker process announces with its commits what to
 * look at (news-channels.ts). It is read after that, one reading at a time, so that what is told later was true later. What was
 * announced while the connection was lost is not known: then the presence of all devices is told anew, and denials of that time are
 * not told; the api has them.
 *
 * While nobody follows, nothing runs: the connection that listens comes with the first follower and goes with the last.
 */
import { Client, type Pool } from 'pg';

import type { News, NewsItem, NewsPage, TenantId } from '#mqtt';

import { selectDevicePresence, type DevicePresence } from '../control/device-presence.js';
import { denialChannel, presenceChannel } from './news-channels.js';

export interface NewsOptions {
  readonly url: string;
  readonly pool: Pool;
  readonly onTrouble: (error: unknown) => void;
}

const presenceTopics = '$tenant/presence/';
const denialTopic = '$tenant/denials';
const pageSize = 500;
const retryMs = 1_000;
/** A denial that is repeated is told once in this time, with its count; and at most so many denials of a tenant are. */
const denialsEveryMs = 1_000;
const mostDenials = 50;

interface Follower {
  readonly tell: (item: NewsItem) => void;
  /** Under which name each device was told: its topic has to be cleared when the device goes or is renamed. */
  readonly names: Map<string, string>;
  readonly changedDevices: Set<string>;
  readonly changedDenials: Set<string>;
  denialTimer: NodeJS.Timeout | undefined;
}

export class PostgresNews implements News {
  readonly #options: NewsOptions;
  readonly #followers = new Map<TenantId, Follower>();
  #listening: Promise<Client> | undefined;
  #client: Client | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: NewsOptions) {
    this.#options = options;
  }

  follow(tenantId: TenantId, tell: (item: NewsItem) => void): () => void {
    const follower: Follower = {
      tell,
      names: new Map(),
      changedDevices: new Set(),
      changedDenials: new Set(),
      denialTimer: undefined,
    };
    this.#followers.set(tenantId, follower);
    this.#listen().catch(() => undefined); // `standing` says so to whoever waits; it is tried again
    return () => {
      if (this.#followers.get(tenantId) !== follower) return;
      clearTimeout(follower.denialTimer);
      this.#followers.delete(tenantId);
      if (this.#followers.size === 0) this.#hangUp();
    };
  }

  /** Rejects while the store cannot be asked. What happens after it has resolved is told to the tenant's follower. */
  async standing(tenantId: TenantId, filter: string, after: string | undefined): Promise<NewsPage> {
    await this.#listen();
    const only = filter.startsWith(presenceTopics) ? filter.slice(presenceTopics.length) : '+';
    const name = /[+#/]/.test(only) ? null : only;
    return this.#inTurn(async () => {
      const rows = await this.#read(
        'd.tenant_id = $1::uuid AND ($2::uuid IS NULL OR d.id > $2::uuid) AND ($3::text IS NULL OR d.name = $3) ORDER BY d.id LIMIT $4::int4',
        [tenantId, after ?? null, name, pageSize],
      );
      const names = this.#followers.get(tenantId)?.names;
      for (const { deviceId, device } of rows) names?.set(deviceId, device);
      const next = rows.length < pageSize ? undefined : rows.at(-1)?.deviceId;
      return { items: rows.map(toItem), next };
    });
  }

  /** The device was disabled, renamed or deleted: what is told of it may be another, though no client has come or gone. */
  deviceChanged(tenantId: TenantId, deviceId: string): void {
    const follower = this.#followers.get(tenantId);
    if (follower === undefined) return;
    follower.changedDevices.add(deviceId);
    this.#tellPresence(tenantId, follower);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { denialTimer } of this.#followers.values()) clearTimeout(denialTimer);
    this.#followers.clear();
    this.#hangUp();
    await this.#last;
  }

  // --------------------------------------------------------------------------------------------------- what is announced

  #listen(): Promise<Client> {
    this.#listening ??= this.#connect();
    return this.#listening;
  }

  async #connect(): Promise<Client> {
    const client = new Client({
      connectionString: this.#options.url,
      application_name: 'moorage-broker news',
      connectionTimeoutMillis: 5_000,
      query_timeout: 10_000,
      keepAlive: true,
    });
    client.on('error', this.#options.onTrouble);
    client.on('end', () => this.#lost(client));
    try {
      await client.connect();
      client.on('notification', ({ channel, payload = '' }) => this.#hear(channel, payload));
      await client.query(`LISTEN ${presenceChannel}; LISTEN ${denialChannel}`);
      this.#client = client;
      if (this.#isClosed || this.#followers.size === 0) this.#hangUp();
      return client;
    } catch (error) {
      client.connection.stream.destroy();
      this.#options.onTrouble(error);
      this.#listening = undefined;
      this.#reconnectLater();
      throw error;
    }
  }

  #lost(client: Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#listening = undefined;
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    if (this.#isClosed || this.#followers.size === 0) return;
    setTimeout(() => void this.#reconnect(), retryMs).unref();
  }

  async #reconnect(): Promise<void> {
    if (this.#isClosed || this.#followers.size === 0) return;
    try {
      await this.#listen();
    } catch {
      return; // `#connect` has said so, and tries again
    }
    this.#tellAll();
  }

  #hangUp(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#listening = undefined;
    client?.end().catch(this.#options.onTrouble);
  }

  #hear(channel: string, payload: string): void {
    const [tenantId = '', ...ids] = payload.split(' ');
    const follower = this.#followers.get(tenantId as TenantId);
    if (follower === undefined) return;
    if (channel === presenceChannel) {
      for (const id of ids) follower.changedDevices.add(id);
      this.#tellPresence(tenantId as TenantId, follower);
    } else {
      for (const id of ids) follower.changedDenials.add(id);
      follower.denialTimer ??= setTimeout(
        () => this.#tellDenials(tenantId as TenantId, follower),
        denialsEveryMs,
      ).unref();
    }
  }

  // ------------------------------------------------------------------------------------------------------------ what is told

  #tellPresence(tenantId: TenantId, follower: Follower): void {
    this.#attempt(async () => {
      const ids = take(follower.changedDevices, pageSize); // those of several announcements at once
      if (ids.length === 0) return;
      const rows = await this.#read('d.tenant_id = $1::uuid AND d.id = ANY ($2::uuid[])', [
        tenantId,
        ids,
      ]).catch(putBack(follower.changedDevices, ids));
      this.#tellDevices(follower, rows);
      const found = new Set(rows.map(({ deviceId }) => deviceId));
      for (const id of ids) if (!found.has(id)) this.#tellGone(follower, id);
      if (follower.changedDevices.size > 0) this.#tellPresence(tenantId, follower);
    });
  }

  #tellDevices({ tell, names }: Follower, rows: readonly DevicePresence[]): void {
    for (const row of rows) {
      const before = names.get(row.deviceId);
      if (before !== undefined && before !== row.device) tell(nothing(before));
      names.set(row.deviceId, row.device);
      tell(toItem(row));
    }
  }

  #tellGone({ tell, names }: Follower, deviceId: string): void {
    const name = names.get(deviceId);
    if (name === undefined) return;
    names.delete(deviceId);
    tell(nothing(name));
  }

  #tellDenials(tenantId: TenantId, follower: Follower): void {
    follower.denialTimer = undefined;
    this.#attempt(async () => {
      const ids = take(follower.changedDenials, Infinity);
      if (ids.length === 0) return;
      const { rows } = await this.#options.pool
        .query<object>(selectDenials, [tenantId, ids.slice(-mostDenials)])
        .catch(putBack(follower.changedDenials, ids));
      for (const row of rows) follower.tell({ topic: denialTopic, payload: json(row) });
      const omitted = ids.length - mostDenials;
      if (omitted > 0) follower.tell({ topic: denialTopic, payload: json({ omitted }) });
    });
  }

  /** After a connection that was lost: what stands now, of everybody that is followed, and what stood before and does not any more. */
  #tellAll(): void {
    for (const [tenantId, follower] of this.#followers)
      this.#attempt(async () => {
        const unseen = new Set(follower.names.keys());
        for (let after: string | undefined, isLast = false; !isLast;) {
          const rows = await this.#read(
            'd.tenant_id = $1::uuid AND ($2::uuid IS NULL OR d.id > $2::uuid) ORDER BY d.id LIMIT $3::int4',
            [tenantId, after ?? null, pageSize],
          );
          this.#tellDevices(follower, rows);
          for (const { deviceId } of rows) unseen.delete(deviceId);
          after = rows.at(-1)?.deviceId;
          isLast = rows.length < pageSize;
        }
        for (const deviceId of unseen) this.#tellGone(follower, deviceId);
      });
  }

  // ------------------------------------------------------------------------------------------------------------- one by one

  /** Tried until the store answers. */
  #attempt(work: () => Promise<void>): void {
    this.#inTurn(work).catch((error: unknown) => {
      this.#options.onTrouble(error);
      if (!this.#isClosed) setTimeout(() => this.#attempt(work), retryMs).unref();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined); // whoever asked is told
    return turn;
  }

  async #read(where: string, values: readonly unknown[]): Promise<DevicePresence[]> {
    const { rows } = await this.#options.pool.query<DevicePresence>(
      `${selectDevicePresence} WHERE ${where}`,
      [...values],
    );
    return rows;
  }
}

/** Before they are read: what is announced of them during the reading may be news that it does not see, and is read for again. */
function take(changed: Set<string>, most: number): string[] {
  const ids: string[] = [];
  for (const id of changed) {
    if (ids.length >= most) break;
    ids.push(id);
    changed.delete(id);
  }
  return ids;
}

/** The reading failed, and comes again. */
function putBack(changed: Set<string>, ids: readonly string[]): (error: unknown) => never {
  return (error) => {
    for (const id of ids) changed.add(id);
    throw error;
  };
}

function toItem(row: DevicePresence): NewsItem {
  return {
    topic: `${presenceTopics}${row.device}`,
    payload: json({ ...row, sequence: Number(row.sequence) }),
  };
}

function nothing(device: string): NewsItem {
  return { topic: `${presenceTopics}${device}`, payload: Buffer.alloc(0) };
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const selectDenials = `SELECT id::text, device_id AS "deviceId", client_id AS "clientId", username, address, action, topic, reason, detail,
    first_at AS "firstAt", last_at AS "lastAt", count::float8 AS count
  FROM denials WHERE tenant_id = $1::uuid AND id = ANY ($2::int8[]) ORDER BY last_at, id`;
