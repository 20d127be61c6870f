/**
 * `npm run bench ingest [-- --rounds 3 --seconds 5 --rows 100000]`: JSON telemetry at QoS 1 into the product as it is started;
 * PUBACK means committed. By 50 publishers with a window of 200 and by 1 000 publishers, against a raw COPY of the same rows by
 * one connection into the same table, turn by turn in the same run; and at 5 000 messages a second, for the time to PUBACK.
 *
 * COPY runs as superuser, for whom row security does not hold, and it has nobody to answer. It is the disk's and the table's
 * own speed, no rival: PostgreSQL refuses COPY to a role for whom row security holds, and the broker's is such a role.
 */
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';

import { Client } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';

import { median, show } from './support/figures.js';
import { clientName, runLoad, type Figures, type Target } from './support/load.js';
import { diskOf, load, machine } from './support/machine.js';
import { waitedSeconds } from './support/processes.js';
import { startProduct } from './support/product.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    rows: { type: 'string', default: '100000' },
    dir: { type: 'string', default: '.' },
  },
});

const columns = 'tenant_id, device_id, received_at, observed_at, topic, body, qos';
const reading = '--topic devices/open/telemetry --subs 0 --payload-json --size 120 --qos-pub 1';
const forms: Readonly<Record<string, string>> = {
  '50 publishers, window 200': `${reading} --pubs 50 --window 200`,
  '1 000 publishers, window 20': `${reading} --pubs 1000 --window 20`,
  '5 000/s': `${reading} --pubs 50 --window 200 --rate 5000`,
};

console.log(`${machine()}; ${clientName}; load average ${load()}`);
const product = await startProduct(values.dir);
const superuser = new Client({ connectionString: product.superuserUrl });
await superuser.connect();
try {
  await sayWhatItStandsOn();
  await compare();
} finally {
  await superuser.end();
  await product.stop();
}

async function sayWhatItStandsOn(): Promise<void> {
  const { rows } = await superuser.query(
    "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit",
  );
  const { version, fsync, commit } = rows[0];
  const disk = await diskOf(product.dataDir);
  console.log(`PostgreSQL ${version}, fsync ${fsync}, synchronous_commit ${commit}, ${disk.type}`);
}

async function compare(): Promise<void> {
  const runs = new Map<string, (Figures & { readonly waited: number })[]>();
  const copies: number[] = [];
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [form, options] of Object.entries(forms)) {
      const figures = await publish(options);
      if (round > 0) runs.set(form, [...(runs.get(form) ?? []), figures]); // the first warms everything up
    }
    const copied = await copyRound();
    if (round > 0) copies.push(copied);
  }
  const copy = median(copies);
  console.log(`raw COPY: ${show(copy)} rows/s`);
  for (const [form, figures] of runs) {
    const of = (key: string): number => median(figures.map((run) => run[key] ?? NaN));
    console.log(
      `${form.padEnd(28)} ${show(of('acked_per_s')).padStart(7)} rows/s, ${(of('acked_per_s') / copy).toFixed(2)} of COPY; ` +
        `PUBACK p50 ${of('ack_p50_ms').toFixed(1)} ms, p99 ${of('ack_p99_ms').toFixed(1)} ms; ` +
        `${show(of('msgs_per_broker_cpu_s'))} a second of CPU, for which broker and PostgreSQL waited ${of('waited').toFixed(1)} s of ${values.seconds}; ` +
        `load ${load()}${figures.some(({ faults }) => faults > 0) ? ', faulty' : ''}`,
    );
  }
}

async function publish(options: string): Promise<Figures & { readonly waited: number }> {
  const { username, password } = product.bootstrap.open;
  const pids = [product.brokerPid, ...product.postgresPids()];
  const target: Target = { port: product.bootstrap.mqtt.port, username, password, pids };
  const before = waitedSeconds(pids);
  const figures = await runLoad('pubsub', target, `${options} --duration ${values.seconds}`);
  return { ...figures, waited: waitedSeconds(pids) - before };
}

/** The rows that were just ingested once more: read out, then one statement and one transaction. */
async function copyRound(): Promise<number> {
  const chunks: Buffer[] = [];
  const newest = `SELECT ${columns} FROM telemetry ORDER BY id DESC LIMIT ${Number(values.rows)}`;
  for await (const chunk of superuser.query(copyTo(`COPY (${newest}) TO STDOUT`)))
    chunks.push(chunk as Buffer);
  const start = performance.now();
  const copying = superuser.query(copyFrom(`COPY telemetry (${columns}) FROM STDIN`));
  await pipeline(chunks, copying);
  return copying.rowCount / ((performance.now() - start) / 1000);
}
