/**
 * Brings a database, embedded or external, to the shape of this version: the roles, then the migrations that are still missing. The
 * book it keeps is Prisma's own (`_prisma_migrations`, the same checksums, the same advisory lock), so that `prisma migrate deploy`
 * works on the same database; its engine is not needed here.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { MigrationError } from './migration-error.js';
import { ensureRoles, roleUrl } from './roles.js';
import { hasCode, messageOf } from './error-code.js';

export interface MigrateOptions {
  /** Of a superuser, or of the database's owner with CREATEROLE. */
  readonly url: string;
  /** The installation's: the roles' passwords derive from it, so that none is stored. */
  readonly secretKey: Buffer;
  /** Default: prisma/migrations of this package. */
  readonly directory?: string;
  /** The last migration to apply. Default: all. */
  readonly through?: string;
  /** How long to wait for somebody else who migrates. Default one minute. */
  readonly lockTimeoutMs?: number;
  readonly onApplied?: (migration: string) => void;
}

export interface Migrated {
  readonly applied: readonly string[];
  readonly ownerUrl: string;
  /** For the api: role moorage_app. */
  readonly appUrl: string;
  /** For the broker: role moorage_broker. */
  readonly brokerUrl: string;
}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

interface Entry {
  readonly name: string;
  readonly checksum: string;
  readonly finished: boolean;
}

/** Of the advisory lock that whoever migrates holds. Prisma's own number, so that the two keep out of each other's way. */
export const migrationLock = 72_707_369;
const minimumVersion = 180_000; // uuidv7()

/** A first line that says a migration cannot run in a transaction (CREATE INDEX CONCURRENTLY); it holds one statement then. */
const outsideTransaction = '-- moorage: outside a transaction';

/** Rejects with MigrationError; each says how to go on. Safe to call from several processes at once, and again. */
export async function migrate(options: MigrateOptions): Promise<Migrated> {
  const { through } = options;
  const all = await readMigrations(options.directory ?? (await findDirectory()));
  const migrations = through === undefined ? all : all.filter(({ name }) => name <= through);
  const client = new Client({ connectionString: options.url, application_name: 'moorage-migrate' });
  client.on('error', () => undefined); // the query that was under way says it
  await connect(client);
  try {
    await mustBeUsable(client);
    await lock(client, options.lockTimeoutMs ?? 60_000);
    await ensureRoles(client, options.secretKey);
    await client.query('SET ROLE moorage_owner');
    const applied = await applyMissing(client, migrations, options.onApplied);
    return {
      applied,
      ownerUrl: roleUrl(options.url, 'moorage_owner', options.secretKey),
      appUrl: roleUrl(options.url, 'moorage_app', options.secretKey),
      brokerUrl: roleUrl(options.url, 'moorage_broker', options.secretKey),
    };
  } finally {
    await client.end(); // and the lock with it
  }
}

async function connect(client: Client): Promise<void> {
  try {
    await client.connect();
  } catch (error) {
    throw new MigrationError(
      'migration.unreachable',
      `the database cannot be reached: ${messageOf(error)}`,
      error,
    );
  }
}

