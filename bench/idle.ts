/**
 * `npm run bench idle [-- --tcp 15000 --tls 5000 --settle 20]`: what a connection costs that says nothing. Memory of the broker
 * as soon as all have signed in, and after they have been quiet for a while; processor time while they are; both against a bare
 * Node server's sockets in the same run. Signing in leaves garbage that V8 collects when the process is quiet: the first figure
 * has it, the second is what idleness costs.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { runLoad, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { freePort } from './support/ports.js';
import { cpuSeconds, quiet, residentBytes } from './support/processes.js';
import { startProduct, type Product } from './support/product.js';

const { values } = parseArgs({
  options: {
    tcp: { type: 'string', default: '15000' },
    tls: { type: 'string', default: '5000' },
    settle: { type: 'string', default: '20' },
    dir: { type: 'string', default: '.' },
  },
});
const settleS = Number(values.settle);
/** Signing in, at the slowest rate that is waited for. */
const slowestPerSecond = 200;

console.log(`${machine()}; load average ${load()}`);
for (const what of ['tcp', 'tls'] as const) {
  if (Number(values[what]) === 0) continue;
  // A process of its own for each: memory that one of them has left would be the next one's gain.
  const product = await startProduct(values.dir);
  try {
    await measure(what, product);
  } finally {
    await product.stop();
  }
}
console.log(`load average ${load()}`);

async function measure(what: 'tcp' | 'tls', { bootstrap, brokerPid, dataDir }: Product): Promise<void> {
  const { username, password } = bootstrap.open;
  const place = what === 'tcp' ? bootstrap.mqtt : bootstrap.mqtts;
  const ca = what === 'tcp' ? '' : ` --cafile ${place.ca ?? ''} --servername localhost`;
  await hold(what, { port: place.port, username, password, pids: [brokerPid] }, ca);
  const bare = await startBare(what, dataDir);
  await hold(`${what}, bare`, bare.target, ca);
  bare.stop();
}

async function hold(what: string, target: Target, ca: string): Promise<void> {
  const conns = Number(values[what.startsWith('tls') ? 'tls' : 'tcp']);
  // Once before: what the process makes for the first few is not a connection's.
  await runLoad('connect', target, `--conns 1000 --concurrency 64${ca}`);
  await sleep(settleS * 1000);
  const before = residentBytes(target.pids);
  const run = runLoad('connect', target, `--conns ${conns} --concurrency 64 --hold ${settleS + 10}${ca}`);
  const each = (): string => ((residentBytes(target.pids) - before) / conns / 1024).toFixed(1);
  await sleep(1000);
  await quiet(target.pids, (conns / slowestPerSecond) * 1000); // until the sign-ins are over
  const atOnce = each();
  const [cpu, from] = [cpuSeconds(target.pids), performance.now()];
  await sleep(settleS * 1000);
  const spent = ((cpuSeconds(target.pids) - cpu) / (performance.now() - from)) * 100_000;
  const settled = each();
  const { connected = NaN, faults } = await run;
  console.log(
    `${what.padEnd(10)} ${connected} held: ${atOnce} KiB each at once, ${settled} after ${settleS} s; ` +
      `${spent.toFixed(1)} % of a core while quiet${faults > 0 ? ', faulty' : ''}`,
  );
}

async function startBare(
  what: 'tcp' | 'tls',
  dataDir: string,
): Promise<{ target: Target; stop: () => void }> {
  const port = await freePort();
  const identity = what === 'tcp' ? [] : [`${dataDir}/tls/server.crt`, `${dataDir}/tls/server.key`];
  const child = fork(join(import.meta.dirname, `support/bare-${what}.js`), [String(port), ...identity]);
  await once(child, 'message');
  return { target: { port, pids: [child.pid ?? 0] }, stop: () => child.kill() };
}
