/** A PostgreSQL of the test's own, to be frozen, stopped and starved. It is durable as an installation's is: fsync is on. */
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { Client } from 'pg';

import { migrate, startEmbeddedPostgres, type EmbeddedPostgres } from '#store';

import type { TestDatabase } from './postgres.js';

export interface OwnPostgres {
  readonly database: TestDatabase;
  readonly dataDir: string;
  readonly port: number;
  /** Its data lies on a small file system of its own. Where that cannot be made (not root), on the machine's. */
  readonly isSmall: boolean;
  /** Every process of the server, as a machine that stands still. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
  kill(): void;
  /** Where it is not running, on the port it had. */
  start(): Promise<void>;
  /** Its log has a small file system of its own from here on. Where that cannot be made (not root), false, and nothing changes. */
  confineLog(): Promise<boolean>;
  /** Another server, on another port, with all that this one had committed; it takes the place of this one. */
  failOver(): Promise<void>;
  /** As superuser, whatever the server's defaults are. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  remove(): Promise<void>;
}

const secretKey = Buffer.alloc(32, 't');
const run = promisify(execFile);

export async function startOwnPostgres(): Promise<OwnPostgres> {
  let dataDir = await mkdtemp(join(tmpdir(), 'moorage-own-'));
  const directories = [dataDir];
  const isSmall = await mountSmall(dataDir, '192m');
  const mounts = isSmall ? [dataDir] : [];
  // The log is kept short, so that the small file system is filled by data and not by it.
  const settings = { max_connections: '60', max_wal_size: '32MB', min_wal_size: '32MB' };
  let server: EmbeddedPostgres = await startEmbeddedPostgres({ dataDir, settings });
  let { url, port } = server;
  const urls = await migrate({ url, secretKey });

  const signal = (name: NodeJS.Signals): void => {
    for (const pid of [server.pid, ...childrenOf(server.pid)]) process.kill(pid, name);
  };
  const start = async (): Promise<void> => {
    await server.stop();
    server = await startEmbeddedPostgres({ dataDir, settings, port });
  };
  return {
    database: { superuserUrl: url, ...urls, secretKey, drop: () => Promise.resolve() },
    get dataDir() {
      return dataDir;
    },
    get port() {
      return port;
    },
    isSmall,
    // The one that makes new ones first.
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: () => server.stop(),
    kill: () => void process.kill(server.pid, 'SIGKILL'),
    start,
    async confineLog() {
      await server.stop();
      const log = join(dataDir, 'postgres', 'pg_wal');
      await run('cp', ['-a', log, `${log}.kept`]);
      const isConfined = await mountSmall(log, '80m');
      if (isConfined) {
        mounts.unshift(log);
        await run('chown', [`--reference=${log}.kept`, log]);
        await run('cp', ['-a', `${log}.kept/.`, log]);
      }
      await rm(`${log}.kept`, { recursive: true });
      await start();
      return isConfined;
    },
    async failOver() {
      await server.stop();
      const copy = await mkdtemp(join(tmpdir(), 'moorage-own-'));
      directories.push(copy);
      await run('cp', ['-a', `${dataDir}/.`, copy]);
      dataDir = copy;
      server = await startEmbeddedPostgres({ dataDir, settings });
      ({ url, port } = server);
    },
    async query(sql) {
      const client = new Client({
        connectionString: url,
        options: '-c default_transaction_read_only=off',
      });
      await client.connect();
      try {
        return (await client.query(sql)).rows;
      } finally {
        await client.end();
      }
    },
    async remove() {
      await server.stop();
      for (const mount of mounts) await run('umount', [mount]);
      for (const directory of directories) await rm(directory, { recursive: true });
    },
  };
}

async function mountSmall(directory: string, size: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', directory]);
    return true;
  } catch {
    return false; // a container that may not mount
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent);
}

function parentOf(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // it has ended meanwhile
  }
}
