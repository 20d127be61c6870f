/**
 * `npm run bench connections [-- --conns 4000 --tls 500 --idle 15000 --rounds 2]`: sign-ins a second over TCP with a password, for the
 * first time and again; processor time of a sign-in over TLS, with a password, and over mutual TLS, with a certificate, each against that
 * of a bare Node TLS server, which answers anything with CONNACK, turn by turn in one run; and the memory that idle connections hold,
 * over TCP and TLS, against the same server's sockets. `--idle 0` leaves that out.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { issueClientCertificate } from './support/client-certificate.js';
import { median, show } from './support/figures.js';
import { clientName, runLoad, type Figures, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { freePort } from './support/ports.js';
import { cpuSeconds, quiet } from './support/processes.js';
import { startProduct, type Product } from './support/product.js';

const { values } = parseArgs({
  options: {
    conns: { type: 'string', default: '4000' },
    tls: { type: 'string', default: '500' },
    idle: { type: 'string', default: '15000' },
    rounds: { type: 'string', default: '2' },
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

type Which = 'first' | 'tcp' | 'tls' | 'bareTls' | 'mutual' | 'bareMutual';

async function measure(started: Product): Promise<void> {
  const { bootstrap, brokerPid, dataDir } = started;
  const { username, password } = bootstrap.open;
  const pids = [brokerPid];
  const tcp: Target = { port: bootstrap.mqtt.port, username, password, pids };
  const tls: Target = { ...tcp, port: bootstrap.mqtts.port };
  const own = await issueClientCertificate(started);
  const ca = `--cafile ${bootstrap.mqtts.ca ?? ''} --servername localhost`;
  const mutual = `${ca} --cert ${own.cert} --key ${own.key}`;
  const server = [`${dataDir}/tls/server.crt`, `${dataDir}/tls/server.key`];
  const bare = await startBare(...server);
  const bareMutual = await startBare(...server, own.ca);
  try {
    const times: Record<Which, Figures[]> = {
      first: [],
      tcp: [],
      tls: [],
      bareTls: [],
      mutual: [],
      bareMutual: [],
    };
    const tcpLoad = `--conns ${values.conns} --concurrency 64`;
    const tlsLoad = `--conns ${values.tls} --concurrency 32`;
    const again = '--client-id bench-%d'; // left to itself, the client in C has new ones each time
    const runs: readonly (readonly [Which, Target, string])[] = [
      ['tcp', tcp, `${tcpLoad} ${again}`],
      ['tls', tls, `${tlsLoad} ${ca} ${again}`],
      ['bareTls', bare.target, `${tlsLoad} ${ca}`],
      ['mutual', { port: tls.port, pids }, `${tlsLoad} ${mutual} ${again}`],
      ['bareMutual', bareMutual.target, `${tlsLoad} ${mutual}`],
    ];
    let postgres = 0;
    // Departures of the run before, which PostgreSQL has to write down too, are none of the next one's.
    const settled = (): Promise<void> => quiet([...pids, ...started.postgresPids()]);
    for (let round = 0; round <= Number(values.rounds); round++) {
      // Under client identifiers that nobody has come with: each of these sign-ins asks the store.
      await settled();
      times.first.push(await runLoad('connect', tcp, `${tcpLoad} --client-id new-${round}-%d`));
      for (const [which, target, options] of runs) {
        await settled();
        const cpuBefore = cpuSeconds(started.postgresPids());
        const figures = await runLoad('connect', target, options);
        if (round === 0) continue; // it warms them up, and makes them known
        times[which].push(figures);
        if (which === 'tcp') postgres += cpuSeconds(started.postgresPids()) - cpuBefore;
      }
      await settled();
    }
    const of = (which: Which, key: string): number =>
      median(times[which].map((figures) => figures[key] ?? NaN));
    const each = (which: Which): number => of(which, 'broker_cpu_ms_per_connect');
    const tell = (what: string, which: Which): void =>
      console.log(
        `${what}: ${show(of(which, 'connects_per_s'))}/s, ${each(which).toFixed(3)} ms of CPU each, p99 ${of(which, 'connect_p99_ms').toFixed(1)} ms`,
      );
    tell('sign-ins over TCP, for the first time', 'first');
    tell('sign-ins over TCP, again', 'tcp');
    const perSignIn = (postgres * 1000) / (Number(values.conns) * Number(values.rounds));
    console.log(`  PostgreSQL meanwhile, and in the two seconds after: ${perSignIn.toFixed(3)} ms for each`);
    const compare = (what: string, ours: Which, theirs: Which): void =>
      console.log(
        `sign-ins over ${what}: ${each(ours).toFixed(2)} ms of CPU each, a bare Node TLS server ${each(theirs).toFixed(2)} ms: ${(each(ours) / each(theirs)).toFixed(2)}×`,
      );
    compare('TLS', 'tls', 'bareTls');
    compare('mutual TLS', 'mutual', 'bareMutual');
    const sockets = Math.min(Number(values.idle), 5_000);
    if (sockets > 0) {
      printMemory('TCP', await runLoad('connect', tcp, `--conns ${values.idle} --concurrency 64`));
      const holdTls = `--conns ${sockets} --concurrency 32 ${ca}`;
      printMemory('TLS', await runLoad('connect', tls, holdTls));
      printMemory('TLS, bare', await runLoad('connect', bare.target, holdTls));
    }
    console.log(`load average ${load()}`);
  } finally {
    bare.stop();
    bareMutual.stop();
  }
}

function printMemory(what: string, figures: Figures): void {
  const { connected = NaN, broker_kib_per_connection: each = NaN, faults } = figures;
  console.log(
    `idle over ${what}: ${show(connected)} held, ${each.toFixed(1)} KiB each${faults > 0 ? ', faulty' : ''}`,
  );
}

async function startBare(...files: readonly string[]): Promise<{ target: Target; stop: () => void }> {
  const port = await freePort();
  const child = fork(join(import.meta.dirname, 'support/bare-tls.js'), [String(port), ...files]);
  await once(child, 'message');
  return { target: { port, pids: [child.pid ?? 0] }, stop: () => child.kill() };
}
