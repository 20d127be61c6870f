/**
 * The file that a back-up is: gzipped text, so that it can be looked into without Moorage.
 *
 *   {"moorageBackup":1,…}                       what it is of, on one line; keys and certificates, base64
 *   {"table":"devices","columns":["tenant_id",…]}
 *   rows as COPY writes them, one a line
 *   \.
 *   … the other tables
 *   {"tables":[{"table","rows","sha256"}],"sequences":[…]}   the last line: a file without it is not whole
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { messageOf } from './error-code.js';

export type BackupErrorCode =
  | 'backup.exists' // the file to write is there
  | 'backup.unwritable' // no such directory, no right to it, no room
  | 'backup.unreadable' // no back-up, cut short, or changed
  | 'backup.nothing' // there is no database to back up
  | 'backup.not-empty' // the directory to restore into
  | 'backup.other-version' // made with migrations that this version does not have
  | 'backup.other-key' // made under another secret key
  | 'backup.differs' // what was restored is not what was backed up
  | 'backup.external' // the database is not Moorage's own
  | 'backup.usage';

/** Why there is no back-up, or no restored product; the message says what to do. */
export class BackupError extends Error {
  override readonly name = 'BackupError';

  constructor(
    readonly code: BackupErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

const headerForm = z.strictObject({
  moorageBackup: z.literal(1),
  madeAt: z.iso.datetime(),
  migrations: z.array(z.strictObject({ name: z.string(), checksum: z.string() })),
  /** Tells whether a secret key is the one that the credentials were hashed under. */
  keyMark: z.string(),
  files: z.record(z.string(), z.base64()),
});
const tableForm = z.strictObject({ table: z.string(), columns: z.array(z.string()) });
const trailerForm = z.strictObject({
  tables: z.array(z.strictObject({ table: z.string(), rows: z.number(), sha256: z.string() })),
  sequences: z.array(z.strictObject({ name: z.string(), next: z.string() })),
});

export type BackupHeader = z.infer<typeof headerForm>;
export type BackupTable = z.infer<typeof tableForm>;
export type BackupTrailer = z.infer<typeof trailerForm>;
export type TableSum = BackupTrailer['tables'][number];

/** Counts and hashes a table's rows as they pass. */
export class TableTally {
  readonly #hash: Hash = createHash('sha256');
  #rows = 0;

  /** Whole lines. */
  add(lines: Buffer): void {
    this.#hash.update(lines);
    for (let end = lines.indexOf(10); end >= 0; end = lines.indexOf(10, end + 1)) this.#rows += 1;
  }

  sum(table: string): TableSum {
    return { table, rows: this.#rows, sha256: this.#hash.digest('hex') };
  }
}

// ---------------------------------------------------------------------------------------------------------------- writing

/** The file appears, whole and on disk, when `write` has resolved; mode 0600. Refuses to replace one. */
export async function writeBackupFile(
  file: string,
  write: (out: (part: Buffer | string) => Promise<void>) => Promise<void>,
): Promise<void> {
  await mustNotExist(file);
  const draft = `${file}.part`;
  const plain = new PassThrough();
  const stored = pipeline(
    plain,
    createGzip({ level: 4 }),
    createWriteStream(draft, { mode: 0o600, flush: true }),
  ).catch((cause: unknown) => {
    throw new BackupError('backup.unwritable', `${file} cannot be written: ${messageOf(cause)}`, cause);
  });
  // Whatever goes wrong below it is heard at the end.
  stored.catch(() => undefined);
  try {
    await write(async (part) => {
      if (!plain.write(part)) await Promise.race([drained(plain), stored]);
    });
    plain.end();
    await stored;
    await mustNotExist(file);
    await rename(draft, file);
    const directory = await open(dirname(file), 'r');
    await directory.sync();
    await directory.close();
  } catch (error) {
    plain.destroy();
    await stored.catch(() => undefined);
    await rm(draft, { force: true });
    throw error;
  }
}

async function mustNotExist(file: string): Promise<void> {
  const existing = await open(file, 'r').catch(() => undefined);
  if (existing === undefined) return;
  await existing.close();
  throw new BackupError('backup.exists', `${file} is there already: name another file, or move it away`);
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => stream.once('drain', resolve));
}

// ---------------------------------------------------------------------------------------------------------------- reading

/** What a back-up says, in its order. `rows` are whole lines. */
export interface BackupReader {
  header?(header: BackupHeader): Promise<void> | void;
  table?(table: BackupTable): Promise<void>;
  rows?(lines: Buffer): Promise<void>;
  tableEnd?(): Promise<void>;
}

/** Rejects with `backup.unreadable` where the file is not whole, or a table is not what its sum says. */
export async function readBackupFile(file: string, reader: BackupReader): Promise<BackupTrailer> {
  const sums: TableSum[] = [];
  let table: BackupTable | undefined;
  let tally = new TableTally();
  let seenHeader = false;
  let trailer: BackupTrailer | undefined;
  try {
    for await (const block of blocksOfLines(file)) {
      let start = 0;
      let line = 0;
      for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, line)) {
        const next = end + 1;
        if (table === undefined) {
          const said: unknown = JSON.parse(block.toString('utf8', line, end));
          if (trailer !== undefined) throw new Error('there is something after its last line');
          if (!seenHeader) await reader.header?.(headerForm.parse(said));
          else if (isTable(said)) {
            table = tableForm.parse(said);
            await reader.table?.(table);
          } else trailer = trailerForm.parse(said);
          seenHeader = true;
          start = next;
        } else if (end - line === 2 && block[line] === 0x5c && block[line + 1] === 0x2e) {
          await pass(block.subarray(start, line));
          await reader.tableEnd?.();
          sums.push(tally.sum(table.table));
          tally = new TableTally();
          table = undefined;
          start = next;
        }
        line = next;
      }
      if (table !== undefined) await pass(block.subarray(start));
    }
  } catch (error) {
    if (error instanceof BackupError || Reflect.has(Object(error), 'severity')) throw error;
    throw new BackupError('backup.unreadable', `${file} is no whole back-up: ${messageOf(error)}`, error);
  }
  if (trailer === undefined) throw new BackupError('backup.unreadable', `${file} is cut short`);
  const broken = differenceOf(trailer.tables, sums);
  if (broken === undefined) return trailer;
  throw new BackupError('backup.unreadable', `${file} has been changed or damaged: ${broken}`);

