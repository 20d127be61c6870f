/** Reading telemetry back. Rows are written by the broker; see the journal. */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';
import { readJsonBody } from '../json-body.js';
import { matchesFilter } from './topic-filter.js';

export interface TelemetryRow {
  readonly id: bigint;
  readonly deviceId: string;
  readonly receivedAt: Date;
  readonly observedAt: Date | null;
  readonly topic: string;
  /** What is JSON, to be written as JSON: see readJsonBody. */
  readonly body: unknown;
  readonly raw: Uint8Array | null;
  readonly qos: number;
}

export interface TelemetryWindow {
  readonly deviceId?: string | undefined;
  /** From is inside the window, to is not. */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  /** An MQTT topic filter, valid. */
  readonly topic?: string | undefined;
}

/** The place of one row in the order of a device's telemetry. */
export interface TelemetryPlace {
  readonly receivedAt: Date;
  readonly id: bigint;
}

export interface TelemetryQuery extends TelemetryWindow {
  readonly deviceId: string;
  readonly order: 'newest' | 'oldest';
  readonly after?: TelemetryPlace | undefined;
  readonly limit: number;
}

const columns = Prisma.sql`id, device_id AS "deviceId", received_at AS "receivedAt", observed_at AS "observedAt", topic, body::text, raw, qos`;

/** One device's rows in the order of their arrival: a range of the primary key, whatever the size of the table. */
export async function listTelemetry(tx: TenantTx, query: TelemetryQuery): Promise<TelemetryRow[]> {
  const { after } = query;
  const newest = query.order === 'newest';
  const direction = newest ? Prisma.sql`DESC` : Prisma.sql`ASC`;
  const onward =
    after === undefined
      ? Prisma.empty
      : newest
        ? Prisma.sql`AND (received_at, id) < (${after.receivedAt}, ${after.id})`
        : Prisma.sql`AND (received_at, id) > (${after.receivedAt}, ${after.id})`;
  const rows = await tx.db.$queryRaw<StoredRow[]>`
    SELECT ${columns} FROM telemetry WHERE ${inWindow(tx, query)} ${onward}
    ORDER BY received_at ${direction}, id ${direction} LIMIT ${query.limit}`;
  return rows.map(readRow);
}

/** Rows that are counted at most: some tenths of a second of PostgreSQL's time. */
const mostCounted = 1_000_000;

/** Exact up to `mostCounted`, by counting: what was sent can be held against what is stored. */
export async function countTelemetry(tx: TenantTx, window: TelemetryWindow): Promise<number> {
  const rows = await tx.db.$queryRaw<{ count: bigint }[]>`
    SELECT count(*) AS count FROM (SELECT FROM telemetry WHERE ${inWindow(tx, window)} LIMIT ${mostCounted}) AS counted`;
  return Number(rows[0]?.count ?? 0);
}

/** The newest row of each device that has one; for a request's DataLoader. */
export async function latestTelemetry(tx: TenantTx, deviceIds: readonly string[]): Promise<TelemetryRow[]> {
  const rows = await tx.db.$queryRaw<StoredRow[]>`
    SELECT latest.* FROM unnest(${deviceIds}::uuid[]) AS wanted(device)
    CROSS JOIN LATERAL (
      SELECT ${columns} FROM telemetry
      WHERE tenant_id = ${tx.tenantId}::uuid AND device_id = wanted.device
      ORDER BY received_at DESC, id DESC LIMIT 1) AS latest`;
  return rows.map(readRow);
}

type StoredRow = Omit<TelemetryRow, 'body'> & { readonly body: string | null };

function readRow(row: StoredRow): TelemetryRow {
  return { ...row, body: row.body === null ? null : readJsonBody(row.body) };
}

function inWindow(tx: TenantTx, window: TelemetryWindow): Prisma.Sql {
  const conditions = [Prisma.sql`tenant_id = ${tx.tenantId}::uuid`];
  if (window.deviceId !== undefined) conditions.push(Prisma.sql`device_id = ${window.deviceId}::uuid`);
  if (window.from !== undefined) conditions.push(Prisma.sql`received_at >= ${window.from}`);
  if (window.to !== undefined) conditions.push(Prisma.sql`received_at < ${window.to}`);
  if (window.topic !== undefined) conditions.push(matchesFilter(window.topic));
  return Prisma.join(conditions, ' AND ');
}
