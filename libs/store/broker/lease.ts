/**
 * The life of a broker process as the others see it. Its row in broker_processes says until when it is taken to be alive, and a
 * lock held by a connection of its own says that it is: PostgreSQL drops the lock when a killed process's sockets close.
 *
 * A process is given up by deleting its row. One that starts gives up everybody whose lock is free or whose lease is over, so
 * that a killed process's successor need not wait; one that runs, only those whose lease is over, for a lost connection alone
 * is no death. Until it is given up a late renewal is as good as a timely one (PostgreSQL may have stood still for all of us);
 * afterwards the process can write nothing (see writer.ts) and is told.
 */
import { Client } from 'pg';

import { announcePresence } from './news-channels.js';

export interface LeaseOptions {
  readonly url: string;
  readonly processId: string;
  readonly leaseMs: number;
  /** The row is gone: others have taken over. Called once. */
  readonly onLost: () => void;
  /** Processes that this one has just given up. */
  readonly onGivenUp: (processIds: readonly string[]) => void;
  readonly onTrouble: (error: Error) => void;
}

const reconnectMs = 500;

/** Wills of a process that stopped as planned wait so long for their clients to come back to the next one. */
const plannedStopGraceS = 60;

export class Lease {
  readonly #options: LeaseOptions;
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> = Promise.resolve();
  /** The last renewal came through, and in time. */
  #isSteady = true;
  #isOver = false;
  /** Of the process's row. */
  readonly number: number;
  readonly lastBatch: number;

  private constructor(options: LeaseOptions, client: Client, row: ProcessRow) {
    this.#options = options;
    this.#client = client;
    this.number = row.number;
    this.lastBatch = row.batch;
  }

