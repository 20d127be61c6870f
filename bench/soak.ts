/**
 * `npm run bench soak [-- --minutes 10]`: the same load for as long as is wanted, half of it QoS 1, with sign-ins and departures
 * beside it; the broker's memory every quarter of a minute, and the slope of a line through what follows the first minute.
 */
import { parseArgs } from 'node:util';

import { show } from './support/figures.js';
import { runLoad, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { residentBytes } from './support/processes.js';
import { startProduct, type Product } from './support/product.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, dir: { type: 'string', default: '.' } },
});
const pieceS = 15;
/** Code is compiled and the heap finds its size. */
const warmUpMs = 60_000;
const eventLoopDelay = 'nodejs_eventloop_lag_p99_seconds{app="broker"}';

console.log(`${machine()}; load average ${load()}`);
const product = await startProduct(values.dir);
try {
  await soak(product);
} finally {
  await product.stop();
}

async function soak({ bootstrap, brokerPid, ...product }: Product): Promise<void> {
  const { username, password } = bootstrap.open;
  const target: Target = { port: bootstrap.mqtt.port, username, password, pids: [brokerPid] };
  const pairs = (name: string): string =>
    `--pubs 20 --subs 20 --topic bench/${name}/%d --filter bench/${name}/%d --fan 1 --warmup 0 ` +
    `--rate 2500 --duration ${pieceS} --client-id ${name}-%d`;
  const end = performance.now() + Number(values.minutes) * 60_000;
  const start = performance.now();
  const samples: (readonly [minutes: number, mib: number])[] = [];
  let messages = 0;
  while (performance.now() < end) {
    const [first, second] = await Promise.all([
      runLoad('pubsub', target, pairs('soak-0')),
      runLoad('pubsub', target, `${pairs('soak-1')} --qos-pub 1 --qos-sub 1`),
      runLoad('connect', target, '--conns 500 --concurrency 4 --client-id come-and-go-%d'),
    ]);
    messages += ((first['delivered_per_s'] ?? 0) + (second['delivered_per_s'] ?? 0)) * pieceS;
    const mib = residentBytes([brokerPid]) / 2 ** 20;
    const at = performance.now() - start;
    if (at > warmUpMs) samples.push([at / 60_000, mib]);
    const delay = (await product.metric(eventLoopDelay)) * 1000;
    console.log(
      `${(at / 60_000).toFixed(2).padStart(6)} min  ${mib.toFixed(1)} MiB, event loop p99 ${delay.toFixed(1)} ms` +
        (first.faults + second.faults > 0 ? ', faulty' : ''),
    );
  }
  console.log(`${show(messages)} messages; slope ${slopeOf(samples).toFixed(2)} MiB a minute`);
}

/** Least squares. */
function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const meanOf = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [meanX, meanY] = [meanOf(0), meanOf(1)];
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const under = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return over / under;
}
