/**
 * `npm run bench neighbours [-- --rounds 5 --seconds 4 --rate 1000]`: what one tenant's worst clients do to its others. Twenty
 * pairs exchange messages at a steady rate; turn by turn they are left alone, and have one of these beside them. Printed: their
 * p50 and p99 against the undisturbed ones of the same run, and the broker's memory. The tenant's limit is 2 000 messages a
 * second from one connection. The nuisances are played in this process: on a machine with two cores they cost the pairs some too.
 */
import { parseArgs } from 'node:util';

import { median, show } from './support/figures.js';
import { clientName, runLoad, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { residentBytes } from './support/processes.js';
import { startProduct } from './support/product.js';
import {
  type Connection,
  type Door,
  openAll,
  publishPacket,
  signIn,
  subscribePacket,
} from './support/wire.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    rate: { type: 'string', default: '1000' },
    dir: { type: 'string', default: '.' },
  },
});

/** Starts the nuisance; what it returns ends it. */
type Nuisance = (door: Door) => Promise<() => void>;

const payload = Buffer.alloc(1024, 0x78);
const burst = 64;

/** Publishes in bursts, as fast as the socket takes them or at a rate; QoS 0. */
function flood(connection: Connection, topicOf: (n: number) => string, everyMs: number): () => void {
  let n = 0;
  const timer = setInterval(() => {
    if (connection.socket.writableLength > 256 * 1024) return;
    for (let i = 0; i < burst; i++) connection.put(publishPacket(4, 0, 0, topicOf(n++), payload));
    connection.flush();
  }, everyMs);
  return () => clearInterval(timer);
}

const nuisances: Readonly<Record<string, Nuisance>> = {
  'left alone': async () => () => undefined,

  'a subscriber stops reading': async (door) => {
    const [reader, writer] = await Promise.all([
      signIn(door, { clientId: 'stuck', filters: ['bench/stuck/#'], qos: 1 }),
      signIn(door, { clientId: 'feeder' }),
    ]);
    reader.socket.pause();
    const stop = flood(writer, () => 'bench/stuck/x', 10);
    return () => [stop, () => reader.end(), () => writer.end()].forEach((end) => end());
  },

  'a publisher floods': async (door) => {
    const writer = await signIn(door, { clientId: 'flood' });
    const stop = flood(writer, () => 'bench/nobody', 1);
    return () => [stop, () => writer.end()].forEach((end) => end());
  },

  'topics of a thousand levels': async (door) => {
    const deep = `bench/${'a/'.repeat(998)}`;
    const [reader, writer] = await Promise.all([
      signIn(door, { clientId: 'deep', filters: [`bench/${'+/'.repeat(500)}#`] }),
      signIn(door, { clientId: 'digger' }),
    ]);
    const stop = flood(writer, (n) => deep + n, 50);
    return () => [stop, () => reader.end(), () => writer.end()].forEach((end) => end());
  },

  'ten thousand subscriptions': async (door) => {
    const [greedy, writer] = await Promise.all([
      signIn(door, { clientId: 'greedy' }),
      signIn(door, { clientId: 'feeder' }),
    ]);
    for (let i = 0; i < 10_000; i += 100) {
      const filters = Array.from({ length: 100 }, (_, k) => `bench/many/${i + k}/${k % 2 === 0 ? '+' : '#'}`);
      greedy.put(subscribePacket(4, 0, filters));
    }
    greedy.flush();
    const stop = flood(writer, (n) => `bench/many/${n % 10_000}/x`, 20);
    return () => [stop, () => greedy.end(), () => writer.end()].forEach((end) => end());
  },

  'a hundred overlapping wildcards': async (door) => {
    const readers = await openAll(10, 10, (i) => {
      const filters = Array.from({ length: 10 }, (_, k) => `bench/over/${'+/'.repeat((k + i) % 6)}#`);
      return signIn(door, { clientId: `over-${i}`, filters: [...new Set(filters)], qos: 1 });
    });
    const writer = await signIn(door, { clientId: 'feeder' });
    const stop = flood(writer, (n) => `bench/over/a/b/c/d/e/f/${n % 1000}`, 20);
    return () =>
      [stop, ...readers.map((reader) => () => reader.end()), () => writer.end()].forEach((end) => end());
  },
};

console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir, { publishRate: 2_000 });
const { bootstrap, brokerPid } = product;
const { username, password } = bootstrap.open;
const door: Door = { port: bootstrap.mqtt.port, username, password };
const target: Target = { port: bootstrap.mqtt.port, username, password, pids: [brokerPid] };
const options =
  '--pubs 20 --subs 20 --topic bench/quiet/%d --filter bench/quiet/%d --fan 1 --client-id quiet-%d ' +
  `--rate ${values.rate} --duration ${values.seconds} --qos-pub 1 --qos-sub 1`;
try {
  await runLoad('pubsub', target, options); // warm
  await compare();
} finally {
  await product.stop();
}

async function compare(): Promise<void> {
  const runs = new Map<string, { p50: number; p99: number; mib: number; faults: number }[]>();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, start] of Object.entries(nuisances)) {
      const stop = await start(door);
      const figures = await runLoad('pubsub', target, options);
      const mib = residentBytes([brokerPid]) / 2 ** 20;
      stop();
      const { latency_p50_ms: p50 = NaN, latency_p99_ms: p99 = NaN, faults } = figures;
      runs.set(name, [...(runs.get(name) ?? []), { p50, p99, mib, faults }]);
    }
  }
  const alone = median((runs.get('left alone') ?? []).map(({ p99 }) => p99));
  for (const [name, results] of runs) {
    const p99 = median(results.map((result) => result.p99));
    const faults = results.reduce((sum, result) => sum + result.faults, 0);
    console.log(
      `${name.padEnd(33)} p50 ${median(results.map(({ p50 }) => p50))
        .toFixed(2)
        .padStart(7)} ms  ` +
        `p99 ${p99.toFixed(2).padStart(7)} ms  ${(p99 / alone).toFixed(2)}×  ` +
        `${show(median(results.map(({ mib }) => mib)))} MiB, at most ${show(Math.max(...results.map(({ mib }) => mib)))}` +
        (faults > 0 ? `  ${faults} faulty` : ''),
    );
  }
  console.log(`load average ${load()}`);
}
