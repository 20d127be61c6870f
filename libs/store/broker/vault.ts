/** The Vault in PostgreSQL: writes go through the writer, reads come from connections of their own. */
import type { Pool } from 'pg';

import type {
  ClaimedSession,
  InboundPacket,
  Message,
  Principal,
  QueuedMessage,
  QueueEntry,
  SessionKey,
  Stored,
  StoredWill,
  Subscription,
  TenantId,
  TenantState,
  Vault,
  Will,
} from '#mqtt';

import { unavailable } from './vault-error.js';
import type { MessageRow, WillRow } from './rows.js';
import { toMessage, toWill } from './rows.js';
import { sessionDetail } from './statements/sessions.js';
import type { SessionRow } from './transaction.js';
import { toStoredSession } from './transaction.js';
import type { Writer } from './writer.js';

export interface VaultOptions {
  readonly pool: Pool;
  readonly writer: Writer;
  readonly processId: string;
  readonly flush: () => Promise<void>;
}

export class PostgresVault implements Vault {
  readonly #pool: Pool;
  readonly #writer: Writer;
  readonly #processId: string;
  readonly #flush: () => Promise<void>;
  /** Tenants whose orphaned wills may have been claimed by an `open` whose answer was lost. */
  readonly #unsure = new Set<TenantId>();

  constructor({ pool, writer, processId, flush }: VaultOptions) {
    this.#pool = pool;
    this.#writer = writer;
    this.#processId = processId;
    this.#flush = flush;
  }

