import { maxViewedBytes } from './framing.js';
import type { Link } from './ports.js';
import type { EncodedPublish } from './packets.js';
import type { Turns } from './turns.js';

/**
 * Pieces up to this size are copied together: one large write costs less than many small ones. What is larger goes on by reference:
 * it must not be on loan.
 */
export const maxCopiedBytes = maxViewedBytes;
const smallestPower = 8;
const smallestSlab = 1 << smallestPower;
const largestSlab = 64 * 1024;

/** Of each size, slabs of so many bytes are kept for whoever needs one next. */
const mostFreeBytes = 1024 * 1024;
const freeSlabs: Buffer[][] = Array.from({ length: 32 - Math.clz32(largestSlab) }, () => []);

function takeSlab(leastBytes: number): Buffer {
  if (leastBytes > largestSlab) return Buffer.allocUnsafe(leastBytes);
  const power = leastBytes <= smallestSlab ? smallestPower : 32 - Math.clz32(leastBytes - 1);
  return freeSlabs[power]?.pop() ?? Buffer.allocUnsafe(1 << power);
}

function giveBack(slab: Buffer): void {
  const free = freeSlabs[31 - Math.clz32(slab.length)];
  if (free !== undefined && free.length * slab.length < mostFreeBytes) free.push(slab);
}

/**
 * What is on its way to one client. Small packets are laid one behind the other into a slab, large payloads are passed on
 * by reference, and all of it goes to the link in one write a turn. A slab is as large as the last turn's writes; one that
 * is too small is moved into a larger one, for a write of several pieces costs twice that of one. When the link has
 * taken everything the slab is somebody else's: an idle connection holds none, and a busy one makes none.
 */
export class Outbox {
  readonly #link: Link;
  readonly #turns: Turns;
  /** Over it, `hasRoom` is false. */
  maxBytes: number;
  readonly #onFlushed: () => void;
  #chunks: Buffer[] = [];
  #slab: Buffer | undefined;
  /** All that this turn's packets are in: that one is the last. */
  #slabs: Buffer[] = [];
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
    if (packetIdAt === 0 && bytes.length > maxCopiedBytes) return this.#pass(bytes);
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
      const chunks = this.#chunks;
      const slabs = this.#slabs;
      this.#slabHint = slabs.length > 1 ? largestSlab : this.#at;
      this.bytesSent += this.#pendingBytes;
      this.close();
      if (!this.#link.write(chunks)) this.#isBlocked = true;
      if (this.#link.bufferedBytes === 0) for (const slab of slabs) giveBack(slab);
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
    this.#slabs = [];
    this.#start = 0;
    this.#at = 0;
    this.#pendingBytes = 0;
  }

  /** Flushes in this turn, also where there is nothing to send. */
  wake(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#turns.add(this);
  }

  #room(length: number): number {
    if (this.#slab === undefined || this.#at + length > this.#slab.length) this.#makeRoom(length);
    const at = this.#at;
    this.#at += length;
    this.#pendingBytes += length;
    this.wake();
    return at;
  }

  #makeRoom(length: number): void {
    const slab = this.#slab;
    // What has been cut off already, before a large payload, stays where it is.
    if (slab !== undefined && this.#start === 0 && this.#at + length <= largestSlab) this.#grow(slab, length);
    else this.#openSlab(length);
  }

  #grow(slab: Buffer, length: number): void {
    const grown = takeSlab(Math.max(2 * slab.length, this.#at + length));
    grown.set(slab.subarray(0, this.#at));
    this.#slab = grown;
    this.#slabs[this.#slabs.length - 1] = grown;
    giveBack(slab);
  }

  #openSlab(length: number): void {
    this.#closeSlab();
    this.#slab = takeSlab(Math.max(this.#slabHint, length));
    this.#slabs.push(this.#slab);
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
