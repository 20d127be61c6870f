/**
 * Retained messages, as an administrator sees and clears them. Brokers write them, and hold them in memory: what is taken away here
 * is recorded as a change in the same transaction, and they clear their own (decision 0015).
 */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';
import { parseJsonBody, readJsonBody } from '../json-body.js';
import { matchesFilter } from './topic-filter.js';

export interface RetainedRow {
  readonly topic: string;
  readonly qos: number;
  readonly payloadBytes: number;
  readonly receivedAt: Date;
  readonly expiresAt: Date | null;
  /** The client identifier of whoever published it. */
  readonly publisher: string;
  /** Undefined: it was not asked for, or does not fit beside those before it. */
  readonly content: RetainedContent | undefined;
}

export interface RetainedContent {
  /** What is JSON, to be written as JSON: see readJsonBody. */
  readonly body: unknown;
  readonly raw: Uint8Array | null;
  /** As published with MQTT 5.0; correlation data in base64. */
  readonly properties: Prisma.JsonValue;
}

export interface RetainedQuery {
  /** An MQTT topic filter, valid. */
  readonly filter: string;
  readonly afterTopic: string | undefined;
  readonly limit: number;
  /** With content, of so many bytes together; the first one's whatever its size. 0: without. */
  readonly contentBytes: number;
}

const isStanding = Prisma.sql`(expires_at IS NULL OR expires_at > now())`;

/** By topic. One that has expired is retained no more, whether or not somebody has come across it. */
export async function listRetained(tx: TenantTx, query: RetainedQuery): Promise<RetainedRow[]> {
  const after = query.afterTopic === undefined ? Prisma.empty : Prisma.sql`AND topic > ${query.afterTopic}`;
  const page = Prisma.sql`SELECT * FROM retained_messages
    WHERE tenant_id = ${tx.tenantId}::uuid AND ${matchesFilter(query.filter)} ${after} AND ${isStanding}
    ORDER BY topic LIMIT ${query.limit}`;
  const { contentBytes } = query;
  const rows =
    contentBytes === 0
      ? await tx.db.$queryRaw<
          StoredRow[]
        >`SELECT ${columns}, NULL AS payload, NULL AS properties FROM (${page}) AS m ORDER BY topic`
      : await tx.db.$queryRaw<StoredRow[]>`
          SELECT ${columns}, CASE WHEN fits THEN payload END AS payload, CASE WHEN fits THEN properties END AS properties
          FROM (SELECT m.*, row_number() OVER w = 1
                    OR sum(octet_length(payload) + coalesce(octet_length(properties::text), 0)) OVER w <= ${contentBytes} AS fits
                  FROM (${page}) AS m WINDOW w AS (ORDER BY topic)) AS m
          ORDER BY topic`;
  return rows.map(readRow);
}

/** How many stand. */
export async function countRetained(tx: TenantTx, filter: string): Promise<number> {
  const rows = await tx.db.$queryRaw<{ count: bigint }[]>`
    SELECT count(*) AS count FROM retained_messages
     WHERE tenant_id = ${tx.tenantId}::uuid AND ${matchesFilter(filter)} AND ${isStanding}`;
  return Number(rows[0]?.count ?? 0);
}

/**
 * A broker may be about to write one of these, in a transaction that holds up all of its clients: it waits for this one no longer than a
 * batch of its own takes. Where each waits for the other it is this one that gives way, as `store.contention`, long before PostgreSQL
 * looks for deadlocks (1 s) and chooses.
 */
const mostAtOnce = 2_000;
const patienceMs = 100;

export interface ClearedRetained {
  /** Those that stood. What had expired goes too, and is not counted. */
  readonly standing: number;
  /** The topic to go on after; undefined: there is no more. */
  readonly next: string | undefined;
}

/** The first of those that match, by topic. The change that tells brokers of it belongs into the same transaction. */
export async function clearRetained(
  { db, tenantId }: TenantTx,
  filter: string,
  afterTopic: string | undefined,
): Promise<ClearedRetained> {
  const after = afterTopic === undefined ? Prisma.empty : Prisma.sql`AND topic > ${afterTopic}`;
  await db.$executeRaw`SELECT set_config('lock_timeout', ${`${patienceMs}ms`}, true)`;
  const rows = await db.$queryRaw<{ found: bigint; standing: bigint; last: string | null }[]>`
    WITH k AS MATERIALIZED (
      SELECT topic FROM retained_messages WHERE tenant_id = ${tenantId}::uuid AND ${matchesFilter(filter)} ${after}
       ORDER BY topic LIMIT ${mostAtOnce}),
    gone AS (
      DELETE FROM retained_messages r USING k WHERE r.tenant_id = ${tenantId}::uuid AND r.topic = k.topic
      RETURNING ${isStanding} AS standing)
    SELECT (SELECT count(*) FROM k) AS found, (SELECT max(topic) FROM k) AS last,
           (SELECT count(*) FROM gone WHERE standing) AS standing`;
  await db.$executeRaw`SELECT set_config('lock_timeout', '0', true)`;
  const [row] = rows;
  if (row === undefined) throw new Error('an aggregate returned no row');
  const isMore = Number(row.found) === mostAtOnce;
  return { standing: Number(row.standing), next: isMore ? (row.last ?? undefined) : undefined };
}

const columns = Prisma.sql`topic, qos, octet_length(payload) AS "payloadBytes", received_at AS "receivedAt",
  expires_at AS "expiresAt", publisher`;

interface StoredRow extends Omit<RetainedRow, 'content'> {
  readonly payload: Uint8Array | null;
  readonly properties: Prisma.JsonValue;
}

function readRow({ payload, properties, ...row }: StoredRow): RetainedRow {
  return { ...row, content: payload === null ? undefined : { ...readPayload(payload), properties } };
}

/** What would be kept of it as telemetry. */
function readPayload(payload: Uint8Array): Pick<RetainedContent, 'body' | 'raw'> {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (parseJsonBody(bytes) === undefined) return { body: null, raw: payload };
  return { body: readJsonBody(bytes.toString('utf8')), raw: null };
}
