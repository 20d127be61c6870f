/**
 * `npm run bench store [-- --rows 100000 --rounds 5 --publishers 50 --window 200]`: JSON telemetry through the broker's store
 * alone, without MQTT before it, against a raw COPY of the same rows by one connection into the same table, turn by turn in the
 * same run. The store is given rows as the core gives them: each publisher has so many unacknowledged, and sends the next when
 * one is committed. COPY runs as superuser, for whom row security does not hold; PostgreSQL refuses it to a role for whom it does.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';

import { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

import type { ClientId, Journal, Message, Principal, TenantId } from '#mqtt';
import { type BrokerStore, migrate, openBrokerStore, startEmbeddedPostgres } from '#store';

import { at, median, show } from './support/figures.js';
import { type Disk, diskOf } from './support/machine.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
    publishers: { type: 'string', default: '50' },
    window: { type: 'string', default: '200' },
    dir: { type: 'string', default: '.' },
  },
});
const rows = Number(values.rows);
const rounds = Number(values.rounds);
const publishers = Number(values.publishers);
const window = Number(values.window);

const firstTime = Date.UTC(2026, 0, 1);
const tenantId = randomUUID() as TenantId;
const principals = Array.from({ length: publishers }, (_, i): Principal => {
  const deviceId = randomUUID();
  const clientId = `meter-${i}` as ClientId;
  return { tenantId, deviceId, credentialId: deviceId, username: clientId, clientId };
});

// Not in the system's temporary directory: that is often memory, and the question is what a disk does.
const dataDir = await mkdtemp(resolve(values.dir, '.bench-store-'));
try {
  const disk = await diskOf(dataDir);
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await run(postgres.url, disk);
  } finally {
    await postgres.stop();
  }
} finally {
  await rm(dataDir, { recursive: true, force: true });
}

async function run(url: string, disk: Disk): Promise<void> {
  const { brokerUrl } = await migrate({ url, secretKey: randomBytes(32) });
  const superuser = new Client({ connectionString: url });
  await superuser.connect();
  const store = await openBrokerStore({
    url: brokerUrl,
    processId: randomUUID(),
    onLeaseLost: () => {
      throw new Error('the lease was lost');
    },
    onTrouble: (error) => console.error(String(error)),
  });
  try {
    await measure(superuser, store, disk);
  } finally {
    await store.close();
    await superuser.end();
  }
}

async function measure(superuser: Client, store: BrokerStore, disk: Disk): Promise<void> {
  console.log(
    `fsync ${await setting(superuser, 'fsync')}, synchronous_commit ${await setting(superuser, 'synchronous_commit')}, ` +
      `${await setting(superuser, 'server_version')}, ${disk.type} on ${disk.device}; ` +
      `${publishers} publishers, window ${window}, ${rows} rows a round`,
  );
  const writer: number[] = [];
  const copy: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const copied = await copyRound(superuser, round * 2);
    const written = await writerRound(store.journal, round * 2 + 1);
    // The first round warms both up.
    if (round === 0) continue;
    copy.push(copied);
    writer.push(written.rate);
    console.log(
      `round ${round}: writer ${show(written.rate)} rows/s, PUBACK p50 ${written.p50.toFixed(1)} ms p99 ${written.p99.toFixed(1)} ms · ` +
        `COPY ${show(copied)} rows/s · ratio ${(written.rate / copied).toFixed(2)}`,
    );
  }
  const { batches, operations } = store.stats;
  console.log(
    `median: writer ${show(median(writer))} rows/s, COPY ${show(median(copy))} rows/s, ratio ${(median(writer) / median(copy)).toFixed(2)}; ` +
      `${(operations / batches).toFixed(0)} rows a commit`,
  );
  const { rows: counted } = await superuser.query('SELECT count(*)::int AS count FROM telemetry');
  const expected = rows * (rounds + 1) * 2;
  console.log(`stored ${show(counted[0].count)} of ${show(expected)}`);
  if (counted[0].count !== expected) process.exitCode = 1;
}

function messageOf(principal: Principal, i: number, receivedAt: number): Message {
  return {
    topic: `devices/${principal.clientId}/telemetry`,
    payload: Buffer.from(
      `{"activePowerW":${400 + (i % 100)}.5,"energyKWh":${10_000 + i}.118,"voltageV":230.4,"currentA":1.79,"at":${receivedAt}}`,
    ),
    qos: 1,
    retain: false,
    properties: undefined,
    publisher: principal.clientId,
    receivedAt,
    expiresAt: undefined,
  };
}

interface Written {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

function writerRound(journal: Journal, round: number): Promise<Written> {
  const latencies = new Float64Array(rows);
  let sent = 0;
  let stored = 0;
  return new Promise((done, failed) => {
    const start = performance.now();
    const publish = (principal: Principal): void => {
      if (sent === rows) return;
      const i = sent++;
      const message = messageOf(principal, i, firstTime + round * rows + i);
      const sentAt = performance.now();
      journal.telemetry({ principal, message, timeField: 'at' }, (error) => {
        if (error) return failed(error);
        latencies[stored++] = performance.now() - sentAt;
        if (stored < rows) return publish(principal);
        const seconds = (performance.now() - start) / 1000;
        latencies.sort();
        done({ rate: rows / seconds, p50: at(latencies, 0.5), p99: at(latencies, 0.99) });
      });
    };
    for (let w = 0; w < window; w++) for (const principal of principals) publish(principal);
  });
}

/** One statement, one transaction, its text ready before the clock starts. */
async function copyRound(client: Client, round: number): Promise<number> {
  const chunks: Buffer[] = [];
  let text = '';
  for (let i = 0; i < rows; i++) {
    const principal = principals[i % publishers]!;
    const { topic, payload, receivedAt } = messageOf(principal, i, firstTime + round * rows + i);
    const time = new Date(receivedAt).toISOString();
    text += `${tenantId}\t${principal.deviceId}\t${time}\t${time}\t${topic}\t${payload.toString()}\t1\n`;
    if (text.length < 64 * 1024) continue;
    chunks.push(Buffer.from(text));
    text = '';
  }
  chunks.push(Buffer.from(text));
  const start = performance.now();
  await pipeline(
    chunks,
    client.query(
      copyFrom(
        'COPY telemetry (tenant_id, device_id, received_at, observed_at, topic, body, qos) FROM STDIN',
      ),
    ),
  );
  return rows / ((performance.now() - start) / 1000);
}

async function setting(client: Client, name: string): Promise<string> {
  const { rows } = await client.query('SELECT current_setting($1) AS value', [name]);
  return String(rows[0].value);
}
