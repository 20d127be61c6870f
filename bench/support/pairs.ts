/**
 * Pairs of a publisher and a subscriber, QoS 1, of several brokers, in this process: one message a millisecond, of one broker after the
 * other, and of each the time it was written and how long it was under way. Nothing is made for a message but what the sockets make, so
 * that this process' own collections of garbage are few.
 */
import { type Connection, type Door, openAll, publishPacket, signIn } from './wire.js';

const pairsOfBroker = 20;
const tickMs = 1;
const payload = Buffer.alloc(64, 0x78);

export class Pairs {
  /** Of every message, by its number; a latency that is NaN has not come. In ms. */
  readonly sentAt: Float64Array;
  readonly latency: Float64Array;
  sent = 0;
  readonly #publishers: readonly Connection[];
  readonly #subscribers: Connection[] = [];
  readonly #frames: readonly Buffer[];
  readonly #brokers: number;
  #timer: NodeJS.Timeout | undefined;

  private constructor(brokers: number, publishers: readonly Connection[], most: number) {
    this.#brokers = brokers;
    this.#publishers = publishers;
    this.#frames = publishers.map((_, pair) => publishPacket(4, 1, 1, topicOf(pair), payload));
    this.sentAt = new Float64Array(most);
    this.latency = new Float64Array(most).fill(NaN);
  }

  /** `most`: messages that are written down; those after them are not sent. */
  static async open(doors: readonly Door[], most: number): Promise<Pairs> {
    const count = pairsOfBroker * doors.length;
    const doorOf = (pair: number): Door => doors[pair % doors.length] as Door;
    const publishers = await openAll(count, count, (pair) =>
      signIn(doorOf(pair), { clientId: `quiet-${pair}` }),
    );
    const pairs = new Pairs(doors.length, publishers, most);
    for (const publisher of publishers) publisher.onPacket = () => undefined; // PUBACK
    const subscribers = await openAll(count, count, (pair) =>
      signIn(doorOf(pair), { clientId: `quiet-${pair}-sub`, filters: [topicOf(pair)], qos: 1 }),
    );
    pairs.#subscribers.push(...subscribers);
    for (const subscriber of subscribers) {
      subscriber.onPacket = (_, bytes, start, end) => pairs.#receive(subscriber, bytes, start, end);
    }
    return pairs;
  }

  start(): void {
    this.#timer = setInterval(() => this.#send(), tickMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  close(): void {
    for (const connection of [...this.#publishers, ...this.#subscribers]) connection.end();
  }

  /** Latencies of what was written to a broker from one moment to another. */
  between(broker: number, from: number, to: number): number[] {
    const latencies: number[] = [];
    for (let number = broker; number < this.sent; number += this.#brokers) {
      const at = this.sentAt[number] ?? NaN;
      const latency = this.latency[number] ?? NaN;
      if (at >= from && at < to && latency >= 0) latencies.push(latency);
    }
    return latencies;
  }

  get lost(): number {
    return this.latency.subarray(0, this.sent).filter(Number.isNaN).length;
  }

  #send(): void {
    const number = this.sent;
    if (number === this.sentAt.length) return;
    this.sent += 1;
    const pair = number % this.#publishers.length;
    const frame = this.#frames[pair] as Buffer;
    const publisher = this.#publishers[pair] as Connection;
    const { out, at } = publisher.room(frame.length);
    frame.copy(out, at);
    out.writeUInt32LE(number, at + frame.length - payload.length);
    this.sentAt[number] = performance.now();
    publisher.flush();
  }

  #receive(subscriber: Connection, bytes: Buffer, start: number, end: number): void {
    const number = bytes.readUInt32LE(end - payload.length);
    this.latency[number] = performance.now() - (this.sentAt[number] ?? NaN);
    subscriber.acknowledge(0x40, bytes, start + 2 + bytes.readUInt16BE(start));
  }
}

function topicOf(pair: number): string {
  return `bench/quiet/${pair}`;
}
