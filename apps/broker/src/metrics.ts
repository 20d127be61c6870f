import type { Broker, BrokerStats } from '#mqtt';
import { Counter, Gauge, type Registry } from '#process';
import type { BrokerStore } from '#store';

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

/** The counters of the core are plain numbers, read when somebody asks for metrics: nothing is paid per message. */
export function exposeBroker(
  registry: Registry,
  broker: Broker,
  admission: Admission,
  store: BrokerStore,
): void {
  const add = (metric: Gauge | Counter): void => registry.registerMetric(metric);
  for (const [name, help] of Object.entries(gauges) as [GaugeName, string][]) {
    add(
      new Gauge({
        name: `moorage_${snakeCase(name)}`,
        help,
        registers: [],
        collect() {
          this.set(broker.stats[name]);
        },
      }),
    );
  }
  for (const [name, help] of Object.entries(counters) as [CounterName, string][]) {
    add(
      new Counter({
        name: `moorage_${snakeCase(name)}_total`,
        help,
        registers: [],
        collect() {
          this.reset();
          this.inc(broker.stats[name]);
        },
      }),
    );
  }
  add(
    new Gauge({
      name: 'moorage_open_connections',
      help: 'TCP connections that were admitted, in a handshake or beyond',
      registers: [],
      collect() {
        this.set(admission.open);
      },
    }),
  );
  for (const [name, help] of [
    ['waiting', 'Writes that are not yet committed'],
    ['waitingBytes', 'Bytes of writes that are not yet committed'],
  ] as const)
    add(
      new Gauge({
        name: `moorage_store_${snakeCase(name)}`,
        help,
        registers: [],
        collect() {
          this.set(store.stats[name]);
        },
      }),
    );
  add(
    new Counter({
      name: 'moorage_dropped_denials_total',
      help: 'Denial records dropped because there were too many',
      registers: [],
      collect() {
        this.reset();
        this.inc(store.stats.droppedDenials);
      },
    }),
  );
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
