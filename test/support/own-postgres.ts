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
  /** Its data lies on a small file system of its own. Where that cannot be made (not root), on the machine's. */
  readonly isSmall: boolean;
  /** Every process of the server, as a machine that stands still. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
  kill(): void;
  /** Where it is not running, on the port it had. */
  start(): Promise<void>;
  /** As superuser, whatever the server's defaults are. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  remove(): Promise<void>;
}

const secretKey = Buffer.alloc(32, 't');
const run = promisify(execFile);

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'moorage-own-'));
  const isSmall = await mountSmall(dataDir);
  // The log is kept short, so that the small file system is filled by data and not by it.
  const options = {
    dataDir,
    settings: { max_connections: '60', max_wal_size: '32MB', min_wal_size: '32MB' },
  };
  let server: EmbeddedPostgres = await startEmbeddedPostgres(options);
  const { url, port } = server;
  const urls = await migrate({ url, secretKey });

  const signal = (name: NodeJS.Signals): void => {
    for (const pid of [server.pid, ...childrenOf(server.pid)]) process.kill(pid, name);
  };
  return {
    database: { superuserUrl: url, ...urls, secretKey, drop: () => Promise.resolve() },
    dataDir,
    isSmall,
    // The one that makes new ones first.
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: () => server.stop(),
    kill: () => void process.kill(server.pid, 'SIGKILL'),
    async start() {
      await server.stop();
      server = await startEmbeddedPostgres({ ...options, port });
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
      if (isSmall) await run('umount', [dataDir]);
      await rm(dataDir, { recursive: true });
    },
  };
}

async function mountSmall(directory: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=192m,mode=0700', 'tmpfs', directory]);
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
