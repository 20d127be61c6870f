/**
 * `npm run bench neighbours [-- --seconds 120 --phase 400 --settle 60 --limit 2000 --only NAME --both]`: what one tenant's worst clients do
 * to its others. The product runs twice. Twenty pairs of each exchange five hundred messages a second (`support/pairs.ts`) without a
 * break, and the phases change beneath them: one of the offenders of `support/offender.ts` speaks to the one broker, to the
 * other, or to neither. The broker that it does not speak to is the control: an offender, and whoever reads what it is sent, use
 * processor time of their own, and on a machine with two cores the pairs' client and the brokers get less of it. Offenders stand for
 * other machines, so whoever else wants their core has it at once (`chrt --idle`).
 *
 * A p99 of milliseconds is the machine's as much as the broker's, and moves by a factor from one second to the next. So both brokers are
 * measured at the same moments, and change their parts every `--phase` ms, in an order drawn anew each turn, without the first
 * `--settle` of each, in which what was offered before is done. All latencies of a part are counted together, over `--seconds` an
 * offender.
 *
 * Printed: p50, p90 and p99 of each part, how many times the control's they are beside the offender, and where that ratio lies with 95 %
 * confidence (the turns drawn again and again). `--both`: an offender speaks to each, so that the ratios should be 1: what cannot be told
 * from it. `ran`: how much of the time the broker's loop was at work; `waited`: how much of it that could have been and had no core;
 * where that is much, the machine was measured. At last the most memory the broker had.
 *
 * `--limit`: messages a second from one connection (the tenant's `publishRate`); 0: none.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { bootstrapRange, Grouped, mean, show } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { Pairs } from './support/pairs.js';
import { ranSeconds, residentBytes, waitedSeconds } from './support/processes.js';
import { startProduct } from './support/product.js';
import type { Door } from './support/wire.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    phase: { type: 'string', default: '400' },
    settle: { type: 'string', default: '60' },
    limit: { type: 'string', default: '2000' },
    only: { type: 'string' },
    dir: { type: 'string', default: '.' },
    both: { type: 'boolean', default: false },
  },
});

const offenders: Readonly<Record<string, string>> = {
  stalls: 'a subscriber stops reading',
  floods: 'a publisher floods',
  'thousand-levels': 'topics of a thousand levels',
  'ten-thousand-subscriptions': 'ten thousand subscriptions',
  'overlapping-wildcards': 'a hundred overlapping wildcards',
};
/** Whom the offender speaks to in a phase: one of the two brokers, or nobody. */
const hosts = [0, 1, 0, 1, undefined] as const;
type Host = (typeof hosts)[number];

/** One phase without its beginning, and of each broker what share of it its loop ran, could not run, and how much memory it had. */
interface Phase {
  readonly host: Host;
  readonly from: number;
  readonly to: number;
  readonly ran: readonly number[];
  readonly waited: readonly number[];
  readonly mib: readonly number[];
}

/** Which broker, in which phases: both where nobody disturbs either, else the one that has the offender, or the other. */
const kinds: Readonly<Record<string, (broker: number, host: Host) => boolean>> = {
  'left alone': (_, host) => host === undefined,
  control: (broker, host) => host === 1 - broker,
  offender: (broker, host) => host === broker,
};

console.log(`${machine()}; load average ${load()}`);
const limits = { publishRate: Number(values.limit) };
const products = [await startProduct(values.dir, limits), await startProduct(values.dir, limits)];
const pids = products.map(({ brokerPid }) => brokerPid);
const doors = products.map(({ bootstrap: { mqtt, open } }): Door => ({ port: mqtt.port, ...open }));
try {
  for (const name of Object.keys(offenders)) {
    if (values.only === undefined || name === values.only) await compare(name);
  }
} finally {
  for (const product of products) await product.stop();
}

