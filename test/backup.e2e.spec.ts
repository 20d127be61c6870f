/** `npm run backup` and `npm run restore`, with the real product. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import mqtt, { type MqttClient } from 'mqtt';
import { Client } from 'pg';

import { startEmbeddedPostgres } from '#store';

import { startProduct, type Bootstrap, type Product } from './support/product.js';

const root = join(import.meta.dirname, '..');

interface Outcome {
  readonly code: number;
  readonly output: string;
}

describe('a back-up', () => {
  let place: string;
  let from: string;
  let product: Product;
  let bootstrap: Bootstrap;
  const products: Product[] = [];

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'moorage-backup-'));
    from = join(place, 'from');
    product = start(from);
    bootstrap = await product.ready;
  });

  afterAll(async () => {
    await Promise.all(products.map((each) => each.stop()));
    await rm(place, { recursive: true });
  });

  function start(dataDir: string): Product {
    const started = startProduct(dataDir);
    products.push(started);
    return started;
  }

  it('taken while devices publish has every message acknowledged before it; restored, they sign in and find their queues', async () => {
    const sleeper = await connect(bootstrap, 'sleeper', { durable: true });
    await sleeper.subscribeAsync('news/#', { qos: 1 });
    await sleeper.endAsync();
    const writer = await connect(bootstrap, 'writer');
    await writer.publishAsync('news/1', 'kept', { qos: 1 });
    await writer.publishAsync('state', 'retained', { qos: 1, retain: true });
    const load = { goesOn: true };
    let published = 0;
    const publishing = (async () => {
      while (load.goesOn) {
        await writer.publishAsync('load', `${published}`, { qos: 1, retain: true });
        published += 1;
      }
    })();
    const file = join(place, 'running.gz');
    const made = await command('backup', from, file);
    expect(made).toMatchObject({ code: 0, output: expect.stringContaining('rows of') });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    load.goesOn = false;
    await publishing;
    expect(published).toBeGreaterThan(0);

    const to = join(place, 'to');
    expect(await command('restore', to, file)).toMatchObject({
      code: 0,
      output: expect.stringContaining(`MOORAGE_DATA_DIR=${to} npm start`),
    });
    expect(await readdir(to)).not.toContain('restoring');
    const restored = start(to);
    const { open, mqtt: endpoint } = { ...(await restored.ready), open: bootstrap.open };
    const at = { ...bootstrap, open, mqtt: endpoint };
    const arrived: string[] = [];
    const back = await connect(at, 'sleeper', {
      durable: true,
      onMessage: (topic, payload) => arrived.push(`${topic} ${payload}`),
    });
    const reader = await connect(at, 'reader', {
      onMessage: (topic, payload) => arrived.push(`${topic} ${payload}`),
    });
    const granted = await reader.subscribeAsync('state', { qos: 1 });
    expect(granted[0]?.qos).toBe(1);
    await until(() => arrived.length >= 2);
    expect(arrived.sort()).toEqual(['news/1 kept', 'state retained']);
    await Promise.all([back.endAsync(), reader.endAsync(), writer.endAsync()]);
    expect(await restored.stop()).toBe(0);
  });

  it('of a product that is stopped is restored to the same rows in every table, and nothing else', async () => {
    await product.stop();
    const file = join(place, 'stopped.gz');
    expect(await command('backup', from, file)).toMatchObject({ code: 0 });
    const to = join(place, 'same');
    expect(await command('restore', to, file)).toMatchObject({ code: 0 });
    const [before, after] = [await contentsOf(from), await contentsOf(to)];
    expect(Object.keys(before).length).toBeGreaterThan(20);
    expect(before['devices']).not.toMatchObject({ n: 0 });
    expect(after).toEqual(before);
    for (const name of ['secret.key', 'tls/ca.key', 'tls/server.crt'])
      expect(await readFile(join(to, name))).toEqual(await readFile(join(from, name)));
  });

  describe('is refused', () => {
    let good: string;
    let empty: string;

    beforeAll(async () => {
      good = join(place, 'stopped.gz');
    });

    beforeEach(async () => {
      empty = await mkdtemp(join(place, 'empty-'));
    });

    afterEach(() => rm(empty, { recursive: true }));

    it('over a directory that has something in it', async () => {
      await writeFile(join(empty, 'letters.txt'), 'dear');
      await expectRefusal(command('restore', empty, good), 'backup.not-empty');
      expect(await readdir(empty)).toEqual(['letters.txt']);
    });

    it('where it was cut short or changed, and leaves the directory empty', async () => {
      const bytes = await readFile(good);
      const bad = join(place, 'bad.gz');
      const text = gunzipSync(bytes).toString('latin1');
      const variants = [
        bytes.subarray(0, bytes.length >> 1),
        gzipSync(Buffer.from(text.slice(0, text.lastIndexOf('{"tables"')), 'latin1')),
        gzipSync(Buffer.from(text.replace('\tactive\t', '\tactivf\t'), 'latin1')),
        Buffer.from('no back-up'),
      ];
      for (const variant of variants) {
        await writeFile(bad, variant);
        await expectRefusal(command('restore', empty, bad), 'backup.unreadable');
        expect(await readdir(empty)).toEqual([]);
      }
    });

    it('under another secret key', async () => {
      const key = Buffer.alloc(32, 'x').toString('base64url');
      await expectRefusal(command('restore', empty, good, { MOORAGE_SECRET_KEY: key }), 'backup.other-key');
      expect(await readdir(empty)).toEqual([]);
    });

    it('where a file of that name exists or none can be made, or there is nothing to back up', async () => {
      await expectRefusal(command('backup', from, good), 'backup.exists');
      await expectRefusal(command('backup', from, join(place, 'nowhere', 'none.gz')), 'backup.unwritable');
      await expectRefusal(command('backup', empty, join(place, 'none.gz')), 'backup.nothing');
      await expectRefusal(
        command('backup', from, good, { DATABASE_URL: 'postgresql://127.0.0.1/x' }),
        'backup.external',
      );
      expect(await readdir(empty)).toEqual([]);
    });
  });
});

async function expectRefusal(running: Promise<Outcome>, code: string): Promise<void> {
  expect(await running).toMatchObject({ code: 1, output: expect.stringContaining(`[${code}]`) });
}

function command(
  name: 'backup' | 'restore',
  dataDir: string,
  file: string,
  environment: Record<string, string> = {},
): Promise<Outcome> {
  const env = { PATH: process.env['PATH'], MOORAGE_DATA_DIR: dataDir, ...environment };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, `dist/apps/moorage/src/${name}.js`), file],
      { env },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

interface Connecting {
  readonly durable?: boolean;
  readonly onMessage?: (topic: string, payload: string) => void;
}

async function connect(
  { mqtt: { host, port }, open }: Bootstrap,
  clientId: string,
  { durable = false, onMessage }: Connecting = {},
): Promise<MqttClient> {
  const client = mqtt.connect(`mqtt://${host}:${port}`, {
    clientId,
    ...open,
    protocolVersion: 5,
    clean: !durable,
    ...(durable ? { properties: { sessionExpiryInterval: 3_600 } } : {}),
    reconnectPeriod: 0,
  });
  client.on('message', (topic, payload) => onMessage?.(topic, payload.toString()));
  await new Promise((resolve, reject) => {
    client.once('connect', resolve);
    client.once('error', reject);
  });
  return client;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Of every table: how many rows, and a sum over their texts; of every sequence: its value. By other means than the back-up's own. */
async function contentsOf(dataDir: string): Promise<Record<string, unknown>> {
  const server = await startEmbeddedPostgres({ dataDir });
  const client = new Client({ connectionString: server.url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY 1`,
    );
    const contents: Record<string, unknown> = {};
    for (const { name } of rows) {
      const found = await client.query(
        `SELECT count(*)::int AS n, md5(string_agg(t::text, '|' ORDER BY t::text)) AS sum FROM "${name}" t`,
      );
      contents[name] = found.rows[0];
    }
    const sequences = await client.query<{ name: string }>(
      `SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1`,
    );
    for (const { name } of sequences.rows) {
      const [next] = (await client.query(`SELECT nextval('"${name}"') AS next`)).rows;
      contents[name] = next;
    }
    return contents;
  } finally {
    await client.end();
    await server.stop();
  }
}
