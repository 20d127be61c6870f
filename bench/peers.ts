/**
 * `npm run bench peers [-- --rounds 3 --duration 3 --only 'pairs q0,pairs q1']`: messages a broker delivers for a second of
 * its processor time, ours against Debian's mosquitto and npm's aedes, turn by turn in one run. Ours is the product as it is
 * started: a tenant, a device's password, twenty rules with variables, limits, counters and presence on, PostgreSQL's time
 * charged too. The peers check a password.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { median, show } from './support/figures.js';
import { clientName, runLoad, type Figures, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { startAedes, startMosquitto } from './support/peers.js';
import { ranSecondsSince } from './support/processes.js';
import { startProduct } from './support/product.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    duration: { type: 'string', default: '3' },
    only: { type: 'string' },
    without: { type: 'string', default: '' },
    dir: { type: 'string', default: '.' },
  },
});

const fanIn = '--pubs 50 --subs 1 --topic bench/%d --filter bench/# --window 20';
const fanOut = '--pubs 1 --subs 100 --topic bench/x --filter bench/x --window 20';
const pairs = '--pubs 50 --subs 50 --topic bench/%d --filter bench/%d --fan 1 --window 20';
const q1 = '--qos-pub 1 --qos-sub 1';
const q2 = '--qos-pub 2 --qos-sub 2';
const presets: Readonly<Record<string, string>> = {
  'fan-in q0': fanIn,
  'fan-in q1': `${fanIn} ${q1}`,
  'fan-in q2': `${fanIn} ${q2}`,
  'fan-out q0': fanOut,
  'fan-out q1': `${fanOut} ${q1}`,
  'fan-out q2': `${fanOut} ${q2}`,
  'pairs q0': pairs,
  'pairs q1': `${pairs} ${q1}`,
  'pairs q2': `${pairs} ${q2}`,
  'pairs q0 v5': `${pairs} -V 5`,
  'pairs q1 v5': `${pairs} ${q1} -V 5`,
  'pairs 64 KiB': '--pubs 10 --subs 10 --topic bench/%d --filter bench/%d --fan 1 --window 5 --size 65536',
  'steady 5000/s': '--pubs 50 --subs 50 --topic bench/%d --filter bench/%d --fan 1 --rate 5000',
};
/** Of the broker since it was asked last: timers of 10 ms that came later than 10 ms. */
const eventLoopDelay = 'nodejs_eventloop_lag_p99_seconds{app="broker"}';
/** How long the client publishes before it counts, after it has signed in. */
const warmUpMs = 1000;
/** aedes 1.x does not speak it. */
const onlyFive = / -V 5/;

const { chosen, left } = choose();
console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir);
const { bootstrap, brokerPid } = product;
const starts = Object.entries({ mosquitto: startMosquitto, aedes: startAedes });
const started = await Promise.all(
  starts.filter(([name]) => !left.includes(name)).map(([, start]) => start()),
);
const peers = started.filter((peer) => peer !== undefined);
if (!peers.some(({ name }) => name === 'mosquitto')) console.log('without mosquitto');
try {
  await compare();
} finally {
  for (const peer of peers) peer.stop();
  await product.stop();
}

function choose(): { readonly chosen: readonly string[]; readonly left: readonly string[] } {
  const wanted = values.only?.split(',');
  const unknown = wanted?.find((name) => presets[name] === undefined);
  if (unknown !== undefined) throw new Error(`no preset ${unknown}: ${Object.keys(presets).join(', ')}`);
  return {
    chosen: Object.keys(presets).filter((name) => wanted?.includes(name) ?? true),
    left: values.without.split(','),
  };
}

async function compare(): Promise<void> {
  console.log(
    `${'preset'.padEnd(15)}${'broker'.padEnd(11)}${'per CPU-s'.padStart(11)}${'ours is'.padStart(9)}` +
      `${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}${'cores'.padStart(7)}${'MiB'.padStart(6)}${'loop p99'.padStart(10)}  load, faults`,
  );
  for (const name of chosen) {
    const options = `${presets[name] ?? ''} --duration ${values.duration}`;
    const runs = new Map<string, Figures[]>();
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [broker, target] of brokers(options)) {
        await product.metric(eventLoopDelay);
        const figures = await (broker === 'moorage' ? ours : runLoad)('pubsub', target, options);
        const loopMs = broker === 'moorage' ? (await product.metric(eventLoopDelay)) * 1000 : NaN;
        runs.set(broker, [...(runs.get(broker) ?? []), { ...figures, loopMs }]);
      }
    }
    print(name, runs);
  }
}

function* brokers(options: string): Generator<readonly [string, Target]> {
  const { username, password } = bootstrap.open;
  yield ['moorage', { port: bootstrap.mqtt.port, username, password, pids: [brokerPid] }];
  for (const peer of peers) if (peer.name !== 'aedes' || !onlyFive.test(options)) yield [peer.name, peer];
}

/**
 * The client counts the broker's process, as with every other, and PostgreSQL's time is added here, from the end of the
 * client's warm-up. Were PostgreSQL's twenty processes the client's to count, it would read their files ten times a second,
 * each time between taking a message's time and sending it: 0.25 ms, for five messages of five hundred, is a p99.
 */
async function ours(mode: 'pubsub', target: Target, options: string): Promise<Figures> {
  const running = runLoad(mode, target, options);
  const postgresSeconds = sleep(warmUpMs).then(() => ranSecondsSince(() => product.postgresPids()));
  const figures = await running;
  const brokerSeconds = figures['broker_cpu_s'] ?? NaN;
  const share = brokerSeconds / (brokerSeconds + (await postgresSeconds)());
  return {
    ...figures,
    msgs_per_broker_cpu_s: (figures['msgs_per_broker_cpu_s'] ?? NaN) * share,
    broker_cores: (figures['broker_cores'] ?? NaN) / share,
  };
}

function print(preset: string, runs: ReadonlyMap<string, readonly Figures[]>): void {
  const of = (broker: string, key: string): number =>
    median((runs.get(broker) ?? []).map((figures) => figures[key] ?? NaN));
  const ours = of('moorage', 'msgs_per_broker_cpu_s');
  for (const [broker, figures] of runs) {
    const theirs = of(broker, 'msgs_per_broker_cpu_s');
    const faults = figures.reduce((sum, run) => sum + run.faults, 0);
    console.log(
      preset.padEnd(15) +
        broker.padEnd(11) +
        show(theirs).padStart(11) +
        (broker === 'moorage' ? '' : `${(ours / theirs).toFixed(1)}×`).padStart(9) +
        of(broker, 'latency_p50_ms').toFixed(2).padStart(9) +
        of(broker, 'latency_p99_ms').toFixed(2).padStart(9) +
        of(broker, 'broker_cores').toFixed(2).padStart(7) +
        of(broker, 'broker_peak_rss_mb').toFixed(0).padStart(6) +
        (broker === 'moorage' ? of(broker, 'loopMs').toFixed(1) : '').padStart(10) +
        `  ${load()}${faults > 0 ? `, ${faults} faulty` : ''}`,
    );
  }
}
