import { maxViewedBytes } from './framing.js';
import type { Link } from './ports.js';
import type { EncodedPublish } from './packets.js';
import type { Turns } from './turns.js';

/**
 * Pieces up to this size are copied together: one large write costs less than many small ones. What is larger goes on by reference:
 * it must not be on loan.
 */
export const maxCopiedBytes = maxViewedBytes;
const smallestSlab = 256;
const largestSlab = 64 * 1024;

/**
 * What is on its way to one client. Small packets are laid one behind the other into a slab, large payloads are passed on
 * by reference, and all of it goes to the link in one write a turn. A slab is as large as the last turn's writes, so that an
 * idle connection holds none and a busy one makes few.
 */
export class Outbox {
  readonly #link: Link;
  readonly #turns: Turns;
  /** Over it, `hasRoom` is false. */
  maxBytes: number;
  readonly #onFlushed: () => void;
  #chunks: Buffer[] = [];
  #slab: Buffer | undefined;
  #start = 0;
  #at = 0;
  #pendingBytes = 0;
  #slabHint = smallestSlab;
  #isWaiting = false;
  #isBlocked = false;
  bytesSent = 0;

  constructor(link: Link, turns: Turns, maxBytes: number, onFlushed: () => void) {
    this.#link = link;
    this.#turns = turns;
    this.maxBytes = maxBytes;
    this.#onFlushed = onFlushed;
  }

  /** Whether more messages may go in: the client takes what it is sent. */
  get hasRoom(): boolean {
    if (this.#pendingBytes >= this.maxBytes) return false;
    return !this.#isBlocked || this.#link.bufferedBytes + this.#pendingBytes < this.maxBytes;
  }

  /** The link calls `drained` once it has room again. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  write(bytes: Buffer): void {
    if (bytes.length > maxCopiedBytes) return this.#pass(bytes);
    const at = this.#room(bytes.length);
    (this.#slab as Buffer).set(bytes, at);
  }

  /** An acknowledgement of four bytes. */
  acknowledge(header: number, packetId: number): void {
    const at = this.#room(4);
    const slab = this.#slab as Buffer;
    slab[at] = header;
    slab[at + 1] = 2;
    slab[at + 2] = packetId >> 8;
    slab[at + 3] = packetId & 0xff;
  }

  publish(encoded: EncodedPublish, packetId: number): void {
    const { bytes, packetIdAt, payload } = encoded;
    const at = this.#room(bytes.length);
    const slab = this.#slab as Buffer;
    slab.set(bytes, at);
    if (packetIdAt > 0) {
      slab[at + packetIdAt] = packetId >> 8;
      slab[at + packetIdAt + 1] = packetId & 0xff;
    }
    if (payload !== undefined) this.#pass(payload);
  }

  flush(): void {
    this.#isWaiting = false;
    if (this.#pendingBytes > 0) {
      this.#closeSlab();
      this.#slab = undefined;
      const chunks = this.#chunks;
      this.#chunks = [];
      const bytes = this.#pendingBytes;
      this.#pendingBytes = 0;
      this.#slabHint = Math.min(largestSlab, Math.max(smallestSlab, 1 << (32 - Math.clz32(bytes - 1))));
      this.bytesSent += bytes;
      if (!this.#link.write(chunks)) this.#isBlocked = true;
    }
    this.#onFlushed();
  }

  drained(): void {
    this.#isBlocked = false;
  }

  /** Nothing goes out any more. */
  close(): void {
    this.#chunks = [];
    this.#slab = undefined;
    this.#pendingBytes = 0;
  }

  /** Flushes in this turn, also where there is nothing to send. */
  wake(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#turns.add(this);
  }

  #room(length: number): number {
    if (this.#slab === undefined || this.#at + length > this.#slab.length) this.#openSlab(length);
    const at = this.#at;
    this.#at += length;
    this.#pendingBytes += length;
    this.wake();
    return at;
  }

  #openSlab(length: number): void {
    this.#closeSlab();
    this.#slab = Buffer.allocUnsafe(Math.max(this.#slabHint, length));
    this.#slabHint = Math.min(largestSlab, this.#slabHint * 2);
    this.#start = 0;
    this.#at = 0;
  }

  #closeSlab(): void {
    if (this.#slab === undefined || this.#at === this.#start) return;
    this.#chunks.push(this.#slab.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  #pass(bytes: Buffer): void {
    this.#closeSlab();
    this.#chunks.push(bytes);
    this.#pendingBytes += bytes.length;
    this.wake();
  }
}
