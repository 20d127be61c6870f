/** The real product, as `npm start` runs it, on free ports and in a data directory of its own that goes with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { diskOf } from './machine.js';
import { twentyRules } from './policy.js';
import { freePort } from './ports.js';
import { treeOf } from './processes.js';

interface Place {
  readonly host: string;
  readonly port: number;
  readonly ca?: string;
}

interface Bootstrap {
  readonly api: string;
  readonly adminKey: string;
  readonly tenant: string;
  readonly mqtt: Place;
  readonly mqtts: Place;
  readonly open: { readonly username: string; readonly password: string };
}

export interface Product {
  readonly bootstrap: Bootstrap;
  readonly dataDir: string;
  readonly brokerPid: number;
  /** Whose the credential `open` is. */
  readonly openDeviceId: string;
  /** For who must see every row: row security does not hold for it. */
  readonly superuserUrl: string;
  /** The embedded server and its backends of this moment. */
  postgresPids(): number[];
  /** Asks the api as the platform's administrator. */
  call(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown): Promise<unknown>;
  /** A value of the broker's metrics; NaN where there is none of that name and those labels. */
  metric(name: string): Promise<number>;
  stop(): Promise<void>;
}

const entry = join(import.meta.dirname, '../../apps/moorage/src/main.js');
const openDevice = 'open';

/**
 * `directory`: where the data directory is made, and removed. `limits`: of the demo tenant, beside those it has. The
 * credential `open` is bound to twenty rules more.
 */
export async function startProduct(
  directory: string,
  limits: Readonly<Record<string, number>> = {},
): Promise<Product> {
  const dataDir = await mkdtemp(resolve(directory, '.bench-'));
  const remove = (): Promise<void> => rm(dataDir, { recursive: true, force: true });
  const opsPort = await freePort();
  try {
    await diskOf(dataDir); // before anything is written to what is none
    const started = await start(dataDir, opsPort);
    const product = { ...started, dataDir, metric: (name: string) => readMetric(opsPort, name) };
    const openDeviceId = await prepare(product, limits);
    return {
      ...product,
      openDeviceId,
      stop: async () => {
        await product.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function start(
  dataDir: string,
  opsPort: number,
): Promise<Omit<Product, 'dataDir' | 'metric' | 'openDeviceId'>> {
  const { PATH, NODE_OPTIONS } = process.env;
  const ports = ['HTTP', 'MQTT', 'MQTTS', 'WS', 'WSS', 'POSTGRES'].map((name) => [
    `MOORAGE_${name}_PORT`,
    '0',
  ]);
  const child = spawn(process.execPath, [entry], {
    env: {
      PATH,
      ...(NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS }), // --cpu-prof, for instance
      ...Object.fromEntries(ports),
      MOORAGE_OPS_PORT: String(opsPort),
      MOORAGE_DATA_DIR: dataDir,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  const stop = async (): Promise<void> => {
    child.kill('SIGINT');
    await ended;
  };
  process.once('exit', () => child.kill('SIGINT'));
  const output = await untilRunning(child.stdout, child.stderr, ended);
  const bootstrap = JSON.parse(await readFile(join(dataDir, 'bootstrap.json'), 'utf8')) as Bootstrap;
  const password = await readFile(join(dataDir, 'postgres.password'), 'utf8');
  const postgres = /postgres\.started pid=(\d+) port=(\d+)/.exec(output);
  const postgresPid = Number(postgres?.[1]);
  return {
    bootstrap,
    brokerPid: Number(/child=broker pid=(\d+)/.exec(output)?.[1]),
    superuserUrl: `postgresql://postgres:${password}@127.0.0.1:${postgres?.[2] ?? ''}/moorage`,
    postgresPids: () => treeOf(postgresPid),
    call: (method, path, body) => callApi(bootstrap, method, path, body),
    stop,
  };
}

async function untilRunning(
  stdout: NodeJS.ReadableStream,
  stderr: NodeJS.ReadableStream,
  ended: Promise<unknown>,
): Promise<string> {
  let output = '';
  const running = new Promise<void>((resolve) => {
    const listen = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes('Moorage is running.')) resolve();
    };
    stdout.on('data', listen);
    stderr.on('data', listen);
  });
  const failed = ended.then(() => {
    throw new Error(`the product ended before it ran:\n${output}`);
  });
  await Promise.race([running, failed]);
  failed.catch(() => undefined); // later it is asked to end
  return output;
}

async function callApi(
  { api, adminKey }: Bootstrap,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const isPatch = method === 'PATCH';
  const response = await fetch(api + path, {
    method,
    headers: {
      authorization: `Bearer ${adminKey}`,
      ...(body === undefined
        ? {}
        : { 'content-type': isPatch ? 'application/merge-patch+json' : 'application/json' }),
      ...(isPatch ? { 'if-match': await etagOf(api + path, adminKey) } : {}),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function etagOf(url: string, key: string): Promise<string> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
  return response.headers.get('etag') ?? '*';
}

/** As it is when the product is used in earnest: a policy of some size, and limits that this run needs. The device `open`. */
async function prepare(
  { call, bootstrap }: Pick<Product, 'call' | 'bootstrap'>,
  limits: Readonly<Record<string, number>>,
): Promise<string> {
  const tenant = `/v1/tenants/${bootstrap.tenant}`;
  if (Object.keys(limits).length > 0) await call('PATCH', tenant, { limits });
  const devices = (await call('GET', `${tenant}/devices?namePrefix=${openDevice}`)) as {
    items: { id: string; name: string }[];
  };
  const device = devices.items.find(({ name }) => name === openDevice);
  if (device === undefined) throw new Error('the demo tenant has no device "open"');
  const policy = (await call('POST', `${tenant}/policies`, { name: 'bench', rules: twentyRules })) as {
    id: string;
  };
  const binding = { policyId: policy.id, targetKind: 'device', targetId: device.id };
  await call('POST', `${tenant}/policy-bindings`, binding);
  return device.id;
}

async function readMetric(opsPort: number, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${opsPort}/metrics`);
  const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name} `));
  return line === undefined ? NaN : Number(line.slice(name.length + 1));
}