  async tenantsWithWork(): Promise<readonly TenantId[]> {
    const rows = await this.#read<{ tenantId: TenantId }>(
      `SELECT tenant_id::text AS "tenantId" FROM wills w WHERE (w.process_id = $1::uuid AND w.due_at IS NOT NULL) OR ${isOrphan('w')}
       UNION SELECT tenant_id::text FROM sessions s WHERE expires_at IS NOT NULL OR (process_id IS NOT NULL AND ${isOrphan('s')})`,
      [this.#processId],
    );
    return [...new Set([...rows.map(({ tenantId }) => tenantId), ...this.#unsure])];
  }

  async open(tenantId: TenantId): Promise<TenantState> {
    await this.#settled();
    const [epochs, sessions, retained] = await Promise.all([
      this.#read<{ lastEpoch: number }>(
        `SELECT greatest((SELECT max(epoch) FROM presence WHERE tenant_id = $1::uuid),
           (SELECT max(epoch) FROM sessions WHERE tenant_id = $1::uuid),
           (SELECT max(epoch) FROM wills WHERE tenant_id = $1::uuid), 0)::float8 AS "lastEpoch"`,
        [tenantId],
      ),
      this.#read<SessionRow>(`SELECT ${sessionDetail} FROM sessions s WHERE s.tenant_id = $1::uuid`, [
        tenantId,
      ]),
      this.#read<MessageRow>(
        `SELECT m.topic, m.payload, m.qos AS "messageQos", true AS "messageRetain", ${messageDetail}
         FROM retained_messages m WHERE m.tenant_id = $1::uuid`,
        [tenantId],
      ),
    ]);
    const wills = await this.#claimWills(tenantId);
    return {
      lastEpoch: epochs[0]?.lastEpoch ?? 0,
      sessions: sessions.map(toStoredSession),
      retained: retained.map(toMessage),
      wills: wills.map(toStoredWill),
    };
  }

  /**
   * Those of lost processes become this one's, so that of two survivors one publishes each; those that it has waiting already are
   * found again. Where an answer was lost they are this one's and nobody knows: then all that are this one's are found, also those of
   * connections that live, which the core tells apart.
   */
  async #claimWills(tenantId: TenantId): Promise<OrphanRow[]> {
    const isUnsure = this.#unsure.has(tenantId);
    this.#unsure.add(tenantId);
    const rows = await this.#read<OrphanRow>(
      `UPDATE wills w SET process_id = $1::uuid
       WHERE w.tenant_id = $2::uuid AND ((w.process_id = $1::uuid AND (w.due_at IS NOT NULL OR $3::bool)) OR (${isOrphan('w')}))
       RETURNING principal, epoch::float8, ${milliseconds('due_at')} AS "dueAt", topic, payload, qos, retain, properties,
         delay_s::float8 AS "delayS", message_expiry_s::float8 AS "messageExpiryS"`,
      [this.#processId, tenantId, isUnsure],
    );
    this.#unsure.delete(tenantId);
    return rows;
  }

  async read(
    session: SessionKey,
    fromSequence: number,
    maxMessages: number,
    maxBytes: number,
  ): Promise<readonly QueuedMessage[]> {
    await this.#settled();
    // Sizes are summed before payloads are fetched: octet_length does not read a stored value. Properties, which few messages have, it does.
    // OFFSET 0 keeps each message a look-up by its primary key, whatever is known of the tables (see statements/places.ts).
    const rows = await this.#read<EntryRow>(
      `SELECT page.sequence::float8, page.qos, page.retain, coalesce(page.subscription_ids, '{}') AS "subscriptionIds",
         page.state = 1 AS released, m.topic, m.payload, m.qos AS "messageQos", m.retain AS "messageRetain", ${messageDetail}
       FROM (SELECT e.*, row_number() OVER w AS place, sum(e.bytes + coalesce(l.properties, 0)) OVER w AS page_bytes
         FROM (SELECT * FROM queue_entries
               WHERE tenant_id = $1::uuid AND client_id = $2 AND sequence >= $3::int8 ORDER BY tenant_id, client_id, sequence LIMIT $4::int4) e
         CROSS JOIN LATERAL (SELECT octet_length(q.properties::text) AS properties FROM queued_messages q
               WHERE q.tenant_id = $1::uuid AND q.id = e.message_id OFFSET 0) l
         WINDOW w AS (ORDER BY e.sequence) OFFSET 0) page
       CROSS JOIN LATERAL (SELECT * FROM queued_messages q WHERE q.tenant_id = $1::uuid AND q.id = page.message_id OFFSET 0) m
       WHERE page.place = 1 OR page.page_bytes <= $5::int8 ORDER BY page.sequence`,
      [session.tenantId, session.clientId, fromSequence, Math.max(1, maxMessages), Math.floor(maxBytes)],
    );
    return rows.map(toQueuedMessage);
  }

  claim(
    principal: Principal,
    epoch: number,
    expiryIntervalS: number,
    cleanStart: boolean,
  ): Promise<ClaimedSession> {
    return new Promise((claimed, reject) =>
      this.#writer.submit({
        kind: 'claim',
        principal,
        epoch,
        expiryIntervalS,
        cleanStart,
        claimed,
        stored: (error) => reject(error ?? unavailable(undefined)),
      }),
    );
  }

  release(session: SessionKey, expiryIntervalS: number, expiresAt: number | undefined, sentTo: number): void {
    this.#writer.submit({ kind: 'release', session, expiryIntervalS, expiresAt, sentTo, stored: undefined });
  }

  remove(session: SessionKey, stored?: Stored): void {
    this.#writer.submit({ kind: 'remove', session, stored });
  }

  subscribe(session: SessionKey, subscriptions: readonly Subscription[], stored: Stored): void {
    this.#writer.submit({ kind: 'subscribe', session, subscriptions, stored });
  }

  unsubscribe(session: SessionKey, filters: readonly string[], stored: Stored): void {
    this.#writer.submit({ kind: 'unsubscribe', session, filters, stored });
  }

  append(
    message: Message,
    entries: readonly QueueEntry[],
    inbound: InboundPacket | undefined,
    stored: Stored,
  ): void {
    this.#writer.submit({ kind: 'append', message, entries, inbound, stored });
  }

  markReceived(session: SessionKey, sequence: number, stored: Stored): void {
    this.#writer.submit({ kind: 'receive', session, sequence, stored });
  }

  settle(session: SessionKey, sequences: readonly number[]): void {
    this.#writer.submit({ kind: 'settle', session, sequences, stored: undefined });
  }

  forgetInbound({ session, packetId }: InboundPacket, stored: Stored): void {
    this.#writer.submit({ kind: 'forget', session, packetId, stored });
  }

  retain(tenantId: TenantId, message: Message, stored: Stored): void {
    this.#writer.submit({ kind: 'retain', tenantId, message, stored });
  }

  keepWill(
    principal: Principal,
    epoch: number,
    will: Will | undefined,
    dueAt: number | undefined,
    stored?: Stored,
  ): void {
    this.#writer.submit({ kind: 'will', principal, epoch, will, dueAt, stored });
  }

  get isFull(): boolean {
    return this.#writer.isFull;
  }

  whenReady(callback: () => void): void {
    this.#writer.whenReady(callback);
  }

  flush(): Promise<void> {
    return this.#flush();
  }

  /** Readers see what was written before them; while the store is down they hear that instead of waiting for it. */
  async #settled(): Promise<void> {
    const { down } = this.#writer;
    if (down !== undefined) throw unavailable(down);
    await this.#writer.flush();
  }

  async #read<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query<Row>(text, [...values]);
      return rows;
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function milliseconds(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`;
}

const messageDetail = `m.properties, m.publisher, ${milliseconds('m.received_at')} AS "receivedAt",
  ${milliseconds('m.expires_at')} AS "expiresAt"`;

/** Its process is neither this one ($1) nor one that holds a lease. */
function isOrphan(alias: string): string {
  return `${alias}.process_id <> $1::uuid AND NOT EXISTS (SELECT FROM broker_processes p WHERE p.id = ${alias}.process_id)`;
}

interface OrphanRow extends WillRow {
  readonly principal: Principal;
  readonly epoch: number;
  readonly dueAt: number | null;
}

function toStoredWill(row: OrphanRow): StoredWill {
  return { principal: row.principal, epoch: row.epoch, will: toWill(row), dueAt: row.dueAt ?? undefined };
}

interface EntryRow extends MessageRow {
  readonly sequence: number;
  readonly qos: number;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  readonly released: boolean;
}

function toQueuedMessage(row: EntryRow): QueuedMessage {
  return {
    sequence: row.sequence,
    qos: row.qos === 2 ? 2 : 1,
    retain: row.retain,
    subscriptionIds: row.subscriptionIds,
    released: row.released,
    message: toMessage(row),
  };
}
