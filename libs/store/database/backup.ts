/**
 * Back-up and restore of a whole database: all tables by COPY, as they were at one moment (one REPEATABLE READ snapshot), beside a
 * running product. Not a copy of the data directory: this one does not mind PostgreSQL's version, the machine or the server's
 * settings, holds no index or dead row, can be looked into, and can be compared row by row with what it was restored to.
 */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { Client, escapeIdentifier } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import {
  BackupError,
  differenceOf,
  readBackupFile,
  TableTally,
  writeBackupFile,
  type BackupHeader,
  type BackupTable,
  type BackupTrailer,
  type TableSum,
} from './backup-file.js';
import { EmbeddedPostgresError } from './embedded-error.js';
import { startEmbeddedPostgres, urlOfRunning } from './embedded-postgres.js';
import { hasCode } from './error-code.js';
import { migrate, migrationLock } from './migrate.js';

export interface BackupOptions {
  /** As superuser: row-level security would hide rows, and is an error here. */
  readonly url: string;
  readonly file: string;
  readonly secretKey: Buffer;
  /** Kept in the back-up: the secret key, certificates. By path in the data directory. */
  readonly files: Readonly<Record<string, Buffer>>;
}

/** Resolves to the rows of each table when the file is whole and on disk. A migration waits for it; everything else goes on. */
export async function backUp({ url, file, secretKey, files }: BackupOptions): Promise<readonly TableSum[]> {
  return withClient(url, async (client) => {
    // Nobody migrates meanwhile: no table changes its shape or goes.
    await client.query('SELECT pg_advisory_lock_shared($1)', [migrationLock]);
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const tables = await tablesOf(client);
    const header: BackupHeader = {
      moorageBackup: 1,
      madeAt: new Date().toISOString(),
      migrations: await migrationsOf(client),
      keyMark: markOf(secretKey),
      files: Object.fromEntries(
        Object.entries(files).map(([name, bytes]) => [name, bytes.toString('base64')]),
      ),
    };
    const sums: TableSum[] = [];
    await writeBackupFile(file, async (out) => {
      await out(`${JSON.stringify(header)}\n`);
      for (const table of tables) {
        await out(`${JSON.stringify({ table: table.table, columns: table.columns })}\n`);
        sums.push(await copyOut(client, table, out));
        await out('\\.\n');
      }
      // Sequences know no snapshot: read last, they are ahead of every row.
      const trailer: BackupTrailer = { tables: sums, sequences: await sequencesOf(client) };
      await out(`${JSON.stringify(trailer)}\n`);
    });
    await client.query('COMMIT');
    return sums;
  });
}

/** Reads the whole file and holds it against its sums. Rejects with BackupError. */
export async function verifyBackup(file: string): Promise<BackupHeader> {
  let header: BackupHeader | undefined;
  await readBackupFile(file, {
    header: (read) => {
      header = read;
    },
  });
  if (header === undefined) throw new BackupError('backup.unreadable', `${file} is empty`);
  return header;
}

export interface RestoreOptions {
  /** Of an empty database, as superuser. */
  readonly url: string;
  /** One that `verifyBackup` has accepted, and what it said. */
  readonly file: string;
  readonly header: BackupHeader;
  readonly secretKey: Buffer;
}

/**
 * Migrates the database to where the back-up was, fills it, and reads everything back to compare it with the sums of the back-up; in
 * one transaction, so that what differs is not there. Then migrates it to this version.
 */
export async function restore({
  url,
  file,
  header,
  secretKey,
}: RestoreOptions): Promise<readonly TableSum[]> {
  if (markOf(secretKey) !== header.keyMark)
    throw new BackupError(
      'backup.other-key',
      'the back-up was made under another secret key, and with this one no device and nobody else could sign in: set MOORAGE_SECRET_KEY to that of the installation it is of',
    );
  const through = header.migrations.at(-1)?.name ?? '';
  await migrate({ url, secretKey, through });
  const sums = await withClient(url, async (client) => {
    await mustBeSameMigrations(client, header);
    await client.query('BEGIN');
    // No triggers, no foreign keys checked row by row: they held in the snapshot.
    await client.query('SET LOCAL session_replication_role = replica');
    const tables = await tablesOf(client);
    await client.query(`TRUNCATE ${tables.map(({ table }) => escapeIdentifier(table)).join(', ')}`);
    const trailer = await fill(client, file);
    for (const { name, next } of trailer.sequences)
      await client.query('SELECT setval($1::regclass, $2::bigint, false)', [escapeIdentifier(name), next]);
    const found: TableSum[] = [];
    for (const table of tables) found.push(await copyOut(client, table, () => Promise.resolve()));
    const difference = differenceOf(trailer.tables, found);
    if (difference !== undefined)
      throw new BackupError('backup.differs', `what was restored is not what was backed up: ${difference}`);
    await client.query('COMMIT');
    return found;
  });
  await migrate({ url, secretKey });
  return sums;
}

