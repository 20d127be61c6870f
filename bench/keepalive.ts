/**
 * `npm run bench keepalive [-- --conns 15000 --seconds 60 --keep-alive 20 --rounds 2]`: what Keep Alive costs. So many connections are
 * held, in turn: quiet, without Keep Alive; with PINGREQ now and then, without; and with as many PINGREQ, and Keep Alive, whose time runs
 * out again and again and is found to have been moved. Processor time of the broker, all its threads, as a share of a core.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { median } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { cpuSeconds, quiet } from './support/processes.js';
import { startProduct } from './support/product.js';
import { openAll, signIn, type Connection, type Door } from './support/wire.js';

const { values } = parseArgs({
  options: {
    conns: { type: 'string', default: '15000' },
    seconds: { type: 'string', default: '60' },
    'keep-alive': { type: 'string', default: '20' },
    rounds: { type: 'string', default: '2' },
    dir: { type: 'string', default: '.' },
  },
});
const conns = Number(values.conns);
const seconds = Number(values.seconds);
const keepAliveS = Number(values['keep-alive']);
const pingEveryMs = keepAliveS * 800;
const pingreq = Buffer.from([0xc0, 0]);
const tickMs = 50;

const phases = [
  { name: 'quiet', keepAliveS: 0, pings: false },
  { name: 'PINGREQ', keepAliveS: 0, pings: true },
  { name: 'PINGREQ and Keep Alive', keepAliveS, pings: true },
] as const;

console.log(`${machine()}; load average ${load()}`);
const product = await startProduct(values.dir);
const { bootstrap, brokerPid } = product;
const pids = [brokerPid];
const { username, password } = bootstrap.open;
const shares: Record<string, number[]> = {};
try {
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { name, pings, ...door } of phases) {
      (shares[name] ??= []).push(
        await hold({ ...door, port: bootstrap.mqtt.port, username, password }, pings),
      );
    }
  }
} finally {
  await product.stop();
}
console.log(
  `${conns} connections, a PINGREQ each ${pingEveryMs / 1000} s, Keep Alive ${keepAliveS} s, ${seconds} s each:`,
);
for (const [name, of] of Object.entries(shares)) {
  const each = of.map((share) => share.toFixed(2)).join(', ');
  console.log(`${name.padEnd(24)} ${median(of).toFixed(2)} % of a core (${each})`);
}
console.log(`load average ${load()}`);

async function hold(door: Door, pings: boolean): Promise<number> {
  let lost = 0;
  const held: Connection[] = await openAll(conns, 64, (index) =>
    signIn(door, { clientId: `held-${index}`, onClosed: () => (lost += 1) }),
  );
  await quiet(pids);
  const pinging = pings ? pingInTurn(held) : undefined;
  await sleep(keepAliveS * 1_500); // by then each Keep Alive has been looked at
  const [cpu, from] = [cpuSeconds(pids), performance.now()];
  await sleep(seconds * 1_000);
  const share = ((cpuSeconds(pids) - cpu) / (performance.now() - from)) * 100_000;
  clearInterval(pinging);
  if (lost > 0) throw new Error(`${lost} connections were closed`);
  for (const connection of held) connection.end();
  await quiet(pids);
  return share;
}

/** One after the other, so that each has its turn once in the time. */
function pingInTurn(held: readonly Connection[]): NodeJS.Timeout {
  const from = performance.now();
  let sent = 0;
  return setInterval(() => {
    const due = ((performance.now() - from) / pingEveryMs) * held.length;
    for (; sent < due; sent++) held[sent % held.length]?.send(pingreq);
  }, tickMs);
}