  /** Registers the process and gives up the dead. Rejects when the database cannot be used. */
  static async take(options: LeaseOptions): Promise<Lease> {
    const client = await connect(options);
    try {
      const { rows } = await client.query<ProcessRow>(
        `INSERT INTO broker_processes (id, lease_until) VALUES ($1::uuid, now() + $2::float8 * interval '1 ms')
         ON CONFLICT (id) DO UPDATE SET started_at = now(), lease_until = excluded.lease_until, number = excluded.number
         RETURNING number, batch::float8`,
        [options.processId, options.leaseMs],
      );
      const row = rows[0];
      if (row === undefined) throw new Error('the process could not be registered');
      await giveUp(client, options, isDeadAtStart);
      const lease = new Lease(options, client, row);
      client.on('error', () => lease.#lostConnection(client));
      lease.#schedule(options.leaseMs / 3);
      return lease;
    } catch (error) {
      client.connection.stream.destroy();
      throw error;
    }
  }

  get isLost(): boolean {
    return this.#isOver;
  }

  /** As planned: the row goes, the wills that are still kept wait a while for their clients. */
  async release(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    await this.#renewal;
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    try {
      await client.query(
        `UPDATE wills SET due_at = now() + greatest(delay_s, $2::int8) * interval '1 s' WHERE process_id = $1::uuid AND due_at IS NULL`,
        [this.#options.processId, plannedStopGraceS],
      );
      await client.query('DELETE FROM broker_processes WHERE id = $1::uuid', [this.#options.processId]);
      await client.end();
    } catch (error) {
      // Then this is a death like any other: whoever comes next finds the lease over.
      this.#options.onTrouble(toError(error));
      client.connection.stream.destroy();
    }
  }

  #schedule(ms: number): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#renewal = this.#renew();
    }, ms);
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    const { processId, leaseMs } = this.#options;
    const started = performance.now();
    const wasSteady = this.#isSteady;
    try {
      const client = await this.#connected();
      const { rowCount } = await client.query(
        `UPDATE broker_processes SET lease_until = now() + $2::float8 * interval '1 ms' WHERE id = $1::uuid`,
        [processId, leaseMs],
      );
      if (rowCount === 0) return this.#lose();
      this.#isSteady = performance.now() - started < leaseMs / 3;
      // After PostgreSQL stood still everybody is late: those who live get one more turn to say so.
      if (wasSteady && this.#isSteady) await giveUp(client, this.#options, isDead);
      this.#schedule(leaseMs / 3);
    } catch (error) {
      this.#options.onTrouble(toError(error));
      this.#isSteady = false;
      if (this.#client !== undefined) this.#drop(this.#client);
      this.#schedule(reconnectMs);
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const client = await connect(this.#options);
    client.on('error', () => this.#lostConnection(client));
    this.#client = client;
    return client;
  }

  #lose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#options.onLost();
  }

  /** The lock went with it, and until it is back a process that starts takes this one for dead. */
  #lostConnection(client: Client): void {
    if (this.#client !== client) return;
    this.#drop(client);
    this.#isSteady = false;
    this.#schedule(reconnectMs);
  }

  #drop(client: Client): void {
    if (this.#client === client) this.#client = undefined;
    client.connection.stream.destroy();
  }
}

interface ProcessRow {
  readonly number: number;
  readonly batch: number;
}

const isDead = 'lease_until < now()';
const isDeadAtStart = `(${isDead} OR pg_try_advisory_xact_lock(hashtextextended(id::text, 0)))`;

/**
 * In one transaction: the rows of the dead, and that their clients are taken to be gone, with the wills that this sets off. Wills
 * and sessions are found by `open`.
 */
async function giveUp(client: Client, options: LeaseOptions, condition: string): Promise<void> {
  await client.query('BEGIN');
  const { rows } = await client.query<{ id: string }>(
    `DELETE FROM broker_processes WHERE id <> $1::uuid AND ${condition} RETURNING id::text`,
    [options.processId],
  );
  const dead = rows.map(({ id }) => id);
  if (dead.length > 0)
    await client.query(
      `WITH gone AS MATERIALIZED (
         SELECT p.tenant_id, p.device_id, p.client_id, w.topic, w.payload FROM presence p
         LEFT JOIN wills w ON w.tenant_id = p.tenant_id AND w.client_id = p.client_id AND w.process_id = p.process_id
         WHERE p.process_id = ANY ($1::uuid[]) AND p.state = 'online' FOR NO KEY UPDATE OF p),
       counted AS (INSERT INTO device_presence AS d (tenant_id, device_id, sequence)
         SELECT tenant_id, device_id, count(*) FROM gone GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT (tenant_id, device_id) DO UPDATE SET sequence = d.sequence + excluded.sequence
         RETURNING tenant_id, device_id, sequence),
       numbered AS (SELECT g.*, c.sequence + 1 - row_number() OVER (PARTITION BY g.tenant_id, g.device_id ORDER BY g.client_id DESC) AS sequence
         FROM gone g JOIN counted c ON c.tenant_id = g.tenant_id AND c.device_id = g.device_id),
       lost AS (UPDATE presence p SET state = 'offline', cause = 'presumed', since = now(), will = n.payload, sequence = n.sequence,
           detail = p.detail || jsonb_strip_nulls(jsonb_build_object('willTopic', n.topic))
         FROM numbered n WHERE p.tenant_id = n.tenant_id AND p.client_id = n.client_id
         RETURNING p.tenant_id, p.device_id, p.since, p.client_id, p.epoch, p.state, p.cause, p.detail, p.will, p.sequence),
       history AS (INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause, detail, will, sequence)
         SELECT * FROM lost)
       ${announcePresence('counted')}`,
      [dead],
    );
  await client.query('COMMIT');
  if (dead.length > 0) options.onGivenUp(dead);
}

/** The lock comes before the row: whoever sees the row may try the lock. */
async function connect(options: LeaseOptions): Promise<Client> {
  const client = new Client({
    connectionString: options.url,
    application_name: 'moorage-broker-lease',
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
    query_timeout: options.leaseMs,
    idle_in_transaction_session_timeout: options.leaseMs,
  });
  client.on('error', options.onTrouble);
  try {
    await client.connect();
    await client.query('SELECT pg_advisory_lock(hashtextextended($1::uuid::text, 0))', [options.processId]);
    return client;
  } catch (error) {
    client.connection.stream.destroy();
    throw error;
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
