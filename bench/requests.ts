/**
 * `npm run bench requests [-- --under-way 400 --seconds 5]`: what a tenant's requests to the api take while another tenant has hundreds
 * under way. The busy one lists its devices, or makes devices, each request after the answer to the one before; the other asks for its
 * devices, one request at a time with 20 ms between. All come from this process, which uses the same cores.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { at, show } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { startProduct } from './support/product.js';

const { values } = parseArgs({
  options: {
    'under-way': { type: 'string', default: '400' },
    seconds: { type: 'string', default: '5' },
    dir: { type: 'string', default: '.' },
  },
});
const underWay = Number(values['under-way']);
const milliseconds = Number(values.seconds) * 1000;
/** In which the busy one's requests come to stand in line. */
const settleMs = 1000;
const pauseMs = 20;

interface Tenant {
  readonly path: string;
  readonly key: string;
}

console.log(`${machine()}; load average ${load()}; ${underWay} under way`);
const product = await startProduct(values.dir);
try {
  const quiet = await makeTenant('quiet');
  const busy = await makeTenant('busy');
  await asking(quiet, settleMs); // compiles what answers
  print('beside nobody', await asking(quiet, milliseconds));
  let devices = 0;
  await beside(quiet, 'lists devices', () => request(busy, 'GET', '/devices'));
  await beside(quiet, 'makes devices', () =>
    request(busy, 'POST', '/devices', { name: `device-${devices++}` }),
  );
} finally {
  await product.stop();
}

async function beside(quiet: Tenant, what: string, work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  let answered = 0;
  const workers = Array.from({ length: underWay }, async () => {
    for (; !over.signal.aborted; answered++) await work();
  });
  await sleep(settleMs);
  const [before, began] = [answered, performance.now()];
  const taken = await asking(quiet, milliseconds);
  const rate = ((answered - before) / (performance.now() - began)) * 1000;
  over.abort();
  await Promise.all(workers);
  print(`beside one that ${what}`, taken, `${show(rate)} a second of the busy one's`);
}

/** How long each request took, in milliseconds. */
async function asking(tenant: Tenant, forMs: number): Promise<number[]> {
  const taken: number[] = [];
  for (const end = performance.now() + forMs; performance.now() < end; await sleep(pauseMs)) {
    const asked = performance.now();
    await request(tenant, 'GET', '/devices');
    taken.push(performance.now() - asked);
  }
  return taken;
}

async function request({ path, key }: Tenant, method: string, of: string, body?: object): Promise<void> {
  const response = await fetch(`${product.bootstrap.api}${path}${of}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${method} ${path}${of} was answered ${response.status}`);
}

async function makeTenant(slug: string): Promise<Tenant> {
  await product.call('POST', '/v1/tenants', { slug, name: slug });
  const path = `/v1/tenants/${slug}`;
  const made = (await product.call('POST', `${path}/api-keys`, { name: 'bench', role: 'admin' })) as {
    readonly key: string;
  };
  return { path, key: made.key };
}

function print(where: string, taken: readonly number[], more = ''): void {
  const sorted = [...taken].sort((a, b) => a - b);
  const shown = [0.5, 0.9, 0.99].map((share) => at(sorted, share).toFixed(1).padStart(8));
  console.log(`${where.padEnd(32)}${shown.join('')} ms (p50, p90, p99 of ${taken.length})  ${more}`);
}
