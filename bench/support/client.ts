/**
 * A small MQTT client for measuring brokers, in a process of its own: raw sockets, packets laid together, no checking. It takes
 * the options, and prints the figures, of the C client that MQTTBENCH may name instead, as far as the benchmarks use them:
 *
 *   pubsub   closed loop: a publisher has so many messages unacknowledged and undelivered, and no more
 *   connect  opens connections, so many at a time, and holds them
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { at } from './figures.js';
import { cpuSeconds, residentBytes } from './processes.js';
import { type Connection, type Door, noProperties, openAll, publishPacket, signIn } from './wire.js';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '1883' },
    version: { type: 'string', short: 'V', default: '4' },
    pubs: { type: 'string', default: '1' },
    subs: { type: 'string', default: '1' },
    topic: { type: 'string', default: 'bench/%d' },
    filter: { type: 'string', default: 'bench/#' },
    fan: { type: 'string' },
    size: { type: 'string', default: '64' },
    'payload-json': { type: 'boolean', default: false },
    'qos-pub': { type: 'string', default: '0' },
    'qos-sub': { type: 'string', default: '0' },
    window: { type: 'string', default: '64' },
    rate: { type: 'string', default: '0' },
    duration: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '1' },
    user: { type: 'string' },
    pass: { type: 'string' },
    'client-id': { type: 'string', default: 'bench-%d' },
    cafile: { type: 'string' },
    servername: { type: 'string' },
    conns: { type: 'string', default: '1000' },
    concurrency: { type: 'string', default: '64' },
    hold: { type: 'string', default: '0' },
    'broker-pid': { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});
const options = {
  ...given,
  port: Number(given.port),
  version: Number(given.version),
  pubs: Number(given.pubs),
  subs: Number(given.subs),
  fan: Number(given.fan ?? given.subs),
  size: Math.max(given['payload-json'] ? 120 : 20, Number(given.size)),
  qosPub: Number(given['qos-pub']),
  qosSub: Number(given['qos-sub']),
  window: Number(given.window),
  rate: Number(given.rate),
  pids: given['broker-pid'].split(',').filter(Boolean).map(Number),
  ca: given.cafile === undefined ? undefined : readFileSync(given.cafile),
};

const largestWrite = 64 * 1024;
const ratedTickMs = 2;
const drainMs = 10_000;

const door: Door = {
  host: options.host,
  port: options.port,
  version: options.version,
  username: options.user,
  password: options.pass,
  ca: options.ca,
  servername: options.servername,
};
const concurrency = Number(options.concurrency);

const numbered = (template: string, index: number): string => template.replace('%d', String(index));

let isEnding = false;
let closedByBroker = 0;
let errors = 0;

function enter(clientId: string, filter?: string): Promise<Connection> {
  return signIn(door, {
    clientId,
    filters: filter === undefined ? [] : [filter],
    qos: options.qosSub,
    onClosed: () => {
      if (!isEnding) closedByBroker += 1;
    },
  });
}

// ------------------------------------------------------------------------------------------- publishers and subscribers

/** Latencies, in microseconds, of the time that is measured. */
const delivered: number[] = [];
const acknowledged: number[] = [];
const mostSamples = 2_000_000;
let isMeasuring = false;
let counts = { published: 0, delivered: 0, acknowledged: 0 };
let outOfOrder = 0;

/** Publisher, sequence and time stand at the payload's start, in binary; or behind one another in decimal, in JSON. */
const jsonStart = '{"p":000000,"seq":00000000000,"t":000000000000000,"temperature":21.5,"pad":"';

function payloadTemplate(): Buffer {
  if (!options['payload-json']) return Buffer.alloc(options.size, 0x78);
  return Buffer.from(`${jsonStart.padEnd(options.size - 2, 'x')}"}`);
}

function writeDigits(bytes: Buffer, start: number, count: number, value: number): void {
  let left = value;
  for (let digit = start + count - 1; digit >= start; digit--) {
    bytes[digit] = 0x30 + (left % 10);
    left = Math.floor(left / 10);
  }
}

class Publisher {
  readonly #connection: Connection;
  readonly #index: number;
  readonly #frame: Buffer;
  readonly #idAt: number;
  readonly #payloadAt: number;
  readonly #sentAt = new Float64Array(65_536);
  sent = 0;
  acknowledged = 0;
  delivered = 0;

  constructor(connection: Connection, index: number) {
    this.#connection = connection;
    this.#index = index;
    const { version, qosPub } = options;
    const payload = payloadTemplate();
    this.#frame = publishPacket(version, qosPub, 0, numbered(options.topic, index), payload);
    this.#payloadAt = this.#frame.length - payload.length;
    this.#idAt = this.#payloadAt - noProperties(version).length - 2; // where there is one
    connection.onPacket = (header, bytes, start) => this.#onPacket(header, bytes, start);
    connection.onTurn = () => this.pump(Infinity);
  }

