/**
 * Correct MQTT clients with nothing hidden: packet identifiers, what was acknowledged and the state of QoS 2 outlive their
 * connections, as the standard wants it (4.1, 4.3, 4.4), and are held against what the server says of the session.
 */
import { connect, type Socket } from 'node:net';
import {
  generate,
  parser,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
} from 'mqtt-packet';
import type { Audience, Oracle, Stream } from './oracle.js';
import type { Random } from './random.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Identity {
  readonly username: string;
  readonly password: string;
}

export type Version = 4 | 5;
export type WillPacket = NonNullable<IConnectPacket['will']>;

export interface Hello extends Identity {
  readonly clientId: string;
  readonly version: Version;
  readonly isDurable: boolean;
  readonly will?: WillPacket;
}

/** Longer than any of the outages. */
const connackDeadlineMs = 15_000;
const pingEveryMs = 10_000;
const keepAliveS = 60;
const expiryS = 24 * 3600;

/** One connection, after its CONNACK. */
export class Connection {
  readonly closed: Promise<void>;
  /** When the socket closed. */
  closedAt: number | undefined;
  #onPacket: ((packet: Packet) => void) | undefined;
  readonly #held: Packet[] = [];

  private constructor(
    readonly socket: Socket,
    readonly version: Version,
    readonly connack: IConnackPacket,
  ) {
    const ping = setInterval(() => this.send({ cmd: 'pingreq' }), pingEveryMs);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        clearInterval(ping);
        this.closedAt = Date.now();
        resolve();
      });
    });
  }

  /** Undefined: there was nobody, or no answer, or the server was not available. Rejects on any other refusal. */
  static open({ host, port }: Endpoint, hello: Hello): Promise<Connection | undefined> {
    const { version } = hello;
    const socket = connect({ host, port, noDelay: true });
    const incoming = parser({ protocolVersion: version });
    return new Promise((resolve, reject) => {
      let connection: Connection | undefined;
      const deadline = setTimeout(() => socket.destroy(), connackDeadlineMs);
      socket.on('error', () => undefined); // 'close' follows
      socket.once('close', () => {
        clearTimeout(deadline);
        resolve(undefined);
      });
      socket.on('data', (chunk: Buffer) => incoming.parse(chunk));
      incoming.on('error', (error: Error) => reject(error));
      incoming.on('packet', (packet: Packet) => {
        if (connection !== undefined) return connection.#take(packet);
        if (packet.cmd !== 'connack')
          return reject(new Error(`${hello.clientId}: ${packet.cmd} before CONNACK`));
        clearTimeout(deadline);
        const code = (version === 5 ? packet.reasonCode : packet.returnCode) ?? 0;
        if (code === 0) resolve((connection = new Connection(socket, version, packet)));
        else {
          socket.destroy();
          // Server unavailable, server busy; 3.1.1: server unavailable.
          if (code === 0x88 || code === 0x89 || code === 3) resolve(undefined);
          else reject(new Error(`${hello.clientId} was refused: ${code}`));
        }
      });
      socket.write(generate(connectPacket(hello), { protocolVersion: version }));
    });
  }

  /** Packets that came with CONNACK wait until somebody listens. */
  listen(onPacket: (packet: Packet) => void): void {
    this.#onPacket = onPacket;
    for (const packet of this.#held.splice(0)) onPacket(packet);
  }

  #take(packet: Packet): void {
    if (this.#onPacket === undefined) this.#held.push(packet);
    else this.#onPacket(packet);
  }

  send(packet: Packet): void {
    if (!this.socket.destroyed) this.socket.write(generate(packet, { protocolVersion: this.version }));
  }

  /** As a lost network does. */
  cut(): void {
    this.socket.destroy();
  }

  /** DISCONNECT, then the server closes. */
  async goodbye(): Promise<void> {
    this.listen(() => undefined);
    this.send({ cmd: 'disconnect', reasonCode: 0 });
    this.socket.end();
    await this.closed;
  }
}

export function connectPacket({
  clientId,
  username,
  password,
  version,
  isDurable,
  will,
}: Hello): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId,
    username,
    password: Buffer.from(password),
    clean: !isDurable,
    keepalive: keepAliveS,
    ...(will === undefined ? {} : { will }),
    ...(version === 5 && isDurable ? { properties: { sessionExpiryInterval: expiryS } } : {}),
  };
}

