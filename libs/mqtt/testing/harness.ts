import { createBroker, type Broker, type BrokerOptions } from '../broker.js';
import type { TenantId } from '../message.js';
import type { PropertyId } from '../properties.js';
import {
  frame,
  properties,
  readPackets,
  text,
  uint16,
  type Properties,
  type PropertyValue,
  type ServerPacket,
} from './bytes.js';
import { FakeClock } from './fake-clock.js';
import { MemoryJournal } from './memory-journal.js';
import { MemoryStore } from './memory-store.js';
import { MemoryVault } from './memory-vault.js';
import { TestGate } from './test-gate.js';
import { TestLink } from './test-link.js';

export interface WillOptions {
  readonly topic: string;
  readonly payload?: string | Buffer;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly properties?: Properties;
}

export interface ConnectOptions {
  /** 3, 4 or 5 (4 by default). */
  readonly version?: number;
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly properties?: Properties;
  readonly will?: WillOptions;
  readonly username?: string;
  readonly password?: string;
}

export interface PublishOptions {
  readonly qos?: number;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: Properties;
}

export interface SubscribeOptions {
  readonly qos?: number;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: number;
  readonly id?: number;
}

/** A client that speaks bytes. It acknowledges what it gets, unless told not to. */
export class TestClient {
  readonly link: TestLink;
  readonly version: number;
  readonly clientId: string;
  /** Where the clients of most tests belong. */
  readonly tenantId = 'tenant-a' as TenantId;
  /** Which packets it answers. */
  acknowledges: boolean | ((packet: ServerPacket) => boolean) = true;
  /** Every packet it has got. */
  readonly packets: ServerPacket[] = [];
  readonly #clock: FakeClock;
  #read = 0;
  #taken = 0;
  #nextId = 1;
  #unanswered: ServerPacket[] = [];

  constructor(link: TestLink, clock: FakeClock, version: number, clientId: string) {
    this.link = link;
    this.#clock = clock;
    this.version = version;
    this.clientId = clientId;
  }

  /** Sends bytes and lets everything settle, acknowledgements included. */
  async send(...bytes: readonly Buffer[]): Promise<void> {
    this.link.send(Buffer.concat(bytes));
    await this.settle();
  }

