/**
 * `npm run bench connections [-- --only tcp|tls|mutual --conns 4000 --tls 500 --warm 3000 --rounds 3]`: what a sign-in costs. Over TCP with a
 * password, under client identifiers that are new and under those that came before: how many a second, and processor time of broker and
 * PostgreSQL for one of them, without and with its departure. Over TLS with a password and over mutual TLS with a certificate:
 * processor time against that of a bare Node TLS server, which answers anything with CONNACK, turn by turn; over TLS also against one whose
 * handshake is like ours, all of them after `--warm` sign-ins, for a process that has just started compiles. `--only` runs one part, in a minute or two. What a connection holds while it is idle: `npm run bench idle`.
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
    only: { type: 'string' },
    conns: { type: 'string', default: '4000' },
    tls: { type: 'string', default: '500' },
    warm: { type: 'string', default: '3000' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
  },
});
const parts = { tcp: overTcp, tls: overTls, mutual: overMutualTls };
const { only } = values;
if (only !== undefined && !(only in parts)) throw new Error(`--only ${Object.keys(parts).join('|')}`);
const rounds = Number(values.rounds);

console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir);
const { bootstrap, brokerPid, dataDir } = product;
const { username, password } = bootstrap.open;
const pids = [brokerPid];
const again = '--client-id bench-%d'; // left to itself, the client in C has new ones each time
const ca = `--cafile ${bootstrap.mqtts.ca ?? ''} --servername localhost`;
try {
  for (const [name, part] of Object.entries(parts)) if (name === (only ?? name)) await part(product);
} finally {
  await product.stop();
}
console.log(`load average ${load()}`);

/** Departures of the run before, which PostgreSQL has to write down too, are none of the next one's. */
function settled(): Promise<void> {
  return quiet([...pids, ...product.postgresPids()], 20_000);
}

/** Milliseconds of processor time for one connection, from before it came until after it has gone. */
interface Whole {
  readonly figures: Figures;
  readonly broker: number;
  readonly postgres: number;
}

async function comeAndGo(target: Target, options: string): Promise<Whole> {
  await settled();
  const postgresPids = product.postgresPids();
  const [broker, postgres] = [cpuSeconds(pids), cpuSeconds(postgresPids)];
  const figures = await runLoad('connect', target, options);
  await settled();
  const each = (seconds: number): number => (seconds * 1000) / (figures['connected'] ?? NaN);
  return {
    figures,
    broker: each(cpuSeconds(pids) - broker),
    postgres: each(cpuSeconds(postgresPids) - postgres),
  };
}

async function overTcp(): Promise<void> {
  const target: Target = { port: bootstrap.mqtt.port, username, password, pids };
  const options = `--conns ${values.conns} --concurrency 64`;
  const [firsts, agains]: [Whole[], Whole[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    const first = await comeAndGo(target, `${options} --client-id new-${round}-%d`);
    const known = await comeAndGo(target, `${options} ${again}`);
    if (round === 0) continue; // it warms the broker up, and makes its clients known
    firsts.push(first);
    agains.push(known);
  }
  tell('under new client identifiers', firsts);
  tell('under those of before', agains);
}

function tell(what: string, runs: readonly Whole[]): void {
  const of = (key: string): number => median(runs.map(({ figures }) => figures[key] ?? NaN));
  const broker = median(runs.map((run) => run.broker));
  const postgres = median(runs.map((run) => run.postgres));
  console.log(
    `TCP, ${what}: ${show(of('connects_per_s'))} sign-ins/s, p99 ${of('connect_p99_ms').toFixed(1)} ms; ` +
      `${of('broker_cpu_ms_per_connect').toFixed(3)} ms of the broker's CPU each; ` +
      `with the departure ${broker.toFixed(3)}, and ${postgres.toFixed(3)} of PostgreSQL's${faultsOf(runs.map(({ figures }) => figures))}`,
  );
}

async function overTls(): Promise<void> {
  const target: Target = { port: bootstrap.mqtts.port, username, password, pids };
  const options = `--concurrency 32 ${ca}`;
  const bare = await startBare();
  await compare('TLS', [target, `${options} ${again}`], [bare.target, options]);
  bare.stop();
  const alike = await startBare('alike');
  await compare(
    'TLS, a bare server with the same handshake',
    [target, `${options} ${again}`],
    [alike.target, options],
  );
  alike.stop();
}

async function overMutualTls(started: Product): Promise<void> {
  const own = await issueClientCertificate(started);
  const bare = await startBare(own.ca);
  const options = `--concurrency 32 ${ca} --cert ${own.cert} --key ${own.key}`;
  const target: Target = { port: bootstrap.mqtts.port, pids };
  await compare('mutual TLS', [target, `${options} ${again}`], [bare.target, options]);
  bare.stop();
}

/** Both are warm. The bare server comes before and after each run of ours: the machine's own pace moves from one to the next. */
async function compare(
  what: string,
  ours: readonly [Target, string],
  bare: readonly [Target, string],
): Promise<void> {
  const each = async ([target, options]: readonly [Target, string], conns = values.tls): Promise<number> => {
    await settled();
    const figures = await runLoad('connect', target, `--conns ${conns} ${options}`);
    if (figures.faults > 0) console.log(`${what}: the client met with faults`);
    return figures['broker_cpu_ms_per_connect'] ?? NaN;
  };
  await each(ours, values.warm);
  await each(bare, values.warm);
  let before = await each(bare);
  const [mine, theirs, ratios]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < 2 * rounds; round++) {
    const own = await each(ours);
    const after = await each(bare);
    const base = (before + after) / 2;
    mine.push(own);
    theirs.push(base);
    ratios.push(own / base);
    before = after;
  }
  console.log(
    `${what}: ${median(mine).toFixed(2)} ms of CPU a sign-in, a bare Node TLS server ${median(theirs).toFixed(2)}: ` +
      `${median(ratios).toFixed(2)}× (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')})`,
  );
}

function faultsOf(figures: readonly Figures[]): string {
  return figures.some(({ faults }) => faults > 0) ? '; the client met with faults' : '';
}

async function startBare(...handshake: readonly string[]): Promise<{ target: Target; stop: () => void }> {
  const port = await freePort();
  const files = [`${dataDir}/tls/server.crt`, `${dataDir}/tls/server.key`, ...handshake];
  const child = fork(join(import.meta.dirname, 'support/bare-tls.js'), [String(port), ...files]);
  await once(child, 'message');
  return { target: { port, pids: [child.pid ?? 0] }, stop: () => child.kill() };
}
