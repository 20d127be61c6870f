/**
 * `npm run bench connections [-- --conns 4000 --tls 1000 --idle 15000 --rounds 3]`: sign-ins a second over TCP with a password;
 * processor time of a sign-in over TLS against that of a bare Node TLS server, which answers anything with CONNACK, turn by
 * turn in one run; and the memory that idle connections hold, over TCP and TLS, against the same server's sockets.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { median, show } from './support/figures.js';
import { clientName, runLoad, type Figures, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { freePort } from './support/ports.js';
import { startProduct, type Product } from './support/product.js';

const { values } = parseArgs({
  options: {
    conns: { type: 'string', default: '4000' },
    tls: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '15000' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
  },
});

console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir);
try {
  await measure(product);
} finally {
  await product.stop();
}

async function measure({ bootstrap, brokerPid, dataDir }: Product): Promise<void> {
  const { username, password } = bootstrap.open;
  const pids = [brokerPid];
  const tcp: Target = { port: bootstrap.mqtt.port, username, password, pids };
  const tls: Target = { ...tcp, port: bootstrap.mqtts.port };
  const ca = `--cafile ${bootstrap.mqtts.ca ?? ''} --servername localhost`;
  const bare = await startBare(`${dataDir}/tls/server.crt`, `${dataDir}/tls/server.key`);
  try {
    const times: Record<'tcp' | 'tls' | 'bare', Figures[]> = { tcp: [], tls: [], bare: [] };
    for (let round = 0; round <= Number(values.rounds); round++) {
      const signIns = await runLoad('connect', tcp, `--conns ${values.conns} --concurrency 64`);
      const ours = await runLoad('connect', tls, `--conns ${values.tls} --concurrency 32 ${ca}`);
      const theirs = await runLoad('connect', bare.target, `--conns ${values.tls} --concurrency 32 ${ca}`);
      if (round === 0) continue; // it warms all three up
      times.tcp.push(signIns);
      times.tls.push(ours);
      times.bare.push(theirs);
    }
    const of = (which: keyof typeof times, key: string): number =>
      median(times[which].map((figures) => figures[key] ?? NaN));
    const rate = of('tcp', 'connects_per_s');
    const cost = of('tcp', 'broker_cpu_ms_per_connect');
    console.log(
      `sign-ins over TCP: ${show(rate)}/s, ${cost.toFixed(3)} ms of CPU each (${show(1000 / cost)} a CPU second), p99 ${of('tcp', 'connect_p99_ms').toFixed(1)} ms`,
    );
    const [ours, theirs] = [of('tls', 'broker_cpu_ms_per_connect'), of('bare', 'broker_cpu_ms_per_connect')];
    console.log(
      `sign-ins over TLS: ${ours.toFixed(2)} ms of CPU each, a bare Node TLS server ${theirs.toFixed(2)} ms: ${(ours / theirs).toFixed(2)}×`,
    );
    const hold = `--conns ${values.idle} --concurrency 64`;
    printMemory('TCP', await runLoad('connect', tcp, hold));
    const sockets = Math.min(Number(values.idle), 5_000);
    const holdTls = `--conns ${sockets} --concurrency 32 ${ca}`;
    printMemory('TLS', await runLoad('connect', tls, holdTls));
    printMemory('TLS, bare', await runLoad('connect', bare.target, holdTls));
    console.log(`load average ${load()}`);
  } finally {
    bare.stop();
  }
}

function printMemory(what: string, figures: Figures): void {
  const { connected = NaN, broker_kib_per_connection: each = NaN, faults } = figures;
  console.log(
    `idle over ${what}: ${show(connected)} held, ${each.toFixed(1)} KiB each${faults > 0 ? ', faulty' : ''}`,
  );
}

async function startBare(cert: string, key: string): Promise<{ target: Target; stop: () => void }> {
  const port = await freePort();
  const child = fork(join(import.meta.dirname, 'support/bare-tls.js'), [String(port), cert, key]);
  await once(child, 'message');
  return { target: { port, pids: [child.pid ?? 0] }, stop: () => child.kill() };
}