  async settle(): Promise<void> {
    do await this.#clock.settle();
    while (this.#takeIn());
  }

  /** Returns whether something was answered. */
  #takeIn(): boolean {
    const { packets, taken } = readPackets(this.link.received.subarray(this.#read), this.version);
    this.#read += taken;
    let answered = false;
    for (const packet of packets) {
      this.packets.push(packet);
      const answer = this.wouldAcknowledge(packet) ? answerTo(packet) : undefined;
      if (answer === undefined) this.#unanswered.push(packet);
      if (answer === undefined || this.link.isEnded) continue;
      this.link.send(answer);
      answered = true;
    }
    return answered;
  }

  /** Acknowledges what it has left, and from now on everything. */
  async catchUp(): Promise<void> {
    this.acknowledges = true;
    const answers = this.#unanswered.flatMap((packet) => answerTo(packet) ?? []);
    this.#unanswered = [];
    await this.send(...answers);
  }

  wouldAcknowledge(packet: ServerPacket): boolean {
    return typeof this.acknowledges === 'boolean' ? this.acknowledges : this.acknowledges(packet);
  }

  /** Packets since the last look; all of a type where one is given. */
  take(type?: ServerPacket['type']): ServerPacket[] {
    const fresh = this.packets.slice(this.#taken);
    this.#taken = this.packets.length;
    return type === undefined ? fresh : fresh.filter((packet) => packet.type === type);
  }

  /** The messages since the last look, as `topic payload`. */
  messages(): string[] {
    return this.take('publish').map(({ topic, payload }) => `${topic} ${payload}`);
  }

  get connack(): ServerPacket | undefined {
    return this.packets.find(({ type }) => type === 'connack');
  }

  /** The reason code of the server's DISCONNECT. */
  get goodbye(): number | undefined {
    return this.packets.find(({ type }) => type === 'disconnect')?.code;
  }

  async publish(
    topic: string,
    payload: string | Buffer = '',
    options: PublishOptions = {},
  ): Promise<ServerPacket | undefined> {
    const before = this.packets.length;
    await this.send(this.publishBytes(topic, payload, options));
    return this.packets.slice(before).find(({ type }) => type === 'puback' || type === 'pubrec');
  }

  publishBytes(topic: string, payload: string | Buffer = '', options: PublishOptions = {}): Buffer {
    const { qos = 0, retain = false, dup = false } = options;
    const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
    return frame(
      first,
      text(topic),
      ...(qos > 0 ? [uint16(options.id ?? this.newId())] : []),
      ...(this.version === 5 ? [properties(options.properties ?? [])] : []),
      Buffer.from(payload as string),
    );
  }

  newId(): number {
    return this.#nextId++;
  }

  async subscribe(
    filter: string | readonly string[],
    options: SubscribeOptions = {},
  ): Promise<ServerPacket | undefined> {
    const before = this.packets.length;
    await this.send(this.subscribeBytes(typeof filter === 'string' ? [filter] : filter, options));
    return this.packets.slice(before).find(({ type }) => type === 'suback');
  }

  subscribeBytes(filters: readonly string[], options: SubscribeOptions = {}): Buffer {
    const { qos = 2, noLocal = false, retainAsPublished = false, retainHandling = 0, id } = options;
    const flags = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
    const list: Properties = id === undefined ? [] : [['subscriptionIdentifier', id]];
    return frame(
      0x82,
      uint16(this.newId()),
      ...(this.version === 5 ? [properties(list)] : []),
      ...filters.flatMap((filter) => [text(filter), Buffer.from([flags])]),
    );
  }

  async unsubscribe(...filters: readonly string[]): Promise<ServerPacket | undefined> {
    const before = this.packets.length;
    const none = this.version === 5 ? [properties([])] : [];
    await this.send(frame(0xa2, uint16(this.newId()), ...none, ...filters.map((filter) => text(filter))));
    return this.packets.slice(before).find(({ type }) => type === 'unsuback');
  }

  /** DISCONNECT, and the link closed after it. */
  async disconnect(code = 0, list: Properties = []): Promise<void> {
    const body =
      this.version === 5 && (code > 0 || list.length > 0) ? [Buffer.from([code]), properties(list)] : [];
    await this.send(frame(0xe0, ...body));
    this.link.cut();
    await this.#clock.settle();
  }

  /** The network goes away without a word. */
  async cut(): Promise<void> {
    this.link.cut();
    await this.#clock.settle();
  }

  async ping(): Promise<boolean> {
    const before = this.packets.length;
    await this.send(frame(0xc0));
    return this.packets.slice(before).some(({ type }) => type === 'pingresp');
  }
}

function answerTo({ type, qos, packetId, code }: ServerPacket): Buffer | undefined {
  if (type === 'publish' && qos === 1) return acknowledgement('puback', packetId);
  if (type === 'publish' && qos === 2) return acknowledgement('pubrec', packetId);
  if (type === 'pubrec' && code < 0x80) return acknowledgement('pubrel', packetId);
  if (type === 'pubrel') return acknowledgement('pubcomp', packetId);
  return undefined;
}

const acknowledgements = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;

export function acknowledgement(
  type: keyof typeof acknowledgements,
  packetId: number,
  code?: number,
): Buffer {
  return frame(
    acknowledgements[type],
    uint16(packetId),
    code === undefined ? Buffer.alloc(0) : Buffer.from([code]),
  );
}

export function connectBytes(clientId: string, options: ConnectOptions = {}): Buffer {
  const { version = 4, clean = true, keepAlive = 0, will, username, password } = options;
  const flags =
    (username === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40) |
    (will === undefined ? 0 : 4 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0)) |
    (clean ? 2 : 0);
  return frame(
    0x10,
    text(version === 3 ? 'MQIsdp' : 'MQTT'),
    Buffer.from([version, flags]),
    uint16(keepAlive),
    ...(version === 5 ? [properties(options.properties ?? [])] : []),
    text(clientId),
    ...(will === undefined
      ? []
      : [
          ...(version === 5 ? [properties(will.properties ?? [])] : []),
          text(will.topic),
          text(will.payload ?? ''),
        ]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
  );
}

/** The value of a property in a packet. */
export function property(
  packet: ServerPacket | undefined,
  name: keyof typeof PropertyId,
): PropertyValue | undefined {
  return packet?.properties.find(([key]) => key === name)?.[1];
}

/** A broker on ports in memory, and clients for it. */
export class Harness {
  readonly clock: FakeClock;
  readonly store: MemoryStore;
  readonly vault: MemoryVault;
  readonly journal: MemoryJournal;
  readonly gate: TestGate;
  readonly broker: Broker;
  readonly faults: unknown[] = [];

  constructor(options: Partial<BrokerOptions> = {}, before?: Harness) {
    this.clock = before?.clock ?? new FakeClock();
    this.gate = before?.gate ?? new TestGate();
    this.store = new MemoryStore((callback) => this.clock.soon(callback));
    this.vault = before?.vault.reopen(this.store) ?? new MemoryVault(this.store);
    this.journal = new MemoryJournal(this.store);
    this.broker = createBroker({
      gate: this.gate,
      vault: this.vault,
      journal: this.journal,
      clock: this.clock,
      onFault: (error) => this.faults.push(error),
      ...options,
    });
  }

  /** The next process after a `kill -9` of this one: only what was committed is left. */
  async crash(options: Partial<BrokerOptions> = {}): Promise<Harness> {
    this.clock.forget();
    const next = new Harness(options, this);
    await Promise.all([next.broker.start(), next.clock.settle()]); // a large tenant is loaded in turns
    await next.clock.settle();
    return next;
  }

  /** A link that has been accepted, and nothing sent on it. */
  open(version = 4, clientId = ''): TestClient {
    const link = new TestLink();
    link.sink = this.broker.accept(link);
    return new TestClient(link, this.clock, version, clientId);
  }

  /** Sends CONNECT; the answer is in `connack`. */
  async connect(clientId: string, options: ConnectOptions = {}): Promise<TestClient> {
    const client = this.open(options.version ?? 4, clientId);
    await client.send(connectBytes(clientId, options));
    return client;
  }

  /** A 5.0 client; with an expiry its session is durable. */
  connect5(
    clientId: string,
    options: ConnectOptions & { readonly expiry?: number } = {},
  ): Promise<TestClient> {
    const { expiry } = options;
    const list: Properties = expiry === undefined ? [] : [['sessionExpiryInterval', expiry]];
    return this.connect(clientId, {
      clean: expiry === undefined,
      ...options,
      version: 5,
      properties: [...list, ...(options.properties ?? [])],
    });
  }

  settle(): Promise<void> {
    return this.clock.settle();
  }
}
