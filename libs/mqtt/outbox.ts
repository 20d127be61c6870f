import type { Link } from './ports.js';
import type { EncodedPublish } from './packets.js';
import { giveBack, takeSlab } from './slabs.js';
import type { Turns } from './turns.js';

/** Pieces up to this size are laid together: one large write costs less than many small ones. */
export const maxCopiedBytes = 2048;
const smallestSlab = 256;
const largestTogether = 64 * 1024;

/**
 * What is on its way to one client. Small packets are laid one behind the other into a slab, and all of it goes to the link in
 * one write a turn. A slab is as large as the last turn's writes; one that is too small is moved into a larger one, for a write of
 * several pieces costs twice that of one. Large payloads are pieces by themselves: passed on by reference if they are somebody's
 * own, and in a slab if they are on loan. When the link has taken everything its slabs are somebody else's: an idle
 * connection holds none, and a busy one makes none.
 */
export class Outbox {
  readonly #link: Link;
  readonly #turns: Turns;
  /** Over it, `hasRoom` is false. */
  maxBytes: number;
  readonly #onFlushed: () => void;
  /** What this turn's packets are laid into now, from `#start` to `#at`. */
  #slab: Buffer | undefined = undefined;
  #start = 0;
  #at = 0;
  // Mostly the slab is all there is: lists are made where there is more, for each outbox has its own, and goes through a turn in which
  // it sends something a thousand times a second.
  /** What goes out before it. */
  #chunks: Buffer[] | undefined = undefined;
  /** Other slabs of this turn. */
  #others: Buffer[] | undefined = undefined;
  /** Slabs of earlier turns, which the link has not taken yet. */
  #underWay: Buffer[] | undefined = undefined;
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
    const { bytes, packetIdAt, payload, isLent } = encoded;
    if (bytes.length <= maxCopiedBytes) {
      const at = this.#room(bytes.length);
      lay(bytes, this.#slab as Buffer, at, packetIdAt, packetId);
    } else if (packetIdAt > 0 || (isLent && payload === undefined)) {
      this.#layAlone(bytes, packetIdAt, packetId);
    } else this.#pass(bytes);
    if (payload === undefined) return;
    if (isLent) this.#layAlone(payload, 0, 0);
    else this.#pass(payload);
  }

  flush(): void {
    this.#isWaiting = false;
    if (this.#pendingBytes > 0) {
      this.#reclaim();
      this.#closeSlab();
      const chunks = this.#chunks ?? [];
      const slab = this.#slab;
      const others = this.#others;
      this.#slabHint = others !== undefined && slab !== undefined ? largestTogether : this.#at;
      this.bytesSent += this.#pendingBytes;
      this.#clear();
      if (!this.#link.write(chunks)) this.#isBlocked = true;
      if (slab !== undefined) this.#release(slab);
      if (others !== undefined) for (const other of others) this.#release(other);
    }
    this.#onFlushed();
  }

  drained(): void {
    this.#isBlocked = false;
    this.#reclaim();
  }

  /** Back to where slabs come from, once the link has what is in it. */
  #release(slab: Buffer): void {
    if (this.#link.bufferedBytes === 0) giveBack(slab);
    else if (this.#underWay === undefined) this.#underWay = [slab];
    else this.#underWay.push(slab);
  }

  #reclaim(): void {
    if (this.#underWay === undefined || this.#link.bufferedBytes > 0) return;
    for (const slab of this.#underWay) giveBack(slab);
    this.#underWay = undefined;
  }

  /** Nothing goes out any more. What the link still has stays its own. */
  close(): void {
    this.#underWay = undefined;
    this.#clear();
  }

  #clear(): void {
    this.#chunks = undefined;
    this.#slab = undefined;
    this.#others = undefined;
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
    if (slab !== undefined && this.#start === 0 && this.#at + length <= largestTogether)
      this.#grow(slab, length);
    else this.#openSlab(length);
  }

  #grow(slab: Buffer, length: number): void {
    const grown = takeSlab(Math.max(2 * slab.length, this.#at + length));
    grown.set(slab.subarray(0, this.#at));
    this.#slab = grown;
    giveBack(slab);
  }

  #openSlab(length: number): void {
    this.#closeSlab();
    if (this.#slab !== undefined) this.#keep(this.#slab);
    this.#slab = takeSlab(Math.max(this.#slabHint, length));
    this.#start = 0;
    this.#at = 0;
  }

  #keep(slab: Buffer): void {
    if (this.#others === undefined) this.#others = [slab];
    else this.#others.push(slab);
  }

  /** What has been laid into the slab is a piece by itself. */
  #closeSlab(): void {
    if (this.#slab === undefined || this.#at === this.#start) return;
    const piece = this.#slab.subarray(this.#start, this.#at);
    this.#start = this.#at;
    this.#push(piece);
  }

  #push(piece: Buffer): void {
    if (this.#chunks === undefined) this.#chunks = [piece];
    else this.#chunks.push(piece);
  }

  /** What is on loan, or gets a packet identifier of its own. */
  #layAlone(bytes: Buffer, packetIdAt: number, packetId: number): void {
    const slab = takeSlab(bytes.length);
    lay(bytes, slab, 0, packetIdAt, packetId);
    this.#pass(slab.subarray(0, bytes.length));
    this.#keep(slab);
  }

  #pass(bytes: Buffer): void {
    this.#closeSlab();
    this.#push(bytes);
    this.#pendingBytes += bytes.length;
    this.wake();
  }
}

function lay(bytes: Buffer, slab: Buffer, at: number, packetIdAt: number, packetId: number): void {
  slab.set(bytes, at);
  if (packetIdAt === 0) return;
  slab[at + packetIdAt] = packetId >> 8;
  slab[at + packetIdAt + 1] = packetId & 0xff;
}