  #onPacket(header: number, bytes: Buffer, start: number): void {
    switch (header >> 4) {
      case 5:
        return this.#connection.acknowledge(0x62, bytes, start);
      case 4:
      case 7:
        this.acknowledged += 1;
        if (!isMeasuring) return;
        counts.acknowledged += 1;
        if (acknowledged.length < mostSamples)
          acknowledged.push((performance.now() - (this.#sentAt[bytes.readUInt16BE(start)] ?? 0)) * 1000);
        return;
      default:
        errors += 1;
    }
  }

  /** Publishes what the window allows, at most so many; returns how many. */
  pump(most: number): number {
    if (options.rate > 0 && most === Infinity) return 0; // the clock says when
    let published = 0;
    const now = performance.now();
    const { window, fan, qosPub } = options;
    while (published < most && this.#connection.waitingBytes < largestWrite) {
      if (qosPub > 0 && this.sent - this.acknowledged >= window) break;
      if (fan > 0 && this.sent * fan - this.delivered >= window * fan) break;
      this.#publish(now);
      published += 1;
      if (qosPub === 0 && fan === 0 && published >= window) break;
    }
    return published;
  }

  #publish(now: number): void {
    const sequence = this.sent++;
    const frame = this.#frame;
    const { out, at: start } = this.#connection.room(frame.length);
    frame.copy(out, start);
    if (options.qosPub > 0) {
      const id = (sequence % 65_535) + 1;
      this.#sentAt[id] = now;
      out.writeUInt16BE(id, start + this.#idAt);
    }
    const payloadAt = start + this.#payloadAt;
    if (options['payload-json']) {
      writeDigits(out, payloadAt + 5, 6, this.#index);
      writeDigits(out, payloadAt + 18, 11, sequence);
      writeDigits(out, payloadAt + 34, 15, Math.round(now * 1000));
    } else {
      out.writeUInt32LE(this.#index, payloadAt);
      out.writeDoubleLE(sequence, payloadAt + 4);
      out.writeDoubleLE(now, payloadAt + 12);
    }
    if (isMeasuring) counts.published += 1;
  }

  flush(): void {
    this.#connection.flush();
  }
}

const publishers: Publisher[] = [];
/** Those that may go on because something of theirs was delivered in this turn. */
const woken = new Set<Publisher>();

function wake(): void {
  for (const publisher of woken) if (publisher.pump(Infinity) > 0) publisher.flush();
  woken.clear();
}

function subscribe(connection: Connection): void {
  const next = new Float64Array(options.pubs);
  connection.onPacket = (header, bytes, start) => {
    const type = header >> 4;
    if (type === 6) return connection.acknowledge(0x70, bytes, start);
    if (type !== 3) return void (errors += 1);
    const qos = (header >> 1) & 3;
    let position = start + 2 + bytes.readUInt16BE(start);
    if (qos > 0) {
      connection.acknowledge(qos === 1 ? 0x40 : 0x50, bytes, position);
      position += 2;
    }
    if (options.version === 5) position += 1 + (bytes[position] ?? 0);
    received(bytes, position, next);
  };
  connection.onTurn = () => setImmediate(wake);
}

function received(bytes: Buffer, position: number, next: Float64Array): void {
  const index = bytes.readUInt32LE(position);
  const sequence = bytes.readDoubleLE(position + 4);
  const publisher = publishers[index];
  if (publisher === undefined) return;
  if (sequence !== next[index]) outOfOrder += 1;
  next[index] = sequence + 1;
  publisher.delivered += 1;
  woken.add(publisher);
  if (!isMeasuring) return;
  counts.delivered += 1;
  if (delivered.length < mostSamples)
    delivered.push((performance.now() - bytes.readDoubleLE(position + 12)) * 1000);
}

async function pubsub(): Promise<Record<string, number>> {
  const id = options['client-id'];
  const subscribers = await openAll(options.subs, concurrency, (i) =>
    enter(`${numbered(id, i)}-sub`, numbered(options.filter, i)),
  );
  subscribers.forEach(subscribe);
  const connections = await openAll(options.pubs, concurrency, (i) => enter(numbered(id, i)));
  connections.forEach((connection, i) => publishers.push(new Publisher(connection, i)));
  const stop = options.rate > 0 ? publishAtRate() : publishFreely();

  await sleep(Number(options.warmup) * 1000);
  isMeasuring = true;
  const startedAt = performance.now();
  const cpuBefore = cpuSeconds(options.pids);
  const ownBefore = process.cpuUsage();
  await sleep(Number(options.duration) * 1000);
  isMeasuring = false;
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = cpuSeconds(options.pids) - cpuBefore;
  const own = process.cpuUsage(ownBefore);
  stop();
  const memory = residentBytes(options.pids);
  await drain();
  const sent = publishers.reduce((sum, publisher) => sum + publisher.sent, 0);
  const arrived = publishers.reduce((sum, publisher) => sum + publisher.delivered, 0);
  const settled = publishers.reduce((sum, publisher) => sum + publisher.acknowledged, 0);
  const work =
    options.fan > 0 ? counts.delivered : options.qosPub > 0 ? counts.acknowledged : counts.published;
  return {
    published_per_s: counts.published / seconds,
    acked_per_s: counts.acknowledged / seconds,
    delivered_per_s: counts.delivered / seconds,
    broker_cpu_s: cpu,
    msgs_per_broker_cpu_s: work / cpu,
    broker_cores: cpu / seconds,
    broker_peak_rss_mb: memory / 2 ** 20,
    client_cpu_s: (own.user + own.system) / 1e6,
    sent_total: sent,
    lost: sent * options.fan - arrived,
    unacked: options.qosPub > 0 ? sent - settled : 0,
    duplicates_or_disorder: outOfOrder,
    ...quantiles('latency', delivered),
    ...quantiles('ack', acknowledged),
  };
}

/** As fast as the windows allow. Without subscribers and acknowledgements nothing comes back: then turn by turn. */
function publishFreely(): () => void {
  let isStopped = false;
  const turn = (): void => {
    if (isStopped) return;
    for (const publisher of publishers) if (publisher.pump(Infinity) > 0) publisher.flush();
    if (options.qosPub === 0 && options.fan === 0) setImmediate(turn);
  };
  turn();
  return () => {
    isStopped = true;
    options.window = 0;
  };
}

function publishAtRate(): () => void {
  let allowance = 0;
  let asOf = performance.now();
  let turn = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    allowance = Math.min(allowance + ((now - asOf) * options.rate) / 1000, options.rate / 10);
    asOf = now;
    for (let tries = 0; allowance >= 1 && tries < publishers.length;) {
      const publisher = publishers[turn++ % publishers.length] as Publisher;
      const published = publisher.pump(1);
      allowance -= published;
      tries = published > 0 ? 0 : tries + 1;
    }
    for (const publisher of publishers) publisher.flush();
  }, ratedTickMs);
  return () => clearInterval(timer);
}

async function drain(): Promise<void> {
  const deadline = performance.now() + drainMs;
  const isDone = (publisher: Publisher): boolean =>
    publisher.delivered >= publisher.sent * options.fan &&
    (options.qosPub === 0 || publisher.acknowledged >= publisher.sent);
  while (!publishers.every(isDone) && performance.now() < deadline) await sleep(5);
}

// ------------------------------------------------------------------------------------------------------------- sign-ins

async function connect(): Promise<Record<string, number>> {
  const times: number[] = [];
  const memoryBefore = residentBytes(options.pids);
  const cpuBefore = cpuSeconds(options.pids);
  const startedAt = performance.now();
  const count = Number(options.conns);
  await openAll(count, concurrency, async (i) => {
    const from = performance.now();
    const connection = await enter(numbered(options['client-id'], i));
    times.push((performance.now() - from) * 1000);
    return connection;
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = cpuSeconds(options.pids) - cpuBefore;
  await sleep(2_000 + Number(options.hold) * 1000);
  return {
    connected: count,
    connects_per_s: count / seconds,
    broker_cpu_ms_per_connect: (cpu * 1000) / count,
    broker_kib_per_connection: (residentBytes(options.pids) - memoryBefore) / 1024 / count,
    ...quantiles('connect', times),
  };
}

// ---------------------------------------------------------------------------------------------------------------- figures

function quantiles(name: string, microseconds: readonly number[]): Record<string, number> {
  if (microseconds.length === 0) return {};
  const sorted = Float64Array.from(microseconds).sort();
  return {
    [`${name}_p50_ms`]: at(sorted, 0.5) / 1000,
    [`${name}_p99_ms`]: at(sorted, 0.99) / 1000,
    [`${name}_max_ms`]: at(sorted, 1) / 1000,
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const figures = positionals[0] === 'connect' ? await connect() : await pubsub();
isEnding = true;
console.log(JSON.stringify({ ...figures, errors, closed_by_broker: closedByBroker }));
process.exit(errors + closedByBroker > 0 ? 1 : 0);