/** A durable session that comes back again and again until it is told to stay away. */
abstract class DurableClient {
  /** A CONNACK was seen: from now on the server must know the session. */
  #isKnown = false;
  #wanted = true;
  #running: Promise<void> | undefined;
  connection: Connection | undefined;
  resumptions = 0;

  constructor(
    readonly endpoint: Endpoint,
    readonly hello: Hello,
    readonly oracle: Oracle,
    readonly random: Random,
  ) {}

  get name(): string {
    return this.hello.clientId;
  }

  start(): void {
    this.#wanted = true;
    this.#running ??= this.#live();
  }

  /** Goes, one way or the other, and stays away. */
  async leave(politely: boolean): Promise<void> {
    this.#wanted = false;
    if (politely) await this.connection?.goodbye();
    else this.connection?.cut();
    await this.#running;
    this.#running = undefined;
  }

  async #live(): Promise<void> {
    while (this.#wanted) {
      const connection = await this.#open();
      if (connection !== undefined) {
        if (!this.#wanted) connection.cut();
        this.connection = connection;
        this.#check(connection.connack.sessionPresent);
        connection.listen((packet) => this.take(packet, connection));
        this.opened(connection);
        await connection.closed;
        this.connection = undefined;
      }
      if (this.#wanted) await pause(this.random.between(20, 300));
    }
  }

  async #open(): Promise<Connection | undefined> {
    try {
      return await Connection.open(this.endpoint, this.hello);
    } catch (error) {
      this.oracle.violation(`${this.name}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  #check(sessionPresent: boolean): void {
    if (this.#isKnown) this.resumptions += 1;
    if (this.#isKnown && !sessionPresent) {
      this.oracle.violation(`${this.name}: its session is lost`);
      this.lost();
    }
    this.#isKnown = true;
  }

  protected abstract opened(connection: Connection): void;
  protected abstract take(packet: Packet, connection: Connection): void;
  protected abstract lost(): void;
}

interface Outgoing {
  readonly stream: Stream;
  readonly number: number;
  readonly packet: IPublishPacket;
  /** PUBREC was seen: PUBREL is what is sent again. */
  isReceived: boolean;
}

/** Publishes numbered messages, a window of them unacknowledged, and sends again what has to be sent again (4.4). */
export class Publisher extends DurableClient {
  /** In the order of their first sending. */
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #streams: readonly { readonly topic: string; readonly retain: boolean; readonly stream: Stream }[];
  readonly telemetry: readonly Stream[];
  readonly retained: readonly { readonly topic: string; readonly stream: Stream }[];
  readonly #window: number;
  #lastId = 0;
  #sending: NodeJS.Timeout | undefined;

  constructor(
    endpoint: Endpoint,
    hello: Hello,
    oracle: Oracle,
    random: Random,
    options: { readonly window: number },
  ) {
    super(endpoint, hello, oracle, random);
    this.#window = options.window;
    const at = (topic: string, qos: 1 | 2, retain: boolean) => ({
      topic,
      retain,
      stream: oracle.stream(`${topic}|${qos}`, qos),
    });
    const base = `devices/${hello.clientId}`;
    const telemetry = [at(`${base}/telemetry`, 1, false), at(`${base}/telemetry`, 2, false)];
    const retained = [at(`${base}/state/1`, 1, true), at(`${base}/state/2`, 2, true)];
    const events = [at(`${base}/events`, 1, false), at(`${base}/events`, 2, false)];
    this.#streams = [...telemetry, ...telemetry, ...events, ...retained];
    this.telemetry = telemetry.map(({ stream }) => stream);
    this.retained = retained;
  }

  /** Sends about so many messages a second, as far as the window allows. */
  publish(rate: number): void {
    const everyMs = 20;
    this.#sending = setInterval(() => {
      for (let due = (rate * everyMs) / 1000; due > 0; due -= 1) if (this.random.chance(due)) this.#next();
    }, everyMs);
  }

  stopPublishing(): void {
    clearInterval(this.#sending);
  }

  get unacknowledged(): number {
    return this.#outgoing.size;
  }

  #next(): void {
    if (this.connection === undefined || this.#outgoing.size >= this.#window) return;
    const { topic, stream, retain } = this.random.pick(this.#streams);
    const number = this.oracle.send(stream);
    const messageId = this.#freeId();
    const payload = JSON.stringify({ s: stream.name, n: number });
    const packet: IPublishPacket = {
      cmd: 'publish',
      topic,
      payload,
      qos: stream.qos,
      retain,
      dup: false,
      messageId,
    };
    this.#outgoing.set(messageId, { stream, number, packet, isReceived: false });
    this.connection.send(packet);
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1;
    while (this.#outgoing.has(this.#lastId));
    return this.#lastId;
  }

  protected opened(connection: Connection): void {
    for (const [messageId, { packet, isReceived }] of this.#outgoing) {
      connection.send(isReceived ? { cmd: 'pubrel', messageId } : { ...packet, dup: true });
    }
  }

  protected take(packet: Packet, connection: Connection): void {
    const { cmd, messageId = 0 } = packet;
    if (cmd === 'pubcomp') this.#outgoing.delete(messageId);
    if (cmd !== 'puback' && cmd !== 'pubrec') return;
    const outgoing = this.#outgoing.get(messageId);
    if (outgoing === undefined) return this.oracle.violation(`${this.name}: stray ${cmd} ${messageId}`);
    const code = packet.reasonCode ?? 0;
    if (code >= 0x80) return this.oracle.violation(`${this.name}: ${cmd} with ${code}`);
    this.oracle.acknowledge(outgoing.stream, outgoing.number);
    if (cmd === 'puback') return void this.#outgoing.delete(messageId);
    outgoing.isReceived = true;
    connection.send({ cmd: 'pubrel', messageId });
  }

  protected lost(): void {
    this.#outgoing.clear();
  }
}

/** Subscribes once in its life, and keeps the QoS 2 identifiers that it has received and that are not released yet. */
export class Subscriber extends DurableClient {
  readonly #held = new Set<number>();
  #isSubscribed = false;
  #onSubscribed: () => void = () => undefined;
  readonly subscribed = new Promise<void>((resolve) => {
    this.#onSubscribed = resolve;
  });

  constructor(
    endpoint: Endpoint,
    hello: Hello,
    oracle: Oracle,
    random: Random,
    readonly filter: string,
    readonly qos: 1 | 2,
    readonly deliver: (payload: string) => void,
  ) {
    super(endpoint, hello, oracle, random);
  }

  protected opened(connection: Connection): void {
    if (this.#isSubscribed) return;
    connection.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: this.filter, qos: this.qos }],
    });
  }

  protected take(packet: Packet, connection: Connection): void {
    if (packet.cmd === 'publish') this.#receive(packet, connection);
    else if (packet.cmd === 'pubrel') {
      const { messageId = 0 } = packet;
      this.#held.delete(messageId);
      connection.send({ cmd: 'pubcomp', messageId });
    } else if (packet.cmd === 'suback') {
      this.#isSubscribed = true;
      this.#onSubscribed();
    }
  }

  #receive({ messageId = 0, qos, payload }: IPublishPacket, connection: Connection): void {
    if (qos === 2) {
      if (!this.#held.has(messageId)) this.deliver(payload.toString());
      this.#held.add(messageId);
      return connection.send({ cmd: 'pubrec', messageId });
    }
    this.deliver(payload.toString());
    if (qos === 1) connection.send({ cmd: 'puback', messageId });
  }

  protected lost(): void {
    this.#held.clear();
    this.#isSubscribed = false;
  }
}

/** Takes part in an audience of all that the publishers send. */
export function audienceMember(
  endpoint: Endpoint,
  hello: Hello,
  oracle: Oracle,
  random: Random,
  subscription: { readonly filter: string; readonly qos: 1 | 2; readonly audience: Audience },
): Subscriber {
  const { filter, qos, audience } = subscription;
  return new Subscriber(endpoint, hello, oracle, random, filter, qos, (payload) => {
    if (!payload.startsWith('{')) return; // the flood
    const { s, n } = JSON.parse(payload) as { s: string; n: number };
    oracle.deliver(audience, hello.clientId, s, n);
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
