/**
 * `npm run bench queue [-- --sessions 1000 --messages 1000 --long 100000]`: durable sessions that are away while messages are
 * published for them at QoS 1 (each acknowledged when all of them are stored), and come back for them. Then one session with a
 * very long queue. Printed: messages a second both ways, what the store takes, and the broker's memory.
 */
import { parseArgs } from 'node:util';

import { Client } from 'pg';

import { show } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { cpuSeconds, residentBytes } from './support/processes.js';
import { startProduct } from './support/product.js';
import { type Connection, type Door, openAll, publishPacket, signIn } from './support/wire.js';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '1000' },
    messages: { type: 'string', default: '1000' },
    long: { type: 'string', default: '100000' },
    window: { type: 'string', default: '500' },
    dir: { type: 'string', default: '.' },
  },
});
const sessions = Number(values.sessions);
const messages = Number(values.messages);
const long = Number(values.long);
const payload = Buffer.alloc(100, 0x78);
const comebackConcurrency = 32;

console.log(`${machine()}; load average ${load()}`);
const product = await startProduct(values.dir, { maxQueuedMessages: Math.max(100_000, long) });
const { bootstrap, brokerPid } = product;
const { username, password } = bootstrap.open;
const door: Door = { port: bootstrap.mqtt.port, username, password };
const superuser = new Client({ connectionString: product.superuserUrl });
await superuser.connect();
try {
  await many();
  await one();
} finally {
  await superuser.end();
  await product.stop();
}

/** Every message is for all sessions: one payload in the store, and a row for each of them. */
async function many(): Promise<void> {
  await openAll(sessions, comebackConcurrency, (i) => leave(`away-${i}`, 'bench/all'));
  const written = await timed(() => publish('bench/all', messages));
  const deliveries = sessions * messages;
  console.log(
    `${show(sessions)} sessions × ${show(messages)} messages written: ${show(deliveries / written.seconds)} queued/s, ` +
      `${written.cpu.toFixed(1)} s of CPU, store ${await storeSize()}, broker at most ${written.mib} MiB`,
  );
  const drained = await timed(() =>
    openAll(sessions, comebackConcurrency, (i) => comeBack(`away-${i}`, messages)),
  );
  console.log(
    `drained: ${show(deliveries / drained.seconds)} messages/s, ${drained.cpu.toFixed(1)} s of CPU, broker at most ${drained.mib} MiB`,
  );
}

async function one(): Promise<void> {
  await leave('patient', 'bench/one');
  const written = await timed(() => publish('bench/one', long));
  console.log(`one session, ${show(long)} messages written: ${show(long / written.seconds)}/s`);
  const before = Math.round(residentBytes([brokerPid]) / 2 ** 20);
  const drained = await timed(() => comeBack('patient', long));
  console.log(
    `drained: ${show(long / drained.seconds)}/s, broker ${before} MiB before, at most ${drained.mib} MiB meanwhile; load average ${load()}`,
  );
}

/** Subscribes, and goes; the session stays. */
async function leave(clientId: string, filter: string): Promise<void> {
  const connection = await signIn(door, { clientId, filters: [filter], qos: 1, keepsSession: true });
  const gone = new Promise((resolve) => connection.socket.once('close', resolve));
  connection.send(Buffer.from([0xe0, 0]));
  await gone;
}

/** Returns when all are acknowledged. */
async function publish(topic: string, count: number): Promise<void> {
  const connection = await signIn(door, { clientId: 'publisher' });
  let sent = 0;
  let acknowledged = 0;
  await new Promise<void>((resolve) => {
    const pump = (): void => {
      for (; sent < count && sent - acknowledged < Number(values.window); sent++)
        connection.put(publishPacket(4, 1, (sent % 65_535) + 1, topic, payload));
      connection.flush();
    };
    connection.onPacket = () => {
      acknowledged += 1;
      if (acknowledged === count) resolve();
    };
    connection.onTurn = pump;
    pump();
  });
  connection.end();
}

/** Signs in again and takes everything that waited. */
async function comeBack(clientId: string, count: number): Promise<void> {
  let received = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const take = (connection: Connection): void => {
    connection.onPacket = (header, bytes, start) => {
      if (header >> 4 !== 3) return;
      connection.acknowledge(0x40, bytes, start + 2 + bytes.readUInt16BE(start));
      received += 1;
      if (received === count) resolve();
    };
  };
  const connection = await signIn(door, { clientId, keepsSession: true, onReady: take });
  await promise;
  connection.flush();
  connection.socket.end();
}

async function timed(
  work: () => Promise<unknown>,
): Promise<{ readonly seconds: number; readonly cpu: number; readonly mib: number }> {
  const pids = [brokerPid, ...product.postgresPids()];
  let most = 0;
  const look = setInterval(() => (most = Math.max(most, residentBytes([brokerPid]))), 100);
  const cpuBefore = cpuSeconds(pids);
  const start = performance.now();
  await work();
  clearInterval(look);
  return {
    seconds: (performance.now() - start) / 1000,
    cpu: cpuSeconds(pids) - cpuBefore,
    mib: Math.round(Math.max(most, residentBytes([brokerPid])) / 2 ** 20),
  };
}

async function storeSize(): Promise<string> {
  const { rows } = await superuser.query(
    `SELECT pg_size_pretty(pg_total_relation_size('queue_entries')) || ' entries, ' ||
      pg_size_pretty(pg_total_relation_size('queued_messages')) || ' messages' AS size`,
  );
  return String(rows[0].size);
}