  async function pass(lines: Buffer): Promise<void> {
    if (lines.length === 0) return;
    tally.add(lines);
    await reader.rows?.(lines);
  }
}

/** Says where two lists of sums differ. Undefined: nowhere. */
export function differenceOf(expected: readonly TableSum[], found: readonly TableSum[]): string | undefined {
  for (const [i, { table, rows, sha256 }] of expected.entries()) {
    const other = found[i];
    if (other?.table !== table) return `the table ${table} is missing`;
    if (other.rows !== rows) return `${table} has ${other.rows} rows instead of ${rows}`;
    if (other.sha256 !== sha256) return `rows of ${table} are others`;
  }
  return expected.length === found.length ? undefined : `there is a table ${found.at(-1)?.table} too many`;
}

function isTable(said: unknown): boolean {
  return typeof said === 'object' && said !== null && 'table' in said;
}

async function* blocksOfLines(file: string): AsyncGenerator<Buffer> {
  const source = createReadStream(file);
  const plain = createGunzip();
  const read = pipeline(source, plain);
  read.catch(() => undefined); // the loop below hears it
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of plain as AsyncIterable<Buffer>) {
    const last = chunk.lastIndexOf(10);
    if (last < 0) {
      rest = Buffer.concat([rest, chunk]);
      continue;
    }
    yield Buffer.concat([rest, chunk.subarray(0, last + 1)]);
    rest = Buffer.from(chunk.subarray(last + 1));
  }
  await read;
  await finished(source);
  if (rest.length > 0) throw new Error('its last line is cut short');
}
