/**
 * Bytes → frames. A frame is one whole control packet; its type, its reserved flags and its length are checked as soon as
 * their bytes are here, before anything is buffered.
 *
 * Who copies, and when. A chunk is lent: the link reads the next one, of whichever client, into the same memory. A frame that lies
 * whole in a chunk is a view on it, and so are the payload and the binary properties that the codec takes out of it: they are
 * good until the frame has been handled, in which they are laid into outboxes. Whoever keeps them longer (retained messages,
 * queues) copies them first (`Message.isLent`). What is held while frames are not wanted is copied to memory that is used again in
 * the same way, and a frame that is split over chunks is put together in such memory; the link is told where the rest of a large one belongs, and may read it to there (`place`), so that it is not copied.
 *
 * How much memory a split frame gets, and when. Growing with the bytes that come copies what was there before each time and
 * leaves the smaller piece to the collector; taking the announced length at once gives a client who announces and then says
 * nothing that much for five bytes. So whoever has not signed in gets memory for what has come; whoever has, gets up to
 * `maxAtOnceBytes` for the asking, one frame a connection: as much as one chunk of the socket's costs a few times over.
 */
import { Reasons } from './reason.js';
import { giveBack, takeSlab } from './slabs.js';
import { ProtocolViolation } from './violation.js';

/** Takes one frame; its body (what follows the fixed header) starts at `bodyOffset`. False: no more for now. */
export type OnFrame = (frame: Buffer, bodyOffset: number) => boolean;

/** A type byte, and a Remaining Length of at most four (2.1.4). */
const maxHeaderBytes = 5;
const firstPartialBytes = 1024;
/** Frames up to this length get all their memory with their first bytes, where the sender is known. */
export const maxAtOnceBytes = 256 * 1024;
/** A rest of this length is worth being read to its place by itself. */
const leastPlaced = 4096;
const noBytes = Buffer.alloc(0);

/** Bytes that wait, and the slab that they were copied to. */
interface Held {
  readonly bytes: Buffer;
  readonly slab: Buffer;
}

/** One per connection. After it has thrown, or `stop()`, it takes no more bytes. */
export class Framer {
  /** Fixed header included. May be changed at any time; holds for frames whose header is not complete yet. */
  maxPacketBytes: number;
  /** Split frames up to this length get their memory at once. 0: as the bytes come. May be changed at any time. */
  atOnceBytes = 0;

  // The frame that is still incomplete: partial[0, have). `need` is its whole length, 0 while the header is incomplete.
  #partial: Buffer = noBytes;
  /** What that is in. */
  #slab: Buffer = noBytes;
  /** The link may be reading into it. */
  #isPlaced = false;
  #have = 0;
  #need = 0;
  #partialBodyOffset = 0;

  // Of the header that was read last.
  #bodyOffset = 0;

  readonly #held: Held[] = [];
  #heldBytes = 0;
  #paused = false;
  #stopped = false;

  constructor(maxPacketBytes: number) {
    this.maxPacketBytes = maxPacketBytes;
  }

  /** Bytes that arrived while frames were not wanted. The link is paused then, so this stays at a few chunks. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** A frame has begun, and is not whole. */
  get isMidFrame(): boolean {
    return this.#have > 0;
  }

