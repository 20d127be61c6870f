import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { ended, forkProgram } from '../../../test/support/child.js';
import { createEmptyDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { verifyFences } from './fences.js';
import { migrate, type Migrated } from './migrate.js';
import { roleUrl } from './roles.js';

const shipped = join(import.meta.dirname, '..', '..', '..', 'prisma', 'migrations');

describe('the migrations', () => {
  let database: TestDatabase;
  let superuser: Client;
  let directory: string;

  beforeEach(async () => {
    database = await createEmptyDatabase();
    superuser = new Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    directory = await mkdtemp(join(tmpdir(), 'moorage-migrations-'));
  });

  afterEach(async () => {
    await superuser.end();
    await database.drop();
    await rm(directory, { recursive: true });
  });

  function run(from = directory, url = database.superuserUrl): Promise<Migrated> {
    return migrate({ url, secretKey: database.secretKey, directory: from, lockTimeoutMs: 20_000 });
  }

  async function write(name: string, sql: string): Promise<void> {
    await mkdir(join(directory, name), { recursive: true });
    await writeFile(join(directory, name, 'migration.sql'), sql);
  }

  async function tables(): Promise<string[]> {
    const { rows } = await superuser.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
          AND relname <> '_prisma_migrations' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }

  it('make an empty database whole, and do nothing the second time', async () => {
    const names = (await readdir(shipped, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
    expect((await run(shipped)).applied).toEqual(names);
    expect((await run(shipped)).applied).toEqual([]);
  });

  it('are found without being told where they are', async () => {
    const { applied } = await migrate({ url: database.superuserUrl, secretKey: database.secretKey });
    expect(applied.length).toBeGreaterThan(0);
  });

  it('give each role a URL that works and stays inside its fences', async () => {
    const { appUrl, brokerUrl, ownerUrl } = await run(shipped);
    for (const connectionString of [appUrl, brokerUrl]) {
      const client = new Client({ connectionString });
      await client.connect();
      await expect(verifyFences(client)).resolves.toBeUndefined();
      await expect(client.query('CREATE TABLE mine ()')).rejects.toMatchObject({ code: '42501' });
      await expect(client.query('SELECT * FROM _prisma_migrations')).rejects.toMatchObject({ code: '42501' });
      await client.end();
    }
    const owner = new Client({ connectionString: ownerUrl });
    await owner.connect();
    expect((await owner.query('SELECT FROM _prisma_migrations')).rowCount).toBeGreaterThan(0);
    await owner.end();
  });

  it('are applied once by several who start at the same time', async () => {
    const runs = await Promise.all([run(shipped), run(shipped), run(shipped), run(shipped)]);
    const applied = runs.flatMap((each) => each.applied);
    expect(new Set(applied).size).toBe(applied.length);
    expect(runs.filter((each) => each.applied.length > 0)).toHaveLength(1);
  });

  it('keep the book as Prisma does', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await run();
    const { rows } = await superuser.query('SELECT * FROM _prisma_migrations');
    expect(rows).toMatchObject([
      {
        migration_name: '1_first',
        checksum: createHash('sha256').update('CREATE TABLE a ();').digest('hex'),
        applied_steps_count: 1,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        finished_at: expect.any(Date),
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    ]);
  });

  it('refuse a database where one was applied with other contents', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await run();
    await write('1_first', 'CREATE TABLE b ();');
    await expect(run()).rejects.toMatchObject({
      code: 'migration.changed',
      message: expect.stringContaining('1_first'),
    });
  });

  it('refuse a database that a newer version has migrated', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await write('2_second', 'CREATE TABLE b ();');
    await run();
    await rm(join(directory, '2_second'), { recursive: true });
    await expect(run()).rejects.toMatchObject({
      code: 'migration.newer-database',
      message: expect.stringContaining('2_second'),
    });
  });

  it('refuse a database where one was applied that is not here', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await write('2_second', 'CREATE TABLE b ();');
    await run();
    await rm(join(directory, '1_first'), { recursive: true });
    await expect(run()).rejects.toMatchObject({ code: 'migration.missing' });
  });

  it('refuse one that comes too late', async () => {
    await write('2_second', 'CREATE TABLE b ();');
    await run();
    await write('1_first', 'CREATE TABLE a ();');
    await expect(run()).rejects.toMatchObject({ code: 'migration.order' });
  });

  it('leave nothing of one that fails, and go on once it is put right', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await write('2_second', 'CREATE TABLE b (); CREATE TABLE a ();');
    await expect(run()).rejects.toMatchObject({
      code: 'migration.failed',
      message: expect.stringContaining('left nothing behind'),
    });
    expect(await tables()).toEqual(['a']);
    await write('2_second', 'CREATE TABLE b ();');
    expect((await run()).applied).toEqual(['2_second']);
  });

  it('say so where one that cannot be a transaction stopped half-way', async () => {
    await write('1_first', 'CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1);');
    await write(
      '2_index',
      '-- moorage: outside a transaction\nCREATE UNIQUE INDEX CONCURRENTLY a_n ON a (n);',
    );
    await expect(run()).rejects.toMatchObject({
      code: 'migration.failed',
      message: expect.stringContaining('may have left something'),
    });
    await expect(run()).rejects.toMatchObject({
      code: 'migration.half-done',
      message: expect.stringContaining('2_index'),
    });
    // What `prisma migrate resolve --rolled-back` does, after the operator has put it right.
    await superuser.query('DROP INDEX a_n; TRUNCATE a');
    await superuser.query(`UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL`);
    expect((await run()).applied).toEqual(['2_index']);
  });

  it('leave nothing of one whose process is killed, and the next start applies it', async () => {
    await write('1_first', 'CREATE TABLE a ();');
    await write('2_second', 'CREATE TABLE b (); SELECT pg_sleep(60); CREATE TABLE c ();');
    const child = forkProgram('migrate-process.ts', [
      directory,
      database.superuserUrl,
      database.secretKey.toString('hex'),
    ]);
    await untilSleeping(superuser);
    child.kill('SIGKILL');
    await ended(child);
    // The server notices when the statement ends; an operator in a hurry ends it.
    await superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`,
    );
    await write('2_second', 'CREATE TABLE b (); CREATE TABLE c ();');
    expect((await run()).applied).toEqual(['2_second']);
    expect(await tables()).toEqual(['a', 'b', 'c']);
  });

  it('say that another process is migrating when that takes too long', async () => {
    await superuser.query('SELECT pg_advisory_lock(72707369)');
    const late = migrate({
      url: database.superuserUrl,
      secretKey: database.secretKey,
      directory,
      lockTimeoutMs: 50,
    });
    await expect(late).rejects.toMatchObject({ code: 'migration.locked' });
  });

  it('say that there is no server', async () => {
    await expect(run(directory, 'postgresql://nobody@127.0.0.1:1/none')).rejects.toMatchObject({
      code: 'migration.unreachable',
    });
  });

  it('refuse roles that belong to an installation with another key', async () => {
    await run(shipped);
    const foreign = migrate({
      url: database.superuserUrl,
      secretKey: Buffer.alloc(32, 'x'),
      directory: shipped,
    });
    await expect(foreign).rejects.toMatchObject({ code: 'migration.roles-taken' });
    const client = new Client({
      connectionString: roleUrl(database.superuserUrl, 'moorage_app', database.secretKey),
    });
    await expect(client.connect()).resolves.toBeDefined();
    await client.end();
  });

  describe('by a user who is no superuser', () => {
    const user = `migrator_${process.pid}`;
    let url: string;

    beforeAll(async () => {
      const scratch = await createEmptyDatabase();
      await asSuperuser(scratch, `CREATE ROLE ${user} LOGIN PASSWORD 'pw'`);
      await scratch.drop();
    });

    beforeEach(async () => {
      const named = new URL(database.superuserUrl);
      named.username = user;
      named.password = 'pw';
      url = named.href;
    });

    afterAll(async () => {
      const scratch = await createEmptyDatabase();
      await asSuperuser(scratch, `DROP OWNED BY ${user}; DROP ROLE ${user}`);
      await scratch.drop();
    });

    it('name the rights that are missing', async () => {
      await expect(run(shipped, url)).rejects.toMatchObject({
        code: 'migration.rights',
        message: expect.stringContaining('CREATEROLE'),
      });
    });

    it('run where the user owns the database and may act as the owner', async () => {
      const { pathname } = new URL(url);
      await superuser.query(
        `ALTER DATABASE ${pathname.slice(1)} OWNER TO ${user}; GRANT moorage_owner TO ${user} WITH SET TRUE, INHERIT TRUE`,
      );
      expect((await run(shipped, url)).applied.length).toBeGreaterThan(0);
      await superuser.query(`REVOKE moorage_owner FROM ${user}; REASSIGN OWNED BY ${user} TO postgres`);
      expect(
        (await superuser.query(`SELECT FROM pg_tables WHERE tableowner = 'moorage_owner'`)).rowCount,
      ).toBeGreaterThan(20);
    });
  });

  it('are the shipped ones in a copy as well', async () => {
    await cp(shipped, directory, { recursive: true });
    await run(shipped);
    expect((await run()).applied).toEqual([]);
  });
});

async function asSuperuser(database: TestDatabase, sql: string): Promise<void> {
  const client = new Client({ connectionString: database.superuserUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}

async function untilSleeping(superuser: Client): Promise<void> {
  for (;;) {
    const { rowCount } = await superuser.query(
      `SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`,
    );
    if (rowCount === 1) return;
  }
}
