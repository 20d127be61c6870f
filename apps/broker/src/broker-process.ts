import type { Broker } from '#mqtt';
import type { Readiness, Registry } from '#process';
import { type BrokerStore, type ChangeFeed, type Directory, StoreError } from '#store';

import type { Listener, ListenOptions } from './listeners/accept.js';
import type { Admission } from './listeners/admission.js';
import type { ServerIdentities } from './listeners/identities.js';
import { listenOps } from './listeners/ops.js';
import { TrustedProxies } from './listeners/proxy-protocol.js';
import { listenMqtt } from './listeners/tcp.js';
import { listenMqtts } from './listeners/tls.js';
import { listenSecureWebSocket, listenWebSocket } from './listeners/websocket.js';
import type { BrokerOptions } from './options.js';

export interface BrokerParts extends Pick<BrokerOptions, 'bind' | 'ports' | 'proxyProtocolFrom' | 'log'> {
  readonly directory: Directory;
  readonly store: BrokerStore;
  readonly broker: Broker;
  readonly changes: ChangeFeed;
  readonly admission: Admission;
  readonly identity: ServerIdentities;
  readonly readiness: Readiness;
  readonly metrics: Registry;
}

/** Milliseconds between looks at the store, for readiness. */
const checkEveryMs = 1_000;

/** What a started broker listens on. */
export type Ports = BrokerOptions['ports'];

/** The parts as one process: started and stopped in an order that keeps what the broker promised. */
export class BrokerProcess {
  readonly #parts: BrokerParts;
  readonly #listeners: Listener[] = [];
  #ops: Listener | undefined;
  #checking: NodeJS.Timeout | undefined;

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  async start(): Promise<Ports> {
    const { broker, store, changes, readiness, metrics, bind, ports } = this.#parts;
    this.#ops = await listenOps({ host: bind, port: ports.ops, readiness, metrics });
    // Changes are followed from a moment before the first right is read: none falls in between.
    await changes.start();
    // A killed predecessor whose connections PostgreSQL has not noticed yet is found dead when its lease is over.
    store.onProcessLost(() => broker.takeOver());
    await broker.start();
    await this.#check();
    const actual = await this.#listen();
    readiness.ready('listeners');
    return { ...actual, ops: this.#ops.port };
  }

  /** Takes the server's certificates from their files again. */
  async reloadCertificates(): Promise<boolean> {
    return this.#parts.identity.reload();
  }

  /** No one new comes in; wills are held and clients told; what was accepted is stored; then the rest goes. */
  async stop(): Promise<void> {
    const { broker, changes, store, directory, identity, readiness } = this.#parts;
    identity.close();
    readiness.notReady('listeners', 'stopping');
    clearTimeout(this.#checking);
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    await changes.stop();
    await broker.stop();
    await store.drain();
    await store.close();
    await directory.close();
    await this.#ops?.close();
  }

  async #listen(): Promise<Omit<Ports, 'ops'>> {
    const { bind, ports, proxyProtocolFrom = [], admission, identity, broker, log } = this.#parts;
    const proxies = proxyProtocolFrom.length === 0 ? undefined : new TrustedProxies(proxyProtocolFrom);
    const on = (port: number): ListenOptions => ({
      host: bind,
      port,
      admission,
      proxies,
      accept: (link) => broker.accept(link),
      refused: (why, address) => log.debug('link.refused', { why, address }),
    });
    const mqtt = await this.#keep(listenMqtt(on(ports.mqtt)));
    const mqtts = await this.#keep(listenMqtts({ ...on(ports.mqtts), identity }));
    const ws = await this.#keep(listenWebSocket(on(ports.ws)));
    const wss = await this.#keep(listenSecureWebSocket({ ...on(ports.wss), identity }));
    return { mqtt, mqtts, ws, wss };
  }

  async #keep(opening: Promise<Listener>): Promise<number> {
    const listener = await opening;
    this.#listeners.push(listener);
    return listener.port;
  }

  async #check(): Promise<void> {
    const { store, readiness, log } = this.#parts;
    try {
      await store.check();
      readiness.ready('store');
    } catch (error) {
      // A code: what PostgreSQL says of itself is for the log, and whoever may ask here need not know it.
      readiness.notReady('store', error instanceof StoreError ? error.code : 'store.failed');
      log.debug('store.not-ready', { err: error });
    }
    this.#checking = setTimeout(() => void this.#check(), checkEveryMs).unref();
  }
}
