/** The control plane's way into PostgreSQL: Prisma, one transaction a call, bound to one tenant or to the platform. */
import { PrismaPg } from '@prisma/adapter-pg';
import { Pool } from 'pg';
import { WorkQueue } from '#process';
import { inUtc } from '../database/connection.js';
import { StoreError, wasOvertaken, withStoreErrors } from '../database/errors.js';
import { verifyFences } from '../database/fences.js';
import { PrismaClient, type Prisma } from '../generated/client.js';
import { migrationNames } from '../database/migrate.js';

/** A transaction that can reach one tenant's rows and no others. What writes or reads a tenant's rows asks for one of these. */
export interface TenantTx {
  readonly scope: 'tenant';
  readonly tenantId: string;
  readonly db: Prisma.TransactionClient;
}

/** A transaction of the platform: tenants, API keys, idempotency keys and the audit. It reaches no tenant's other rows. */
export interface PlatformTx {
  readonly scope: 'platform';
  readonly db: Prisma.TransactionClient;
  /** Works on one tenant's rows within this transaction, e.g. on those a new tenant begins with. */
  tenant<T>(tenantId: string, work: (tx: TenantTx) => Promise<T>): Promise<T>;
}

export interface ControlStoreOptions {
  /** With the role moorage_app. */
  readonly url: string;
  /** Connections at most. Default 10: the api waits for PostgreSQL, not the other way round. */
  readonly poolSize?: number;
  /** Told about connections that broke while idle; the pool replaces them by itself. */
  readonly onConnectionError?: (error: Error) => void;
}

export interface ControlStore {
  /**
   * Commits when `work` resolves, rolls back when it rejects. Database errors come as StoreError. Work that another transaction overtook
   * is done again: it must change nothing but the database. Connections are given in turns, to tenants, the platform and whoever else
   * has one (`whose`, where it is not the tenant's or the platform's own); `store.unavailable` where a turn does not come within 5 s.
   */
  tenant<T>(tenantId: string, work: (tx: TenantTx) => Promise<T>, whose?: string): Promise<T>;
  platform<T>(work: (tx: PlatformTx) => Promise<T>, whose?: string): Promise<T>;
  /** Readiness: rejects unless PostgreSQL answers. */
  check(): Promise<void>;
  /** Readiness: migrations of this installation that the database has not seen. Asked until there are none. */
  missingMigrations(): Promise<readonly string[]>;
  /** Start-up: rejects with FenceError where the fences between tenants are not all up. */
  verifyFences(): Promise<void>;
  close(): Promise<void>;
}

// A transaction of the control plane takes milliseconds; one that takes longer than this is stuck and holds up others.
const transactionTimeoutMs = 15_000;
const waitForConnectionMs = 5_000;
/** Requests that wait for a connection: what a tenant has beyond its share of these is refused at once. */
const mostWaiting = 10_000;
/** Of the connections, at most for one tenant: statements that take long hold up whoever asked for them, and room is left. */
const shareOfEach = 0.8;
const platformsOwn = 'platform';
/** As often as somebody may delete what it refers to, between its look and its write, before that is an error of ours. */
const attempts = 3;

/** Opens no connection yet: they come with the first call. */
export function openControlStore(options: ControlStoreOptions): ControlStore {
  const poolSize = options.poolSize ?? 10;
  const pool = new Pool({
    connectionString: inUtc(options.url),
    max: poolSize,
    application_name: 'moorage-api',
    connectionTimeoutMillis: waitForConnectionMs,
    statement_timeout: transactionTimeoutMs,
    idle_in_transaction_session_timeout: transactionTimeoutMs,
  });
  const noteError = options.onConnectionError ?? (() => undefined);
  pool.on('error', noteError);
  const prisma = new PrismaClient({
    adapter: new PrismaPg(pool, { onConnectionError: noteError }),
    errorFormat: 'minimal', // the long form quotes the values of the failed call
    transactionOptions: { maxWait: waitForConnectionMs, timeout: transactionTimeoutMs },
  });

  // The pool's own queue has no turns: a tenant with hundreds of requests under way would have all others wait for all of them.
  const turns = new WorkQueue(poolSize, mostWaiting, {
    concurrencyEach: Math.ceil(poolSize * shareOfEach),
    patienceMs: waitForConnectionMs,
  });
  let isCurrent = false;

  const inTurn = async <T>(whose: string, work: (db: Prisma.TransactionClient) => Promise<T>): Promise<T> => {
    const done = await turns.run(async () => ({ result: await transaction(work) }), whose);
    if (done !== undefined) return done.result;
    throw new StoreError('store.unavailable', 'no connection was to be had in time', undefined, undefined);
  };

  // What was looked at may be gone when it is referred to. The second time it is found missing, and whoever asked is told so.
  const transaction = async <T>(work: (db: Prisma.TransactionClient) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await withStoreErrors(() => prisma.$transaction(work));
      } catch (error) {
        if (attempt === attempts || !wasOvertaken(error)) throw error;
      }
    }
  };

  return {
    async tenant(tenantId, work, whose = tenantId) {
      mustBeTenantId(tenantId);
      return inTurn(whose, async (db) => {
        await setScope(db, tenantId, '');
        return work({ scope: 'tenant', tenantId, db });
      });
    },

    async platform(work, whose = platformsOwn) {
      return inTurn(whose, async (db) => {
        await setScope(db, '', 'platform');
        return work({
          scope: 'platform',
          db,
          async tenant(tenantId, inner) {
            mustBeTenantId(tenantId);
            await setScope(db, tenantId, 'platform');
            try {
              return await inner({ scope: 'tenant', tenantId, db });
            } finally {
              // Where a statement has failed, so does this one; then the transaction can only be rolled back, and nothing is left to fence.
              await setScope(db, '', 'platform').catch(() => undefined);
            }
          },
        });
      });
    },

    async check() {
      await withStoreErrors(() => pool.query('SELECT 1'));
    },

    async missingMigrations() {
      if (isCurrent) return [];
      const { rows } = await withStoreErrors(() =>
        pool.query<{ applied: string[] }>('SELECT applied_migrations() AS applied'),
      );
      const applied = new Set(rows[0]?.applied);
      const missing = (await migrationNames()).filter((name) => !applied.has(name));
      isCurrent = missing.length === 0; // and stays so: nothing is taken back under a process that runs
      return missing;
    },

    async verifyFences() {
      await withStoreErrors(() => verifyFences(pool));
    },

    async close() {
      await prisma.$disconnect();
      await pool.end();
    },
  };
}

/** Local to the transaction (the third argument): a pooled connection never carries a tenant over to its next user. */
async function setScope(
  db: Prisma.TransactionClient,
  tenantId: string,
  scope: '' | 'platform',
): Promise<void> {
  await db.$executeRaw`SELECT set_config('app.tenant_id', ${tenantId}, true), set_config('app.scope', ${scope}, true)`;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const nilUuid = '00000000-0000-0000-0000-000000000000';

// Never from user input: a tenant is looked up first. The nil UUID marks the platform's own audit entries.
function mustBeTenantId(tenantId: string): void {
  if (!uuid.test(tenantId) || tenantId === nilUuid) throw new TypeError('not the id of a tenant');
}
