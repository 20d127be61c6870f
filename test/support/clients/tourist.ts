/** One of the clients that people use, as the tour of test/clients.e2e.spec.ts sees it: programs of its own, which can be killed. */
import type { ClientTransport } from '../broker.js';

/** Protocol levels: 3 is MQTT 3.1, 4 is 3.1.1. */
export type Version = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

export interface Route {
  readonly transport: ClientTransport;
  readonly version: Version;
  readonly port: number;
  /** PEM of the CA that TLS trusts. */
  readonly caFile: string;
}

export interface Identity {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

export interface Letter {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
}

export interface Listening {
  readonly filter: string;
  readonly qos: Qos;
  readonly keepAliveS: number;
  /** The session stays when the client leaves. */
  readonly isPersistent: boolean;
  readonly will: Letter | undefined;
}

export interface Listener {
  /** What SUBACK says. */
  readonly granted: number;
  /** Undefined: the program does not tell. */
  readonly sessionPresent: boolean | undefined;
  /** The next ones, in the order in which they come. */
  messages(count: number): Promise<Letter[]>;
  /** Resolves when the server has answered so many pings. */
  pings(count: number): Promise<void>;
  /** DISCONNECT. */
  leave(): Promise<void>;
}

export interface Tourist {
  /** Connects and subscribes. Rejects with Refused where CONNACK says no. */
  listen(route: Route, identity: Identity, listening: Listening): Promise<Listener>;
  /** Connects, publishes, disconnects: the reason code of the acknowledgement, undefined where the program does not tell it. */
  publish(route: Route, identity: Identity, letter: Letter): Promise<number | undefined>;
  /** MQTT 5.0: what comes back on the response topic. */
  request(route: Route, identity: Identity, letter: Letter, responseTopic: string): Promise<Buffer>;
  /** SIGKILL to all that it runs. */
  kill(): Promise<void>;
  /** SIGSTOP to all that it runs: the sockets stay open, and nobody is there. */
  freeze(): void;
}

export class Refused extends Error {
  override readonly name = 'Refused';

  /** Of CONNACK. */
  constructor(readonly code: number) {
    super(`refused with ${code}`);
  }
}

/** Things that arrive, for whoever waits for the next so many of them. */
export class Inbox<T> {
  readonly #arrived: T[] = [];
  #waiting: { readonly count: number; readonly resolve: (things: T[]) => void } | undefined;

  put(thing: T): void {
    this.#arrived.push(thing);
    this.#serve();
  }

  take(count: number): Promise<T[]> {
    return new Promise((resolve) => {
      this.#waiting = { count, resolve };
      this.#serve();
    });
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || this.#arrived.length < waiting.count) return;
    this.#waiting = undefined;
    waiting.resolve(this.#arrived.splice(0, waiting.count));
  }
}
