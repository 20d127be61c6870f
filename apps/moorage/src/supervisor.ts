import { join } from 'node:path';
import {
  ConfigError,
  createLifecycle,
  createLogger,
  loadSecretKey,
  readSettings,
  type Lifecycle,
  type Logger,
  type Settings,
} from '#process';
import { EmbeddedPostgresError, migrate, MigrationError, type Migrated } from '#store';
import { ensureAdminKey } from './admin-key.js';
import { readBootstrap, writeBootstrap, type Bootstrap } from './bootstrap-file.js';
import {
  checkGivenCertificate,
  checkHostCertificates,
  ensureDevelopmentCertificates,
} from './certificates.js';
import { superviseChild, type Child } from './child.js';
import { holdDataDirectory } from './data-directory.js';
import { openDatabase, type Database } from './database.js';
import { fillDemoTenant } from './demo.js';
import {
  certificateNames,
  childSettings,
  endpointsOf,
  reachableHost,
  urlHost,
  type Endpoints,
} from './endpoints.js';
import { acceptedAt } from './first-connect.js';
import { greet } from './greeting.js';
import { renderLine } from './log-lines.js';
import { memoryInUse } from './memory.js';
import { choosePorts, type Ports } from './ports.js';
import { commandStartedAt } from './started-at.js';
import { StartupError } from './startup-error.js';

// Children give themselves ten seconds, and are killed after twelve; PostgreSQL stops after them.
const stopDeadlineMs = 30_000;

// Node would let the young generation grow to 3 x 16 MB, and what Nest leaves behind at its start fills it: 40 MB more in use.
const apiTuning: Tuning = { flags: ['--max-semi-space-size=4'] };
// Nobody is served while the young generation is collected. With 2 or 4 MB a collection is shorter, but there are so many that messages
// cost more. V8 would begin with less and grow when much survives; of messages next to nothing does, so it would stay small.
// And glibc would keep what connections have left free between what is still in use: after hundreds that took nothing of what was theirs
// the process stayed three times as large as where each piece of 32 KB and more is the system's own, and goes back to it.
const brokerTuning: Tuning = {
  flags: ['--min-semi-space-size=8', '--max-semi-space-size=8'],
  env: { MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_TRIM_THRESHOLD_: '131072' },
};

/** What Node, and the C library under it, are told of memory. */
interface Tuning {
  readonly flags: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** What has been started so far, in the order in which it is to be stopped. */
interface Running {
  readonly children: Child[];
  database: Promise<Database> | undefined;
  readonly releaseDirectory: () => Promise<void>;
}

export async function runSupervisor(): Promise<void> {
  const startedAt = commandStartedAt();
  try {
    const settings = readSettings();
    const running: Running = {
      children: [],
      database: undefined,
      releaseDirectory: await holdDataDirectory(settings.dataDir),
    };
    const log = createLogger('moorage', settings.logLevel, {
      write: (line) => print('moorage', line.trimEnd()),
    });
    const lifecycle = createLifecycle({ log, deadlineMs: stopDeadlineMs });
    stopInOrder(lifecycle, running);
    await start(settings, running, log, startedAt).catch((error: unknown) => giveUp(lifecycle, error));
  } catch (error) {
    explain(error);
    process.exitCode = 1;
  }
}

async function start(settings: Settings, running: Running, log: Logger, startedAt: number): Promise<void> {
  const ports = await choosePorts(settings);
  const secretKey = await loadSecretKey(settings);
  const endpoints = endpointsOf(settings, ports, await ensureCertificates(settings, log));
  running.database = openDatabase(settings, ports.postgresPort, log);
  const { ownerUrl } = await running.database;
  const database = await migrate({
    url: ownerUrl,
    secretKey,
    onApplied: (migration) => log.info('database.migrated', { migration }),
  });
  await startChildren(settings, ports, database, running, log);

  const before = await readBootstrap(settings.dataDir);
  const environment = { ...process.env, ...childSettings(settings, ports), DATABASE_URL: database.appUrl };
  const adminKey = await ensureAdminKey(environment, endpoints.api, before?.adminKey);
  const bootstrap = await fillIn(endpoints, adminKey, before);
  await writeBootstrap(settings.dataDir, bootstrap);
  // Where proxies stand in front, nobody connects without one: this process neither.
  const isDirect = settings.proxyProtocolFrom.length === 0;
  const connectedAt = isDirect ? await acceptedAt(bootstrap) : undefined;
  greet(settings.dataDir, bootstrap, {
    firstConnectMs: connectedAt === undefined ? undefined : connectedAt - startedAt,
    memory: await memoryInUse(),
    isEmbedded: settings.databaseUrl === undefined,
  });
}

async function ensureCertificates(settings: Settings, log: Logger): Promise<string> {
  if (settings.tls.hostsDir !== undefined) await checkHostCertificates(settings.tls.hostsDir);
  // Clients of an operator's own certificate know whom to trust; the chain is as good a place to look as any.
  if (settings.tlsIsGiven) {
    await checkGivenCertificate(settings.tls.certFile, settings.tls.keyFile);
    return settings.tls.certFile;
  }
  const { caFile, made } = await ensureDevelopmentCertificates(
    settings.dataDir,
    certificateNames(settings.bind),
  );
  if (made.length > 0) log.info('certificates.made', { made });
  return caFile;
}

async function startChildren(
  settings: Settings,
  ports: Ports,
  database: Migrated,
  running: Running,
  log: Logger,
): Promise<void> {
  const host = urlHost(reachableHost(settings.bind));
  const supervise = (name: string, databaseUrl: string, readyPort: number, { flags, env }: Tuning) => {
    const child = superviseChild({
      name,
      entry: join(import.meta.dirname, `../../${name}/src/main.js`),
      env: { ...process.env, ...childSettings(settings, ports), DATABASE_URL: databaseUrl, ...env },
      flags,
      readyUrl: `http://${host}:${readyPort}/readyz`,
      log,
      print: (line) => print(name, line),
    });
    running.children.push(child);
    return child.start();
  };
  await Promise.all([
    supervise('api', database.appUrl, ports.httpPort, apiTuning),
    supervise('broker', database.brokerUrl, ports.opsPort, brokerTuning),
  ]);
}

async function fillIn(
  endpoints: Endpoints,
  adminKey: string,
  before: Bootstrap | undefined,
): Promise<Bootstrap> {
  return { ...endpoints, adminKey, ...(await fillDemoTenant(endpoints.api, adminKey, before)) };
}

function stopInOrder(lifecycle: Lifecycle, running: Running): void {
  lifecycle.onStop('children', async () => {
    await Promise.all(running.children.map((child) => child.stop()));
  });
  lifecycle.onStop('postgres', async () => {
    // Where it failed to start, the start has said so.
    const database = await running.database?.catch(() => undefined);
    await database?.stop();
  });
  lifecycle.onStop('data directory', running.releaseDirectory);
  lifecycle.handleSignals();
}

async function giveUp(lifecycle: Lifecycle, error: unknown): Promise<void> {
  // A stop that was asked for during the start makes the start fail somewhere: that is no error.
  if (!lifecycle.isStopping) explain(error);
  await lifecycle.stop('cannot start', 1);
}

/** Errors that a person can act on are said in one line; any other is ours, and shown whole. */
function explain(error: unknown): void {
  const isForPeople =
    error instanceof StartupError ||
    error instanceof ConfigError ||
    error instanceof EmbeddedPostgresError ||
    error instanceof MigrationError;
  console.error(isForPeople ? `Moorage cannot start: ${error.message} [${error.code}]` : error);
}

function print(app: string, line: string): void {
  console.log(renderLine(app, line));
}