  /**
   * Hands over every frame that the chunk completes, until `onFrame` returns false: what follows is then held, along with
   * later chunks, until `resume`. Throws ProtocolViolation at the first byte that cannot begin or continue a frame.
   * `onFrame` may call `stop` and set the limit, nothing else.
   */
  push(chunk: Buffer, onFrame: OnFrame): void {
    this.#isPlaced = false;
    if (this.#stopped || chunk.length === 0) return;
    const at = this.#paused ? 0 : this.#read(chunk, onFrame);
    if (at < chunk.length) this.#hold(chunk, at);
  }

  /** Where what comes next belongs: the rest of a large frame. Undefined: nowhere in particular. */
  place(): Buffer | undefined {
    if (this.#need === 0 || this.#partial.length - this.#have < leastPlaced) return undefined;
    this.#isPlaced = true;
    return this.#partial.subarray(this.#have);
  }

  /** Goes on with the bytes held since `onFrame` returned false. */
  resume(onFrame: OnFrame): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) {
      const { bytes, slab } = held;
      this.#heldBytes -= bytes.length;
      const at = this.#read(bytes, onFrame);
      if (at === bytes.length) giveBack(slab);
      else {
        this.#heldBytes += bytes.length - at;
        this.#held.unshift({ bytes: bytes.subarray(at), slab });
      }
      if (this.#paused) return;
    }
  }

  /** Nothing more is parsed, and nothing is kept. */
  stop(): void {
    this.#stopped = true;
    this.#paused = false;
    for (const { slab } of this.#held.splice(0)) giveBack(slab);
    this.#heldBytes = 0;
    // A link that ends reads on for a while: into this, and it must not be somebody else's by then.
    if (!this.#isPlaced) giveBack(this.#slab);
    this.#forgetPartial();
  }

  #forgetPartial(): void {
    this.#partial = noBytes;
    this.#slab = noBytes;
    this.#have = 0;
    this.#need = 0;
  }

  /** What of the chunk, which is on loan, begins at `at`. */
  #hold(chunk: Buffer, at: number): void {
    const length = chunk.length - at;
    const slab = takeSlab(length);
    chunk.copy(slab, 0, at);
    this.#held.push({ bytes: slab.subarray(0, length), slab });
    this.#heldBytes += length;
  }

  /** Returns up to where the chunk is read: to its end, unless `onFrame` wants no more for now. */
  #read(chunk: Buffer, onFrame: OnFrame): number {
    let at = this.#have > 0 ? this.#complete(chunk) : 0;
    if (this.#need > 0 && this.#have === this.#need) {
      const frame = this.#partial;
      const slab = this.#slab;
      const bodyOffset = this.#partialBodyOffset;
      this.#forgetPartial();
      const goesOn = onFrame(frame, bodyOffset);
      giveBack(slab);
      if (!goesOn || this.#stopped) return this.#pause(at, chunk.length);
    }
    while (at < chunk.length) {
      const length = this.#header(chunk, at, chunk.length);
      if (length === 0 || length > chunk.length - at) {
        this.#begin(chunk, at, length);
        return chunk.length;
      }
      const end = at + length;
      const frame = at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end);
      at = end;
      if (!onFrame(frame, this.#bodyOffset) || this.#stopped) return this.#pause(at, chunk.length);
    }
    return at;
  }

  #pause(at: number, length: number): number {
    if (this.#stopped) return length; // nothing of it is wanted any more
    this.#paused = true;
    return at;
  }

  /** The whole length of the frame that begins at `at`, 0 while the header is incomplete; leaves #bodyOffset behind. */
  #header(bytes: Buffer, at: number, end: number): number {
    const problem = firstByteProblem(bytes[at] as number);
    if (problem !== undefined) return this.#refuse(problem);
    let remaining = 0;
    for (let n = 1; n < maxHeaderBytes; n++) {
      if (at + n >= end) return 0;
      const byte = bytes[at + n] as number;
      remaining |= (byte & 0x7f) << (7 * (n - 1));
      if (byte < 0x80) {
        const length = 1 + n + remaining;
        if (length > this.maxPacketBytes) {
          return this.#refuse(new ProtocolViolation(Reasons.packetTooLarge, 'packet over the size limit'));
        }
        this.#bodyOffset = 1 + n;
        return length;
      }
    }
    return this.#refuse(malformed('Remaining Length of more than four bytes')); // MQTT-1.5.5-1, 2.1.4
  }

  #refuse(problem: ProtocolViolation): never {
    this.stop();
    throw problem;
  }

  /** Keeps the beginning of a frame, in memory of its own: the chunk must not stay for its last few bytes. */
  #begin(chunk: Buffer, at: number, length: number): void {
    const have = chunk.length - at;
    this.#takePartial(length === 0 ? maxHeaderBytes : this.#roomFor(have, length));
    chunk.copy(this.#partial, 0, at);
    this.#have = have;
    this.#need = length;
    this.#partialBodyOffset = this.#bodyOffset;
  }