async function compare(name: string): Promise<void> {
  const players = await Promise.all(doors.map((door) => play(name, door)));
  const pairs = await Pairs.open(doors, (Number(values.seconds) + 10) * 1000);
  pairs.start();
  await sleep(3_000); // warm

  const turns: Phase[][] = [];
  const until = performance.now() + Number(values.seconds) * 1000;
  while (performance.now() < until) {
    const turn: Phase[] = [];
    for (const host of shuffled(hosts)) {
      const playing = host === undefined ? [] : players.filter((_, broker) => values.both || broker === host);
      for (const player of playing) player.say('on');
      turn.push(await phase(host));
      for (const player of playing) player.say('off');
    }
    turns.push(turn);
  }
  pairs.stop();
  await sleep(1_000); // the last of them
  for (const player of players) player.stop();
  pairs.close();
  print(name, turns, pairs);
}

async function phase(host: Host): Promise<Phase> {
  const settleMs = Number(values.settle);
  await sleep(settleMs);
  const from = performance.now();
  const before = pids.map((pid) => ({ ran: ranSeconds([pid]), waited: waitedSeconds([pid]) }));
  await sleep(Number(values.phase) - settleMs);
  const to = performance.now();
  const seconds = (to - from) / 1000;
  return {
    host,
    from,
    to,
    ran: pids.map((pid, broker) => (ranSeconds([pid]) - (before[broker]?.ran ?? NaN)) / seconds),
    waited: pids.map((pid, broker) => (waitedSeconds([pid]) - (before[broker]?.waited ?? NaN)) / seconds),
    mib: pids.map((pid) => residentBytes([pid]) / 2 ** 20),
  };
}

function print(name: string, turns: readonly (readonly Phase[])[], pairs: Pairs): void {
  console.log(offenders[name]);
  const once = new Uint32Array(turns.length).fill(1);
  const samples = Object.entries(kinds).map(([kind, isOne]) => {
    const seen = turns.map((turn) =>
      turn
        .flatMap((phase) => pids.map((_, broker) => ({ phase, broker })))
        .filter(({ phase, broker }) => isOne(broker, phase.host)),
    );
    const latencies = seen.map((turn) =>
      turn.flatMap(({ phase, broker }) => pairs.between(broker, phase.from, phase.to)),
    );
    const all = seen.flat();
    const each = (figure: 'ran' | 'waited' | 'mib'): number[] =>
      all.map(({ phase, broker }) => phase[figure][broker] ?? NaN);
    return {
      kind,
      latency: new Grouped(latencies),
      ran: mean(each('ran')),
      waited: mean(each('waited')),
      mib: Math.max(...each('mib')),
    };
  });
  const control = samples.find(({ kind }) => kind === 'control')?.latency;
  for (const { kind, latency, ran, waited, mib } of samples) {
    const figures = [0.5, 0.9, 0.99].map((share) => {
      const ms = `p${share * 100} ${latency.at(share, once).toFixed(3)} ms`;
      if (kind !== 'offender') return ms.padEnd(36);
      const ratio = (times: ArrayLike<number>): number =>
        latency.at(share, times) / (control?.at(share, times) ?? NaN);
      const [from, to] = bootstrapRange(turns.length, ratio).map((end) => end.toFixed(2));
      return `${ms}, ${ratio(once).toFixed(2)} (${from} to ${to})`.padEnd(36);
    });
    console.log(
      `  ${kind.padEnd(11)}${figures.join(' ')} ran ${ran.toFixed(2)}, waited ${waited.toFixed(2)}; at most ${show(mib)} MiB`,
    );
  }
  console.log(
    `  ${show(pairs.sent)} messages, ${pairs.lost} lost, ${turns.length} turns; load average ${load()}`,
  );
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

interface Player {
  say(line: 'on' | 'off'): void;
  stop(): void;
}

/** An offender in a process of its own, which is signed in. Whoever else wants its core has it at once. */
async function play(name: string, { port, username = '', password = '' }: Door): Promise<Player> {
  const file = join(import.meta.dirname, 'support/offender.js');
  const command = [process.execPath, file, name, String(port), username, password, values.limit];
  const child = spawn('chrt', ['--idle', '0', ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    say: (line) => child.stdin.write(`${line}\n`),
    stop: () => child.stdin.end(),
  };
}