async function fill(client: Client, file: string): Promise<BackupTrailer> {
  let into: ReturnType<typeof copyFrom> | undefined;
  return readBackupFile(file, {
    async table({ table, columns }) {
      const names = columns.map((name) => escapeIdentifier(name)).join(', ');
      into = client.query(copyFrom(`COPY ${escapeIdentifier(table)} (${names}) FROM STDIN`));
    },
    async rows(lines) {
      if (into?.write(lines) === false) await once(into, 'drain');
    },
    async tableEnd() {
      if (into === undefined) return;
      into.end();
      await finished(into);
    },
  });
}

// ------------------------------------------------------------------------------------------------------------- the database

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    connectionString: url,
    application_name: 'moorage-backup',
    // Texts mean the same wherever they are read: these decide how COPY writes them.
    options:
      '-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c row_security=off',
  });
  client.on('error', () => undefined); // the query that was under way says it
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Table extends BackupTable {
  /** By primary key: the same rows are the same text. */
  readonly order: readonly string[];
}

async function tablesOf(client: Client): Promise<readonly Table[]> {
  const { rows } = await client.query<Table>(`
    SELECT c.relname::text AS table,
      (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
      (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary) AS order
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname <> '_prisma_migrations'
    ORDER BY c.relname`);
  return rows;
}

async function copyOut(
  client: Client,
  { table, columns, order }: Table,
  out: (rows: Buffer) => Promise<void>,
): Promise<TableSum> {
  const names = columns.map((name) => escapeIdentifier(name)).join(', ');
  const keys = order.map((name) => escapeIdentifier(name)).join(', ');
  const tally = new TableTally();
  const rows = client.query(
    copyTo(`COPY (SELECT ${names} FROM ${escapeIdentifier(table)} ORDER BY ${keys}) TO STDOUT`),
  );
  for await (const chunk of rows as AsyncIterable<Buffer>) {
    tally.add(chunk);
    await out(chunk);
  }
  return tally.sum(table);
}

async function sequencesOf(client: Client): Promise<BackupTrailer['sequences']> {
  const { rows } = await client.query<{ name: string; next: string }>(`
    SELECT sequencename::text AS name, coalesce(last_value + increment_by, start_value)::text AS next
    FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename`);
  return rows;
}

async function migrationsOf(client: Client): Promise<BackupHeader['migrations']> {
  const { rows } = await client.query<{ name: string; checksum: string }>(`
    SELECT migration_name::text AS name, checksum::text FROM _prisma_migrations
    WHERE rolled_back_at IS NULL AND finished_at IS NOT NULL ORDER BY migration_name`);
  return rows;
}

async function mustBeSameMigrations(client: Client, header: BackupHeader): Promise<void> {
  const here = JSON.stringify(await migrationsOf(client));
  if (here === JSON.stringify(header.migrations)) return;
  const last = header.migrations.at(-1)?.name ?? 'none';
  throw new BackupError(
    'backup.other-version',
    `the back-up is of a Moorage whose migrations (the last is ${last}) this one does not have: restore it with that version, or a newer one`,
  );
}

function markOf(secretKey: Buffer): string {
  return createHmac('sha256', secretKey).update('moorage back-up').digest('hex').slice(0, 16);
}

// ------------------------------------------------------------------------------------------------------- the embedded server

/** As superuser of the data directory's own database: of the server that runs there, else of one started for as long as `work` takes. */
export async function withEmbedded<T>(dataDir: string, work: (url: string) => Promise<T>): Promise<T> {
  await readFile(join(dataDir, 'postgres', 'PG_VERSION')).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new BackupError('backup.nothing', `${dataDir} holds no database: check MOORAGE_DATA_DIR`);
  });
  const server = await startEmbeddedPostgres({ dataDir }).catch((error: unknown) => {
    if (error instanceof EmbeddedPostgresError && error.code === 'postgres.in-use') return undefined;
    throw error;
  });
  if (server === undefined) return work(await urlOfRunning(dataDir));
  try {
    return await work(server.url);
  } finally {
    await server.stop();
  }
}
