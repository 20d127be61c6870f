import type { Broker } from '#mqtt';
import type { Readiness, Registry } from '#process';
import { type BrokerStore, type ChangeFeed, type Directory, type QuestionDesk, StoreError } from '#store';

import type { Listener, ListenOptions } from './listeners/accept.js';
import type { Admission } from './listeners/admission.js';
import type { ServerIdentities } from './listeners/identities.js';
import { listenOps } from './listeners/ops.js';
import { TrustedProxies } from './listeners/proxy-protocol.js';
import { listenMqtt } from './listeners/tcp.js';
import { listenMqtts } from './listeners/tls.js';
import { listenSecureWebSocket, listenWebSocket } from './listeners/websocket.js';
import type { BrokerOptions } from './options.js';

export interface BrokerParts {
  readonly options: BrokerOptions;
  readonly directory: Directory;
  readonly store: BrokerStore;
  readonly broker: Broker;
  readonly changes: ChangeFeed;
  readonly questions: QuestionDesk;
  readonly admission: Admission;
  readonly identity: ServerIdentities;
  readonly readiness: Readiness;
  readonly metrics: Registry;
}

/** Milliseconds between looks at the store, for readiness. */
const checkEveryMs = 1_000;
/** Between looks whether the process before this one still is. */
const standByMs = 250;

/** What a started broker listens on. */
export type Ports = BrokerOptions['ports'];

/** The parts as one process: started and stopped in an order that keeps what the broker promised. */
export class BrokerProcess {
  readonly #parts: BrokerParts;
  readonly #listeners: Listener[] = [];
  #ops: Listener | undefined;
  #checking: NodeJS.Timeout | undefined;
  #isStopping = false;

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  async start(): Promise<Ports> {
    const { options, broker, store, changes, questions, readiness, metrics } = this.#parts;
    const { bind, ports, servesAlone } = options;
    this.#ops = await listenOps({ host: bind, port: ports.ops, readiness, metrics });
    // Changes are followed from a moment before the first right is read: none falls in between.
    await changes.start();
    questions.start();
    if (servesAlone === true) await this.#standBy();
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
    const { broker, changes, questions, store, directory, identity, readiness } = this.#parts;
    this.#isStopping = true;
    identity.close();
    readiness.notReady('listeners', 'stopping');
    clearTimeout(this.#checking);
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    await changes.stop();
    await questions.stop();
    await broker.stop();
    await store.drain();
    await store.close();
    await directory.close();
    await this.#ops?.close();
  }

  /**
   * Nothing carries messages between processes: two that serve one tenant would each acknowledge what the other's subscribers never
   * get. So whoever comes later waits for the earlier one's end, or for the end of its lease.
   */
  async #standBy(): Promise<void> {
    const { options, store, readiness } = this.#parts;
    const { log } = options;
    for (let waited = false; await this.#hasPredecessors(); waited = true) {
      if (!waited) log.info('broker.standing-by', { why: 'another process serves this database' });
      readiness.notReady('listeners', 'another process serves this database');
      await new Promise((resolve) => setTimeout(resolve, standByMs));
      if (this.#isStopping || store.lease.isLost) throw new Error('stopped while it stood by');
    }
  }

  /** Where the store cannot say, there may be some. */
  async #hasPredecessors(): Promise<boolean> {
    try {
      return (await this.#parts.store.predecessors()) > 0;
    } catch (error) {
      this.#parts.options.log.warn('store.trouble', { err: error });
      return true;
    }
  }

  async #listen(): Promise<Omit<Ports, 'ops'>> {
    const { options, admission, identity, broker } = this.#parts;
    const { bind, ports, proxyProtocolFrom = [], log } = options;
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
    const { options, store, readiness } = this.#parts;
    try {
      await store.check();
      readiness.ready('store');
    } catch (error) {
      // A code: what PostgreSQL says of itself is for the log, and whoever may ask here need not know it.
      readiness.notReady('store', error instanceof StoreError ? error.code : 'store.failed');
      options.log.debug('store.not-ready', { err: error });
    }
    this.#checking = setTimeout(() => void this.#check(), checkEveryMs).unref();
  }
}
