import type { IConnackPacket, IConnectPacket, Packet } from 'mqtt-packet';
import { openConnection, type Connection, type Endpoint } from './connection.js';
import type { Random } from './random.js';
import { SequenceSet } from './sequence-set.js';

export interface Identity {
  readonly id: string;
  readonly name: string;
  readonly username: string;
  readonly password: string;
}

export interface DeviceOptions {
  readonly identity: Identity;
  readonly endpoint: Endpoint;
  readonly qos: 0 | 1 | 2;
  readonly random: Random;
  /** The values of the reading that is due. */
  readonly measure: () => object;
  /** Counts what happens; the fleet's, shared. */
  readonly tally: Tally;
}

export interface Tally {
  online: number;
  sent: number;
  acknowledged: number;
  /** Sent again after a lost connection. */
  resent: number;
  reconnects: number;
  refusals: number;
  /** The last thing a server or socket complained of. */
  lastTrouble: string;
}

interface Reading {
  readonly sequence: number;
  readonly payload: string;
}

interface InFlight {
  readonly reading: Reading;
  /** QoS 2: PUBREC has come, the message is the server's. */
  released: boolean;
}

type State = 'away' | 'connecting' | 'online' | 'out-of-reach' | 'dead' | 'done';

const keepAliveS = 10;
const sessionExpiryS = 300;
// A small device keeps few messages under way.
const window = 20;
const firstBackOffMs = 250;
const longestBackOffMs = 5_000;

/**
 * One device: it measures, keeps what it cannot send (store and forward), sends in order, sends again what was not
 * acknowledged when a connection was lost, and comes back by itself. It numbers its readings, so that what is stored can be
 * held against what was acknowledged.
 */
export class Device {
  readonly acknowledged = new SequenceSet();
  readonly #options: DeviceOptions;
  #state: State = 'away';
  #sequence = 0;
  #connection: Connection | undefined;
  #backlog: Reading[] = [];
  readonly #inFlight = new Map<number, InFlight>();
  #nextPacketId = 1;
  #receiveMaximum = window;
  #failures = 0;
  #pings: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isDying = false;

  constructor(options: DeviceOptions) {
    this.#options = options;
  }

  get identity(): Identity {
    return this.#options.identity;
  }