async function mustBeUsable(client: Client): Promise<void> {
  const { rows } = await client.query<{ version: number; text: string; standby: boolean }>(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS text,
            pg_is_in_recovery() AS standby`,
  );
  const [server] = rows;
  if (server === undefined || server.version < minimumVersion)
    throw new MigrationError(
      'migration.version',
      `PostgreSQL 18 or later is needed, this is ${server?.text}`,
    );
  if (server.standby)
    throw new MigrationError(
      'migration.standby',
      'this server is a standby: DATABASE_URL must name the primary',
    );
}

async function lock(client: Client, timeoutMs: number): Promise<void> {
  await client.query("SELECT set_config('lock_timeout', $1, false)", [String(timeoutMs)]);
  try {
    await client.query('SELECT pg_advisory_lock($1)', [migrationLock]);
  } catch (error) {
    if (!hasCode(error, '55P03')) throw error;
    throw new MigrationError(
      'migration.locked',
      'another process has been migrating this database for too long',
      error,
    );
  }
  await client.query("SELECT set_config('lock_timeout', '0', false)");
}

// -------------------------------------------------------------------------------------------------------------- the files

/** Those that this installation brings, in order. */
export async function migrationNames(directory?: string): Promise<readonly string[]> {
  const entries = await readdir(directory ?? (await findDirectory()), { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted();
}

async function readMigrations(directory: string): Promise<readonly Migration[]> {
  const names = await migrationNames(directory);
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(directory, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/** This file runs from libs/ in tests and from dist/libs/ otherwise. */
async function findDirectory(): Promise<string> {
  for (let place = import.meta.dirname; place !== dirname(place); place = dirname(place)) {
    const candidate = join(place, 'prisma', 'migrations');
    const found = await readdir(candidate).catch(() => undefined);
    if (found !== undefined) return candidate;
  }
  throw new MigrationError('migration.missing', 'the folder prisma/migrations is not in this installation');
}

// --------------------------------------------------------------------------------------------------------------- the book

async function applyMissing(
  client: Client,
  migrations: readonly Migration[],
  onApplied: ((migration: string) => void) | undefined,
): Promise<readonly string[]> {
  await client.query(`
    CREATE TABLE IF NOT EXISTS _prisma_migrations (
      id                  VARCHAR(36) PRIMARY KEY NOT NULL,
      checksum            VARCHAR(64) NOT NULL,
      finished_at         TIMESTAMPTZ,
      migration_name      VARCHAR(255) NOT NULL,
      logs                TEXT,
      rolled_back_at      TIMESTAMPTZ,
      started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
      applied_steps_count INTEGER NOT NULL DEFAULT 0
    )`);
  const { rows } = await client.query<Entry>(`
    SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
      FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY migration_name`);
  const missing = compare(migrations, rows);
  for (const migration of missing) {
    await apply(client, migration);
    onApplied?.(migration.name);
  }
  return missing.map((migration) => migration.name);
}

/** What is still to be applied; throws where the book and the files tell different stories. */
function compare(migrations: readonly Migration[], book: readonly Entry[]): readonly Migration[] {
  const files = new Map(migrations.map((migration) => [migration.name, migration]));
  const newest = migrations.at(-1)?.name ?? '';
  for (const entry of book) {
    if (!entry.finished)
      throw new MigrationError(
        'migration.half-done',
        `${entry.name} began on this database and did not end, and it was not one transaction: look at what it has done, put it right or undo it, then mark it with 'prisma migrate resolve --applied ${entry.name}' or '--rolled-back ${entry.name}'`,
      );
    const file = files.get(entry.name);
    if (file === undefined && entry.name > newest)
      throw new MigrationError(
        'migration.newer-database',
        `this database has been migrated by a newer version of Moorage (${entry.name}): start that version, or restore a back-up from before it`,
      );
    if (file === undefined)
      throw new MigrationError(
        'migration.missing',
        `${entry.name} was applied to this database and is not in this installation: it is damaged, or another branch's`,
      );
    if (file.checksum !== entry.checksum)
      throw new MigrationError(
        'migration.changed',
        `${entry.name} was applied to this database with other contents: a migration is never edited, restore the file and write a new one`,
      );
  }
  const applied = new Set(book.map((entry) => entry.name));
  const missing = migrations.filter((migration) => !applied.has(migration.name));
  const last = book.at(-1)?.name ?? '';
  const late = missing.find((migration) => migration.name < last);
  if (late !== undefined)
    throw new MigrationError(
      'migration.order',
      `${late.name} is older than ${last}, which was applied already: give it a later time stamp`,
    );
  return missing;
}

/** In one transaction with its entry in the book: a crash leaves all of it or nothing. */
async function apply(client: Client, migration: Migration): Promise<void> {
  const id = randomUUID();
  const whole = !migration.sql.startsWith(outsideTransaction);
  const begin = (): Promise<unknown> =>
    client.query('INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, $2, $3)', [
      id,
      migration.checksum,
      migration.name,
    ]);
  const finish = (): Promise<unknown> =>
    client.query(
      'UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = $1',
      [id],
    );
  try {
    if (whole) await client.query('BEGIN');
    await begin();
    await client.query(migration.sql);
    await finish();
    if (whole) await client.query('COMMIT');
  } catch (error) {
    if (whole) await client.query('ROLLBACK').catch(() => undefined); // the connection is gone: so is the transaction
    throw new MigrationError(
      'migration.failed',
      whole
        ? `${migration.name} failed and left nothing behind: ${messageOf(error)}`
        : `${migration.name} failed and may have left something behind: ${messageOf(error)}`,
      error,
    );
  }
}
