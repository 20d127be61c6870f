import type { Broker, BrokerStats } from '#mqtt';
import { Counter, Gauge, type Registry } from '#process';
import type { BrokerStore, BrokerStoreStats } from '#store';

import type { Admission } from './listeners/admission.js';

type CounterName = Exclude<keyof BrokerStats, GaugeName>;
type GaugeName = 'links' | 'connections' | 'sessions' | 'subscriptions' | 'retained';

const gauges: Readonly<Record<GaugeName, string>> = {
  links: 'Transport connections, signed in or not',
  connections: 'MQTT connections that have signed in',
  sessions: 'Sessions, connected or not',
  subscriptions: 'Subscriptions of all sessions',
  retained: 'Retained messages',
};

const counters: Readonly<Record<CounterName, string>> = {
  packetsReceived: 'Control packets received',
  bytesReceived: 'Bytes received from signed-in clients',
  messagesReceived: 'PUBLISH packets received',
  messagesSent: 'PUBLISH packets sent',
  bytesSent: 'Bytes sent to signed-in clients',
  connects: 'Sign-ins accepted',
  refused: 'Sign-ins refused',
  denied: 'Publishes and subscriptions denied',
  heldOff: 'Newcomers held off because their client identifier is fought over',
  droppedSlow: 'QoS 0 messages dropped for connections whose outbox was full',
  droppedQueueFull: 'Messages dropped for sessions whose queue was full',
  droppedExpired: 'Messages dropped because they had expired',
  droppedTooLarge: 'Messages dropped for clients whose Maximum Packet Size they exceed',
  droppedDenied: 'Messages dropped because the right to receive them was gone',
  willsPublished: 'Wills published',
  willsSuppressed: 'Wills not published because the right to was gone',
  storeErrors: 'Writes that the store refused',
};

type StoreMetric = readonly [name: string, help: string, read: (stats: BrokerStoreStats) => number];

const storeGauges: readonly StoreMetric[] = [
  ['moorage_store_waiting', 'Writes that are not yet committed', ({ waiting }) => waiting],
  [
    'moorage_store_waiting_bytes',
    'Bytes of writes that are not yet committed',
    (stats) => stats.waitingBytes,
  ],
  ['moorage_store_commit_seconds', 'What the last transaction took', ({ commitMs }) => commitMs / 1_000],
];

const storeCounters: readonly StoreMetric[] = [
  ['moorage_store_commits_total', 'Transactions that were committed', ({ batches }) => batches],
  [
    'moorage_store_writes_total',
    'Writes that were answered: committed, or refused',
    ({ operations }) => operations,
  ],
  ['moorage_store_retries_total', 'Transactions that failed and were begun again', ({ retries }) => retries],
  ['moorage_store_refused_total', 'Writes that PostgreSQL refused for good', ({ refused }) => refused],
  [
    'moorage_dropped_denials_total',
    'Denial records dropped because there were too many',
    ({ droppedDenials }) => droppedDenials,
  ],
];

/**
 * The counters of the core are plain numbers, read when somebody asks for metrics: nothing is paid per message. They are the sums of all
 * tenants', added up once for all metrics of a reading.
 */
export function exposeBroker(
  registry: Registry,
  broker: Pick<Broker, 'stats'>,
  admission: Admission,
  store: Pick<BrokerStore, 'stats'>,
): void {
  const statsOfBroker = oncePerTurn(() => broker.stats);
  const statsOfStore = oncePerTurn(() => store.stats);
  const add = (metric: Gauge | Counter): void => registry.registerMetric(metric);
  for (const [name, help] of Object.entries(gauges) as [GaugeName, string][])
    add(gauge(`moorage_${snakeCase(name)}`, help, () => statsOfBroker()[name]));
  for (const [name, help] of Object.entries(counters) as [CounterName, string][])
    add(counter(`moorage_${snakeCase(name)}_total`, help, () => statsOfBroker()[name]));
  add(
    gauge(
      'moorage_open_connections',
      'TCP connections that were admitted, in a handshake or beyond',
      () => admission.open,
    ),
  );
  for (const [name, help, read] of storeGauges) add(gauge(name, help, () => read(statsOfStore())));
  for (const [name, help, read] of storeCounters) add(counter(name, help, () => read(statsOfStore())));
}

/** A number that is counted elsewhere, read when somebody asks for metrics. */
function gauge(name: string, help: string, read: () => number): Gauge {
  return new Gauge({
    name,
    help,
    registers: [],
    collect() {
      this.set(read());
    },
  });
}

/** As a gauge, of a number that only grows. */
export function counter(name: string, help: string, read: () => number): Counter {
  return new Counter({
    name,
    help,
    registers: [],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** A reading asks all of its metrics in one turn of the loop. */
function oncePerTurn<Value>(read: () => Value): () => Value {
  let held: Value | undefined;
  return () => {
    if (held === undefined) setImmediate(() => (held = undefined));
    return (held ??= read());
  };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
