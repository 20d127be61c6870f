/**
 * `npm run bench overload [-- --seconds 10 --times 3 --qos 0,1]`: publishers that do not wait send several times what the broker delivers
 * at its best (an open loop; only the client in C has one, named by MQTTBENCH). The broker's memory must stay bounded while they
 * do, and afterwards a steady load must see the latency it saw before.
 */
import { parseArgs } from 'node:util';

import { show } from './support/figures.js';
import { runLoad, type Figures, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { residentBytes } from './support/processes.js';
import { startProduct, type Product } from './support/product.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    times: { type: 'string', default: '3' },
    qos: { type: 'string', default: '0,1' },
    dir: { type: 'string', default: '.' },
  },
});
const fan = 20;
const wide = `--pubs 4 --subs ${fan} --topic bench/%d --filter bench/#`;
const steady = '--pubs 20 --subs 20 --topic bench/%d --filter bench/%d --fan 1 --rate 1000 --duration 3';
const eventLoopDelay = 'nodejs_eventloop_lag_p99_seconds{app="broker"}';

if (process.env['MQTTBENCH'] === undefined) throw new Error('MQTTBENCH must name the client in C');
console.log(`${machine()}; load average ${load()}`);
const product = await startProduct(values.dir);
try {
  for (const qos of values.qos.split(',').map(Number)) await overload(product, qos);
} finally {
  await product.stop();
}

async function overload({ bootstrap, brokerPid, ...product }: Product, qos: number): Promise<void> {
  const { username, password } = bootstrap.open;
  const target: Target = { port: bootstrap.mqtt.port, username, password, pids: [brokerPid] };
  const load = `${wide} --qos-pub ${qos} --qos-sub ${qos}`;
  const before = await runLoad('pubsub', target, steady);
  const best = await runLoad('pubsub', target, `${load} --window 64 --duration 3`);
  const capacity = (best['delivered_per_s'] ?? NaN) / fan;
  const rate = Math.ceil(capacity * Number(values.times));
  await product.metric(eventLoopDelay);
  const calm = residentBytes([brokerPid]);
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, residentBytes([brokerPid]))), 100);
  const flood = await runLoad(
    'pubsub',
    target,
    `${load} --open-loop --window 1000000 --rate ${rate} --drain 2 --duration ${values.seconds}`,
  ).catch((error: unknown): Figures => {
    console.log(`the client: ${error instanceof Error ? error.message : 'failed'}`);
    return { faults: 1 };
  });
  clearInterval(watch);
  const delay = (await product.metric(eventLoopDelay)) * 1000;
  const after = await runLoad('pubsub', target, steady);
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const latency = ({ latency_p50_ms: p50 = NaN, latency_p99_ms: p99 = NaN }: Figures): string =>
    `${p50.toFixed(2)} / ${p99.toFixed(2)} ms`;
  console.log(
    `QoS ${qos}: at its best ${show(capacity)} published a second; offered ${show(rate)}, delivered ` +
      `${show((flood['delivered_per_s'] ?? NaN) / fan)} to each; memory ${mib(calm)}, at most ${mib(most)}, afterwards ` +
      `${mib(residentBytes([brokerPid]))} MiB; event loop p99 ${delay.toFixed(1)} ms; steady p50 / p99 before ` +
      `${latency(before)}, after ${latency(after)}`,
  );
}
