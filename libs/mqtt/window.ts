/**
 * The part of a session's queue that is in memory: deliveries that wait for their turn, in order. Of a durable session it is a window
 * on the queue in the vault, filled again from there as it empties, so that a session with a hundred thousand messages needs
 * no more memory than one with a thousand.
 */
import type { Message, Qos } from './message.js';
import type { Policy } from './ports.js';
import { keptBytes } from './publication.js';
import type { SharedGroup } from './shared.js';

const mostMessages = 1_000;
const mostBytes = 4 * 1024 * 1024;
/** What is read from the vault at once. */
export const pageMessages = 500;
export const pageBytes = 1024 * 1024;

/** A message that waits for its turn. */
export interface Delivery {
  /** 0: it gets one when it is sent. */
  readonly sequence: number;
  readonly message: Message;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  /** The shared subscription it came by, which may send it to somebody else. */
  readonly group: SharedGroup | undefined;
  /** It may have been sent on an earlier connection. */
  readonly isRepeated: boolean;
  /** PUBREC has been received for it: only PUBREL may follow. */
  readonly isReleased: boolean;
  /** What the client's rights were when it was let in; under others it is judged again. Undefined: not known, it waited in the vault. */
  readonly acceptedUnder: Policy | undefined;
}

export class Window {
  #queue: Delivery[] = [];
  /** What is before it has gone. */
  #first = 0;
  #bytes = 0;
  #qos0 = 0;

  get length(): number {
    return this.#queue.length - this.#first;
  }

  /** The sum of `keptBytes`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a QoS 0 message is in it: a retained one that waits for the client to read. */
  get holdsQos0(): boolean {
    return this.#qos0 > 0;
  }

  get first(): Delivery | undefined {
    return this.#queue[this.#first];
  }

  /** A message that is being stored may be kept here too. */
  get hasRoom(): boolean {
    return this.length < mostMessages && this.#bytes < mostBytes;
  }

  get hasRoomForPage(): boolean {
    return this.length <= mostMessages - pageMessages && this.#bytes <= mostBytes - pageBytes;
  }

  push(delivery: Delivery): void {
    this.#queue.push(delivery);
    this.#bytes += keptBytes(delivery.message);
    if (delivery.qos === 0) this.#qos0 += 1;
  }

  /** Takes the first one out. */
  shift(): void {
    const { first } = this;
    if (first === undefined) return;
    this.#forget(first);
    this.#first += 1;
    if (this.#first === this.#queue.length) {
      this.#queue = [];
      this.#first = 0;
    } else if (this.#first >= 512 && this.#first * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  remove(sequence: number): void {
    const at = this.#queue.findIndex((delivery, i) => i >= this.#first && delivery.sequence === sequence);
    const [removed] = at < 0 ? [] : this.#queue.splice(at, 1);
    if (removed !== undefined) this.#forget(removed);
  }

  clear(): void {
    this.#queue = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#qos0 = 0;
  }

  *[Symbol.iterator](): Iterator<Delivery> {
    for (let at = this.#first; at < this.#queue.length; at++) yield this.#queue[at] as Delivery;
  }

  #forget({ message, qos }: Delivery): void {
    this.#bytes -= keptBytes(message);
    if (qos === 0) this.#qos0 -= 1;
  }
}
