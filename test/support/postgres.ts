/** A database of its own for each test that asks: migrated, empty, gone afterwards. One PostgreSQL serves the whole test run. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { migrate, startEmbeddedPostgres } from '#store';

export interface TestDatabase {
  /** What DATABASE_URL would be. Row-level security does not bind it: for looking at what is really there. */
  readonly superuserUrl: string;
  /** The owner's; row-level security binds it too, so it sees no tenant's rows. */
  readonly ownerUrl: string;
  readonly appUrl: string;
  readonly brokerUrl: string;
  /** The key that the roles' passwords derive from. */
  readonly secretKey: Buffer;
  drop(): Promise<void>;
}

interface TestServer {
  readonly url: string;
  readonly ownerUrl: string;
  readonly appUrl: string;
  readonly brokerUrl: string;
}

const secretKey = Buffer.alloc(32, 't');

/** A migrated database, copied from the template in some tens of milliseconds. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = await testServer();
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(server, `CREATE DATABASE ${name} TEMPLATE moorage`);
  return describe(server, name);
}

/** A database with nothing in it: for tests of the migrations themselves. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  const server = await testServer();
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(server, `CREATE DATABASE ${name} TEMPLATE template0`);
  return describe(server, name);
}

function describe(server: TestServer, name: string): TestDatabase {
  return {
    superuserUrl: withDatabase(server.url, name),
    ownerUrl: withDatabase(server.ownerUrl, name),
    appUrl: withDatabase(server.appUrl, name),
    brokerUrl: withDatabase(server.brokerUrl, name),
    secretKey,
    drop: () => onServer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function onServer(server: TestServer, statement: string): Promise<void> {
  const client = new Client({ connectionString: withDatabase(server.url, 'postgres') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/** Started by the first of Jest's workers that needs it; the others wait for what it writes down. Stopped by global-teardown.js. */
async function testServer(): Promise<TestServer> {
  const directory = process.env['TEST_POSTGRES_DIR'];
  if (directory === undefined)
    throw new Error('run this under Jest: test/support/global-setup.js sets TEST_POSTGRES_DIR');
  const known = join(directory, 'server.json');
  const failed = join(directory, 'server.failed');
  if (await isFirst(directory)) {
    try {
      await writeWhole(known, JSON.stringify(await start(directory)));
    } catch (error) {
      await writeWhole(failed, String(error));
      throw error;
    }
  }
  for (;;) {
    const server = await readFile(known, 'utf8').catch(() => undefined);
    if (server !== undefined) return JSON.parse(server) as TestServer;
    const reason = await readFile(failed, 'utf8').catch(() => undefined);
    if (reason !== undefined) throw new Error(`the test PostgreSQL did not start: ${reason}`);
    await sleep(20);
  }
}

async function start(directory: string): Promise<TestServer> {
  const { url } = await startEmbeddedPostgres({
    dataDir: directory,
    // Nothing here outlives the run. What must hold through a crash is tested on servers of its own, with fsync on.
    settings: { fsync: 'off', full_page_writes: 'off', max_connections: '300', shared_buffers: '64MB' },
  });
  return { url, ...(await migrate({ url, secretKey })) };
}

async function isFirst(directory: string): Promise<boolean> {
  try {
    await mkdir(join(directory, 'claimed'));
    return true;
  } catch {
    return false;
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
