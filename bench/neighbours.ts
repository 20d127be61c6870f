/**
 * `npm run bench neighbours [-- --rounds 15 --seconds 1 --rate 1000 --limit 2000 --only NAME --realtime]`: what one tenant's worst
 * clients do to its others. Twenty pairs exchange messages at a steady rate; turn by turn they are left alone, and have one of the
 * offenders of `support/offender.ts` beside them. Each offender is a process of its own, and plays twice a round: to the broker, and
 * to a server that only hands bytes on (`support/echo.ts`). The second is the control: an offender, and whoever reads what it is sent,
 * use processor time of their own, and on a machine with two cores the pairs' client and the broker get less of it. What differs is
 * only that the offender's bytes go through a process of their own instead of the broker: so the control's p99 is what a broker would
 * show that is not disturbed at all, on a core of its own. Offenders and that server have the lowest priority, for they stand for
 * other machines: whom the broker serves, and the broker, get a core before them.
 *
 * Printed: the pairs' p50 and p99, medians of all rounds, and how many times the control's they are: the median of the rounds' own
 * ratios, of two short runs one right after the other (now the one first, now the other), and where that median lies with 95 %
 * confidence. A p99 of milliseconds is the machine's as much as the broker's, which moves by a factor from one second to the next: so
 * many short rounds say more than a few long ones, and a ratio whose range includes 1 is none. What the control is of those left alone is
 * printed for comparison: there the broker does the same in both. `waited`: for how many ms of a second the broker could have run and
 * had no core; where that is much, the machine was measured.
 *
 * `--limit`: messages a second from one connection (the tenant's `publishRate`); 0: none.
 * `--realtime`: the broker and the pairs' client get a core before everything else on the machine (`chrt`, as root; priorities hold
 * only within a session where Linux groups processes by it).
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { median, medianRange, show } from './support/figures.js';
import { clientName, runLoad, type Target } from './support/load.js';
import { load, machine } from './support/machine.js';
import { residentBytes, waitedSeconds } from './support/processes.js';
import { startProduct } from './support/product.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '1' },
    rate: { type: 'string', default: '1000' },
    limit: { type: 'string', default: '2000' },
    only: { type: 'string' },
    dir: { type: 'string', default: '.' },
    realtime: { type: 'boolean', default: false },
  },
});

const offenders: Readonly<Record<string, string>> = {
  stalls: 'a subscriber stops reading',
  floods: 'a publisher floods',
  'thousand-levels': 'topics of a thousand levels',
  'ten-thousand-subscriptions': 'ten thousand subscriptions',
  'overlapping-wildcards': 'a hundred overlapping wildcards',
};
const names = Object.keys(offenders).filter((name) => values.only === undefined || name === values.only);
/** An offender's message with its topic, as the control counts them. */
const messageBytes = 1_060;

interface Sample {
  readonly p50: number;
  readonly p99: number;
  readonly waitedMs: number;
  readonly mib: number;
  readonly faults: number;
}

console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir, { publishRate: Number(values.limit) });
const { bootstrap, brokerPid } = product;
const { username, password } = bootstrap.open;
const target: Target = { port: bootstrap.mqtt.port, username, password, pids: [brokerPid] };
const options =
  '--pubs 20 --subs 20 --topic bench/quiet/%d --filter bench/quiet/%d --fan 1 --client-id quiet-%d ' +
  `--rate ${values.rate} --duration ${values.seconds} --qos-pub 1 --qos-sub 1`;
if (values.realtime) {
  execFileSync('chrt', ['--all-tasks', '--fifo', '--pid', '10', String(brokerPid)]);
  execFileSync('chrt', ['--fifo', '--pid', '10', String(process.pid)]); // and what it starts: the pairs' client
}
const echo = await play('echo.js', String((Number(values.limit) || 40_000) * messageBytes));
try {
  await runLoad('pubsub', target, options); // warm
  await compare();
} finally {
  echo.stop();
  await product.stop();
}

async function compare(): Promise<void> {
  const alone: Sample[] = [];
  const control = new Map<string, Sample[]>(names.map((name) => [name, []]));
  const beside = new Map<string, Sample[]>(names.map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    alone.push(await measure());
    for (const name of names) {
      const runs: (() => Promise<unknown>)[] = [
        async () => control.get(name)?.push(await disturbed(name, Number(echo.said))),
        async () => beside.get(name)?.push(await disturbed(name, target.port)),
      ];
      for (const run of round % 2 === 0 ? runs : runs.toReversed()) await run();
    }
  }
  print('left alone', alone);
  for (const name of names) {
    const controls = control.get(name) ?? [];
    print(`${offenders[name]}: control`, controls, alone, 'alone');
    print(offenders[name] ?? '', beside.get(name) ?? [], controls, 'control');
  }
  console.log(`load average ${load()}`);
}

async function measure(): Promise<Sample> {
  const before = waitedSeconds([brokerPid]);
  const startedAt = performance.now();
  const figures = await runLoad('pubsub', target, options);
  const waitedMs = ((waitedSeconds([brokerPid]) - before) * 1e6) / (performance.now() - startedAt);
  const mib = residentBytes([brokerPid]) / 2 ** 20;
  const { latency_p50_ms: p50 = NaN, latency_p99_ms: p99 = NaN, faults } = figures;
  return { p50, p99, waitedMs, mib, faults };
}

async function disturbed(name: string, port: number): Promise<Sample> {
  const offender = await play('offender.js', name, String(port), username, password);
  const sample = await measure();
  offender.stop();
  return sample;
}

/** A part of this benchmark in a process of its own, which has said that it is ready. */
async function play(file: string, ...args: string[]): Promise<{ readonly said: string; stop(): void }> {
  const command = [process.execPath, join(import.meta.dirname, 'support', file), ...args];
  const [program = '', ...rest] = values.realtime ? ['chrt', '--other', '0', ...command] : command;
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { said: said.toString().trim(), stop: () => child.stdin.end() };
}

function print(name: string, samples: readonly Sample[], others: readonly Sample[] = [], theirs = ''): void {
  const mib = samples.map((sample) => sample.mib);
  const faults = samples.reduce((sum, sample) => sum + sample.faults, 0);
  const figures = [
    ...(['p50', 'p99'] as const).map((figure) => {
      const ms = `${figure} ${median(samples.map((sample) => sample[figure])).toFixed(2)} ms`;
      const ratios = samples.map((sample, round) => sample[figure] / (others[round]?.[figure] ?? NaN));
      if (others.length === 0) return ms.padEnd(44);
      const [from, to] = medianRange(ratios).map((ratio) => ratio.toFixed(2));
      return `${ms}, ${median(ratios).toFixed(2)}× ${theirs} (${from} to ${to})`.padEnd(44);
    }),
    `waited ${median(samples.map(({ waitedMs }) => waitedMs)).toFixed(0)}`,
    `${show(median(mib))} MiB, at most ${show(Math.max(...mib))}`,
    ...(faults > 0 ? [`${faults} faulty`] : []),
  ];
  console.log(`${name.padEnd(42)} ${figures.map((figure) => figure.padEnd(12)).join(' ')}`);
}