  get isOnline(): boolean {
    return this.#state === 'online';
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  /** Readings made and not yet acknowledged. */
  get pending(): number {
    return this.#backlog.length + this.#inFlight.size;
  }

  get produced(): number {
    return this.#sequence;
  }

  connect(): void {
    if (this.#state !== 'away') return;
    this.#state = 'connecting';
    const connection = openConnection(this.#options.endpoint, this.#hello(), {
      packet: (packet) => this.#received(packet),
      closed: (error) => {
        // One that was cut may say so when the next is already there.
        if (this.#connection === connection) this.#closed(error);
      },
    });
    this.#connection = connection;
  }

  measure(): void {
    if (this.#isDying || this.#state === 'done') return;
    this.#sequence += 1;
    const payload = JSON.stringify({ seq: this.#sequence, ...this.#options.measure() });
    this.#backlog.push({ sequence: this.#sequence, payload });
    this.#flush();
  }

  /** The network is gone; what is measured meanwhile is kept. */
  loseNetwork(): void {
    if (this.#state === 'dead' || this.#state === 'done') return;
    if (this.#state === 'online') this.#options.tally.online -= 1;
    this.#state = 'out-of-reach';
    this.#silence();
    this.#connection?.cut();
  }

  findNetwork(): void {
    if (this.#state !== 'out-of-reach') return;
    this.#state = 'away';
    this.connect();
  }

  /**
   * Dies once nothing is pending, so that no reading dies with it. From then on not a word, and not an end of the connection
   * either: the server has to notice by itself.
   */
  dieWhenSettled(): void {
    this.#isDying = true;
    this.#dieIfSettled();
  }

  /** The normal end: DISCONNECT, and the session with it. */
  disconnect(): void {
    const wasOnline = this.#state === 'online';
    if (this.#state !== 'dead') this.#state = 'done';
    this.#silence();
    if (!wasOnline) {
      this.#connection?.cut();
      return;
    }
    this.#options.tally.online -= 1;
    this.#connection?.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } });
    this.#connection?.end();
  }

  #hello(): IConnectPacket {
    const { identity, qos } = this.#options;
    return {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      // Above QoS 0 the session outlives a lost connection, and with it what is under way.
      clean: qos === 0,
      clientId: identity.name,
      username: identity.username,
      password: Buffer.from(identity.password),
      keepalive: keepAliveS,
      properties: qos === 0 ? {} : { sessionExpiryInterval: sessionExpiryS },
      will: {
        topic: `devices/${identity.name}/status`,
        payload: Buffer.from(willPayload),
        qos: 1,
        retain: false,
      },
    };
  }

  #received(packet: Packet): void {
    if (this.#state === 'dead') return;
    if (packet.cmd === 'connack') this.#answered(packet);
    else if (packet.cmd === 'puback') this.#settle(packet.messageId, packet.reasonCode ?? 0);
    else if (packet.cmd === 'pubrec') this.#release(packet.messageId, packet.reasonCode ?? 0);
    else if (packet.cmd === 'pubcomp') this.#complete(packet.messageId);
    else if (packet.cmd === 'disconnect') this.#complain('DISCONNECT', packet.reasonCode, packet.properties);
  }

  #answered({ reasonCode = 0, properties, sessionPresent }: IConnackPacket): void {
    if (reasonCode === 0) {
      this.#accepted(sessionPresent, properties?.receiveMaximum);
      return;
    }
    this.#options.tally.refusals += 1;
    this.#complain('CONNACK', reasonCode, properties);
    this.#connection?.cut();
  }

  #complain(what: string, reasonCode = 0, properties?: { reasonString?: string }): void {
    this.#options.tally.lastTrouble = `${what} ${hex(reasonCode)} ${properties?.reasonString ?? ''}`.trim();
  }

  #accepted(sessionPresent: boolean, receiveMaximum: number | undefined): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'online';
    this.#failures = 0;
    this.#receiveMaximum = Math.min(receiveMaximum ?? window, window);
    this.#options.tally.online += 1;
    // Three pings would fit into the time after which the server gives up (1.5 times the keep-alive).
    this.#pings = setInterval(() => this.#connection?.send({ cmd: 'pingreq' }), keepAliveS * 500);
    if (sessionPresent) this.#resume();
    else this.#startOver();
    this.#flush();
  }

  /** The server remembers: what is under way goes on where it was (MQTT 5.0, 4.4). */
  #resume(): void {
    for (const [messageId, { reading, released }] of this.#inFlight) {
      this.#options.tally.resent += 1;
      if (released) this.#connection?.send({ cmd: 'pubrel', messageId });
      else this.#publish(messageId, reading, true);
    }
  }

  /** The server has no session: what it has not acknowledged is sent anew, before anything newer. */
  #startOver(): void {
    const unsettled = [...this.#inFlight.values()].filter(({ released }) => !released);
    this.#options.tally.resent += unsettled.length;
    this.#backlog = [...unsettled.map(({ reading }) => reading), ...this.#backlog];
    this.#inFlight.clear();
  }

  #flush(): void {
    if (this.#state !== 'online') return;
    while (this.#backlog.length > 0 && this.#inFlight.size < this.#receiveMaximum) {
      const reading = this.#backlog.shift();
      if (reading === undefined) return;
      const messageId = this.#options.qos === 0 ? 0 : this.#freePacketId();
      if (messageId !== 0) this.#inFlight.set(messageId, { reading, released: false });
      this.#options.tally.sent += 1;
      this.#publish(messageId, reading, false);
    }
    this.#dieIfSettled();
  }

  #dieIfSettled(): void {
    if (!this.#isDying || this.#state !== 'online' || this.pending > 0) return;
    this.#options.tally.online -= 1;
    this.#state = 'dead';
    this.#silence();
  }

  #publish(messageId: number, { payload }: Reading, dup: boolean): void {
    const { qos, identity } = this.#options;
    this.#connection?.send({
      cmd: 'publish',
      topic: `devices/${identity.name}/telemetry`,
      payload,
      qos,
      dup,
      retain: false,
      ...(qos === 0 ? {} : { messageId }),
      properties: { contentType: 'application/json' },
    });
  }

  #settle(messageId: number | undefined, reasonCode: number): void {
    const entry = this.#inFlight.get(messageId ?? 0);
    if (entry === undefined) return;
    this.#inFlight.delete(messageId ?? 0);
    this.#acknowledge(entry.reading, reasonCode);
    this.#flush();
  }

  #release(messageId: number | undefined, reasonCode: number): void {
    const entry = this.#inFlight.get(messageId ?? 0);
    if (entry === undefined || messageId === undefined) return;
    if (!entry.released) this.#acknowledge(entry.reading, reasonCode);
    if (reasonCode >= 0x80) {
      this.#inFlight.delete(messageId);
      return this.#flush();
    }
    entry.released = true;
    return this.#connection?.send({ cmd: 'pubrel', messageId });
  }

  #complete(messageId: number | undefined): void {
    this.#inFlight.delete(messageId ?? 0);
    this.#flush();
  }

  #acknowledge({ sequence }: Reading, reasonCode: number): void {
    const { tally } = this.#options;
    if (reasonCode >= 0x80) {
      tally.refusals += 1;
      this.#complain('PUBLISH refused', reasonCode);
      return;
    }
    if (this.acknowledged.add(sequence)) tally.acknowledged += 1;
  }

  #freePacketId(): number {
    while (this.#inFlight.has(this.#nextPacketId)) this.#advancePacketId();
    const free = this.#nextPacketId;
    this.#advancePacketId();
    return free;
  }

  #advancePacketId(): void {
    this.#nextPacketId = (this.#nextPacketId % 65_535) + 1;
  }

  #closed(error: Error | undefined): void {
    const { tally, random } = this.#options;
    this.#connection = undefined;
    clearInterval(this.#pings);
    if (error !== undefined) tally.lastTrouble = error.message;
    if (this.#state === 'dead' || this.#state === 'done') return;
    if (this.#state === 'online') tally.online -= 1;
    if (this.#state === 'out-of-reach') return;
    this.#state = 'away';
    this.#failures += 1;
    tally.reconnects += 1;
    const backOffMs = Math.min(firstBackOffMs * 2 ** (this.#failures - 1), longestBackOffMs);
    this.#retry = setTimeout(() => this.connect(), backOffMs * random.between(0.5, 1.5));
  }

  #silence(): void {
    clearInterval(this.#pings);
    clearTimeout(this.#retry);
  }
}

export const willPayload = JSON.stringify({ status: 'lost' });

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
