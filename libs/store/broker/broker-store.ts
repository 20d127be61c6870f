/** All that a broker process keeps in PostgreSQL: one writer, one lease, and the two ports of the core on top of them. */
import { Pool } from 'pg';

import type { Journal, News, TenantId, Vault } from '#mqtt';

import { leaseLost } from './vault-error.js';
import { inUtc } from '../database/connection.js';
import { toStoreError } from '../database/errors.js';
import { PostgresJournal } from './journal.js';
import { Lease } from './lease.js';
import { steadyPlans } from './statements/places.js';
import { Sweeper } from './sweep.js';
import { PostgresNews } from './tenant-news.js';
import { PostgresVault } from './vault.js';
import type { WriterStats } from './writer.js';
import { Writer } from './writer.js';

export interface BrokerStoreOptions {
  /** As moorage_broker. */
  readonly url: string;
  /** A UUID, new with every start of the process. */
  readonly processId: string;
  /** Others took this process's sessions over: its sockets must be closed. */
  readonly onLeaseLost: () => void;
  /** What is being retried or was refused: for the log. No secrets, no payloads. */
  readonly onTrouble?: (error: unknown) => void;
  readonly leaseMs?: number;
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
  readonly stallMs?: number;
}

export interface BrokerStore {
  readonly vault: Vault;
  readonly journal: Journal;
  readonly news: News & { deviceChanged(tenantId: TenantId, deviceId: string): void };
  readonly lease: { readonly isLost: boolean };
  /** From here on called when another process is found dead: tenants whose wills or sessions were its have work. */
  onProcessLost(callback: () => void): void;
  /** Processes that registered before this one and have neither ended nor been found dead. */
  predecessors(): Promise<number>;
  /** Readiness: rejects unless PostgreSQL answers and what was last written could be. */
  check(): Promise<void>;
  /** Resolves when everything written so far is committed or has failed; waits for the database where it is away. */
  drain(): Promise<void>;
  /** What is not committed by now fails. The lease ends, as planned. */
  close(): Promise<void>;
  /** The last attempt to write failed. */
  readonly isDown: boolean;
  readonly stats: BrokerStoreStats;
}

export interface BrokerStoreStats extends WriterStats {
  readonly droppedDenials: number;
}

// How long the clients of a killed process count as online, where nothing starts in its place.
const defaultLeaseMs = 15_000;
// Some tens of milliseconds of work for PostgreSQL; what is more stays in the publishers' sockets.
const defaultMaxWaiting = 20_000;
const defaultMaxWaitingBytes = 32 * 1024 * 1024;
// Longer than any transaction takes; a stopped PostgreSQL may come back within it and nothing is lost.
const defaultStallMs = 60_000;
const sweepMs = 60_000;
// A store that takes longer to say a word is not ready.
const aliveQuery = { text: 'SELECT 1', query_timeout: 3_000 };

/** Rejects when the database cannot be used, for a process that cannot write must not accept anybody. */
export async function openBrokerStore(options: BrokerStoreOptions): Promise<BrokerStore> {
  const { processId } = options;
  const url = inUtc(options.url);
  // PostgreSQL's own sentences may quote what was written.
  const onTrouble = (error: unknown): void => options.onTrouble?.(toStoreError(error));
  const pool = new Pool({
    connectionString: url,
    max: 4,
    application_name: 'moorage-broker',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    query_timeout: 60_000,
    verify: (client, done) => {
      client.query(steadyPlans, (error) => done(error));
    },
  });
  pool.on('error', onTrouble);

  let lose = (): void => undefined;
  let tellProcessLost = (): void => undefined;
  const lease = await Lease.take({
    url,
    processId,
    leaseMs: options.leaseMs ?? defaultLeaseMs,
    onLost: () => lose(),
    onGivenUp: () => tellProcessLost(),
    onTrouble,
  }).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });

  const writer = new Writer({
    url,
    processId,
    lastBatch: lease.lastBatch,
    processNumber: lease.number,
    maxWaiting: options.maxWaiting ?? defaultMaxWaiting,
    maxWaitingBytes: options.maxWaitingBytes ?? defaultMaxWaitingBytes,
    stallMs: options.stallMs ?? defaultStallMs,
    onLeaseLost: () => lose(),
    onTrouble,
  });
  // Whoever of the two hears first tells the other; the process is told once.
  lose = () => {
    lose = () => undefined;
    writer.end(leaseLost());
    options.onLeaseLost();
  };

  const journal = new PostgresJournal(writer);
  const vault = new PostgresVault({ pool, writer, processId, flush: () => journal.flush() });
  const news = new PostgresNews({ url, pool, onTrouble });
  const sweeper = new Sweeper(pool);
  const sweeping = setInterval(() => {
    sweeper.sweep(journal.takeDeniedTenants()).catch(onTrouble);
  }, sweepMs);
  sweeping.unref();

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    clearInterval(sweeping);
    await news.close();
    await journal.close();
    await lease.release();
    await pool.end();
  };

  return {
    vault,
    journal,
    news,
    lease,
    onProcessLost(callback) {
      tellProcessLost = callback;
    },
    async predecessors() {
      const { rows } = await pool.query<{ count: number }>(
        'SELECT count(*)::int4 AS count FROM broker_processes WHERE number < $1::int8',
        [lease.number],
      );
      return rows[0]?.count ?? 0;
    },
    async check() {
      if (writer.down !== undefined) throw writer.down;
      await pool.query(aliveQuery);
    },
    drain: () => journal.flush(),
    close: () => (closing ??= close()),
    get isDown() {
      return writer.down !== undefined;
    },
    get stats() {
      return { ...writer.stats, droppedDenials: journal.droppedDenials };
    },
  };
}