  /** Adds to the incomplete frame as much of the chunk as belongs to it; returns where the chunk goes on. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (this.#need === 0 && at < chunk.length) {
      this.#partial[this.#have++] = chunk[at++] as number;
      this.#need = this.#header(this.#partial, 0, this.#have);
      this.#partialBodyOffset = this.#bodyOffset;
    }
    if (this.#need === 0) return at;
    const take = Math.min(this.#need - this.#have, chunk.length - at);
    if (!this.#isInPlace(chunk)) {
      this.#makeRoom(this.#have + take);
      chunk.copy(this.#partial, this.#have, at, at + take);
    }
    this.#have += take;
    return at + take;
  }

  #isInPlace(chunk: Buffer): boolean {
    return (
      chunk.buffer === this.#partial.buffer && chunk.byteOffset === this.#partial.byteOffset + this.#have
    );
  }

  /**
   * Beyond `atOnceBytes` it doubles: a header that announces a megabyte gets the memory only as the bytes come, and a drip
   * of single bytes copies each of them a constant number of times.
   */
  #makeRoom(have: number): void {
    if (have <= this.#partial.length && (have < this.#need || this.#partial.length === this.#need)) return;
    const small = this.#partial;
    const slab = this.#slab;
    this.#takePartial(this.#roomFor(have, this.#need));
    small.copy(this.#partial, 0, 0, this.#have);
    giveBack(slab);
  }

  #takePartial(bytes: number): void {
    this.#slab = takeSlab(bytes);
    this.#partial = this.#slab.subarray(0, bytes);
  }

  #roomFor(have: number, need: number): number {
    return need <= this.atOnceBytes ? need : Math.min(need, Math.max(firstPartialBytes, 2 * have));
  }
}

function malformed(message: string): ProtocolViolation {
  return new ProtocolViolation(Reasons.malformedPacket, message);
}

/**
 * What is wrong with the first byte of a packet that comes from a client, in every version (2.1.2, 2.1.3). MQTT 3.1 has a
 * DUP flag in PUBREL, SUBSCRIBE and UNSUBSCRIBE; the codec, which knows the version, refuses it elsewhere.
 */
function firstByteProblem(byte: number): ProtocolViolation | undefined {
  const flags = byte & 0x0f;
  switch (byte >> 4) {
    case 3: // PUBLISH
      if ((flags & 0x06) === 0x06) return malformed('QoS 3'); // MQTT-3.3.1-4
      if ((flags & 0x0e) === 0x08) return malformed('DUP with QoS 0'); // MQTT-3.3.1-2
      return undefined;
    case 6: // PUBREL
    case 8: // SUBSCRIBE
    case 10: // UNSUBSCRIBE
      return (flags & 0x07) === 0x02 ? undefined : malformed('reserved flags'); // MQTT-2.1.3-1
    case 2: // CONNACK
    case 9: // SUBACK
    case 11: // UNSUBACK
    case 13: // PINGRESP
      return new ProtocolViolation(Reasons.protocolError, 'a packet that only a server sends');
    case 0:
      return malformed('packet type 0');
    default: // CONNECT, PUBACK, PUBREC, PUBCOMP, PINGREQ, DISCONNECT, AUTH
      return flags === 0 ? undefined : malformed('reserved flags'); // MQTT-2.1.3-1
  }
}

/**
 * The same bytes in memory that holds little else: themselves where that is so already, a copy where they are a view on
 * something much larger. For what is kept: retained messages, queues, wills.
 */
export function ownBytes(bytes: Buffer): Buffer {
  return bytes.buffer.byteLength <= 2 * bytes.length + 64 ? bytes : copyBytes(bytes);
}

/** A copy in memory of its own, not from Node's shared pool, of which it would pin 8 KiB in turn. */
export function copyBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}
