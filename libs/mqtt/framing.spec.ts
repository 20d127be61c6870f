import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';
import { Framer, maxAtOnceBytes, ownBytes } from './framing.js';
import { Reasons } from './reason.js';
import { takeSlab } from './slabs.js';
import { bytes, packet } from './testing/wire.js';
import { ProtocolViolation } from './violation.js';

const frames = [
  packet(0xc0),
  packet(0x30, '0001 61', Buffer.alloc(1)),
  packet(0x32, '0001 61 0001', Buffer.alloc(200, 7)),
  packet(0x40, '0001'),
  packet(0x3d, '0001 61 0002', Buffer.alloc(20_000, 8)),
  packet(0xc0),
];
const stream = Buffer.concat(frames);

function collect(framer: Framer, chunks: readonly Buffer[]): Buffer[] {
  const got: Buffer[] = [];
  for (const chunk of chunks) {
    framer.push(chunk, (frame, bodyOffset) => {
      expect(bodyOffset).toBe(frame.length < 130 ? 2 : frame.length < 16_387 ? 3 : 4);
      got.push(Buffer.from(frame));
      return true;
    });
  }
  return got;
}

function violation(work: () => void): ProtocolViolation {
  try {
    work();
  } catch (error) {
    if (error instanceof ProtocolViolation) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const ignore = (): boolean => true;

describe('the framer', () => {
  it('finds the frames of a stream that comes whole', () => {
    expect(collect(new Framer(100_000), [stream])).toEqual(frames);
  });

  it('finds the frames of a stream that comes byte by byte', () => {
    const single = Array.from(stream, (byte) => Buffer.from([byte]));
    expect(collect(new Framer(100_000), single)).toEqual(frames);
  });

  it('finds the frames of a stream however it is split', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), fc.boolean(), (cuts, isKnown) => {
        const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const chunks = at.slice(1).map((end, index) => stream.subarray(at[index], end));
        const framer = new Framer(100_000);
        if (isKnown) framer.atOnceBytes = maxAtOnceBytes;
        const got = collect(framer, chunks);
        expect(got.map((frame) => frame.length)).toEqual(frames.map((frame) => frame.length));
        expect(Buffer.concat(got).equals(stream)).toBe(true);
      }),
    );
  });

  it('finds the frames of a stream whose chunks are lent, also in what it holds and what is read to its place', () => {
    const lent = Buffer.alloc(64 * 1024);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1 }),
        fc.nat(3),
        (sizes, rest) => {
          const framer = new Framer(100_000);
          framer.atOnceBytes = maxAtOnceBytes;
          const got: Buffer[] = [];
          let count = 0;
          const onFrame = (frame: Buffer): boolean => {
            got.push(Buffer.from(frame));
            return count++ % 4 !== rest;
          };
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const memory = framer.place() ?? lent;
            const size = Math.min(sizes[turn % sizes.length]!, memory.length, stream.length - at);
            stream.copy(memory, 0, at, at + size);
            at += size;
            framer.push(memory.subarray(0, size), onFrame);
            lent.fill(0xaa, 0, size);
            if (turn % 3 === 0) framer.resume(onFrame);
          }
          while (framer.heldBytes > 0) framer.resume(onFrame);
          expect(Buffer.concat(got).equals(stream)).toBe(true);
        },
      ),
    );
  });

  it('says where the rest of a large frame belongs, and does not copy what was read to there', () => {
    const large = frames[4]!;
    const framer = new Framer(100_000);
    framer.atOnceBytes = maxAtOnceBytes;
    let got: Buffer = Buffer.alloc(0);
    let memory: ArrayBufferLike | undefined;
    const keep = (frame: Buffer): boolean => {
      memory = frame.buffer;
      return (got = Buffer.from(frame)).length > 0;
    };
    expect(framer.place()).toBeUndefined();
    framer.push(large.subarray(0, 1000), keep);
    const place = framer.place()!;
    expect(place.length).toBe(large.length - 1000);
    large.copy(place, 0, 1000, 9000);
    framer.push(place.subarray(0, 8000), keep);
    const rest = framer.place()!;
    large.copy(rest, 0, 9000);
    framer.push(rest, keep);
    expect(got).toEqual(large);
    expect(memory).toBe(place.buffer);
    framer.push(large.subarray(0, 18_000), keep);
    expect(framer.place()).toBeUndefined(); // so little is copied
    framer.stop();
    expect(framer.place()).toBeUndefined();
  });

  it('gives nobody who is not known a place for what was announced alone', () => {
    const framer = new Framer(100_000);
    framer.push(frames[4]!.subarray(0, 5), ignore);
    expect(framer.place()).toBeUndefined();
  });

  it('gives views on a chunk that holds whole frames, and puts split ones together in memory that is used again', () => {
    const chunk = Buffer.concat([frames[1]!, frames[2]!]);
    const views: Buffer[] = [];
    const framer = new Framer(1000);
    const keep = (frame: Buffer): boolean => views.push(frame) > 0;
    framer.push(chunk, keep);
    expect(views.map((view) => view.buffer === chunk.buffer)).toEqual([true, true]);
    for (let time = 0; time < 2; time += 1) {
      framer.push(chunk.subarray(0, 3), keep);
      framer.push(chunk.subarray(3, 6), keep);
    }
    expect(views[3]).toEqual(frames[1]);
    expect(views[2]?.buffer).toBe(views[3]?.buffer);
  });

  it('holds what follows once it is told to wait, and goes on from there', () => {
    const framer = new Framer(100_000);
    const got: number[] = [];
    const oneAtATime = (frame: Buffer): boolean => {
      got.push(frame.length);
      return false;
    };
    framer.push(stream.subarray(0, 100), oneAtATime);
    framer.push(stream.subarray(100), oneAtATime);
    expect(got).toEqual([2]);
    expect(framer.heldBytes).toBe(stream.length - 2);
    for (let resumed = 1; resumed < frames.length; resumed++) framer.resume(oneAtATime);
    expect(got).toEqual(frames.map((frame) => frame.length));
    expect(framer.heldBytes).toBe(0);
    framer.push(frames[0]!, oneAtATime);
    expect(got).toHaveLength(frames.length);
    framer.resume(oneAtATime);
    expect(got).toHaveLength(frames.length + 1);
  });

  it('holds bytes in memory that is used again when they have been read, or never will be', () => {
    const framer = new Framer(100_000);
    const memory: ArrayBufferLike[] = [];
    const oneAtATime = (frame: Buffer): boolean => {
      memory.push(frame.buffer);
      return false;
    };
    const three = Buffer.concat([frames[2]!, frames[2]!, frames[2]!]);
    framer.push(three, oneAtATime);
    framer.push(three, oneAtATime);
    while (framer.heldBytes > 0) framer.resume(oneAtATime);
    expect(new Set(memory).size).toBe(3); // the chunk that came, the rest of it, and the other
    framer.push(three, oneAtATime);
    framer.resume(oneAtATime);
    expect(new Set(memory).size).toBe(3);
    framer.stop();
    expect(memory).toContain(takeSlab(three.length).buffer);
  });

  it.each([true, false])(
    'gives nothing more once it is stopped, from within a frame too (which says %s)',
    (goesOn) => {
      const framer = new Framer(100_000);
      let got = 0;
      const stop = (): boolean => {
        got += 1;
        framer.stop();
        return goesOn;
      };
      framer.push(stream, stop);
      framer.push(stream, stop);
      framer.resume(stop);
      expect([got, framer.heldBytes]).toEqual([1, 0]);
    },
  );

  it('takes a frame of exactly the limit and refuses one byte more, from the header alone', () => {
    const exact = packet(0x30, '0001 61', Buffer.alloc(195));
    expect(collect(new Framer(exact.length), [exact])).toEqual([exact]);
    const refused = violation(() => new Framer(exact.length - 1).push(exact.subarray(0, 3), ignore));
    expect(refused.reason).toBe(Reasons.packetTooLarge);
  });

  it('holds frames to the limit of the moment', () => {
    const framer = new Framer(4);
    framer.push(packet(0x40, '0001'), ignore);
    framer.maxPacketBytes = 300;
    expect(collect(framer, [frames[2]!])).toEqual([frames[2]]);
    framer.maxPacketBytes = 3;
    expect(violation(() => framer.push(packet(0x40, '0001'), ignore)).reason).toBe(Reasons.packetTooLarge);
  });

  it.each([
    ['packet type 0', '00 00', Reasons.malformedPacket],
    ['CONNECT with flags', '11', Reasons.malformedPacket],
    ['CONNACK from a client', '20', Reasons.protocolError],
    ['PUBLISH with QoS 3', '36', Reasons.malformedPacket],
    ['PUBLISH with QoS 0 and DUP', '38', Reasons.malformedPacket],
    ['PUBACK with flags', '42', Reasons.malformedPacket],
    ['PUBREC with flags', '51', Reasons.malformedPacket],
    ['PUBREL without its flags', '60', Reasons.malformedPacket],
    ['PUBREL with others', '63', Reasons.malformedPacket],
    ['PUBCOMP with flags', '78', Reasons.malformedPacket],
    ['SUBSCRIBE without its flags', '80', Reasons.malformedPacket],
    ['SUBACK from a client', '90', Reasons.protocolError],
    ['UNSUBSCRIBE with QoS 2', 'a4', Reasons.malformedPacket],
    ['UNSUBACK from a client', 'b0', Reasons.protocolError],
    ['PINGREQ with flags', 'c1', Reasons.malformedPacket],
    ['PINGRESP from a client', 'd0', Reasons.protocolError],
    ['DISCONNECT with flags', 'e8', Reasons.malformedPacket],
    ['AUTH with flags', 'f1', Reasons.malformedPacket],
    ['a Remaining Length of five bytes', '30 ff ff ff ff', Reasons.malformedPacket],
    ['the longest Remaining Length', '30 ff ff ff 7f', Reasons.packetTooLarge],
  ])('refuses %s as soon as it shows, and takes nothing after it', (_name, hex, reason) => {
    const bad = bytes(hex);
    const whole = new Framer(1000);
    expect(violation(() => whole.push(bad, ignore)).reason).toBe(reason);
    expect(collect(whole, [frames[0]!])).toEqual([]);

    const late = new Framer(1000);
    const got: Buffer[] = [];
    const keep = (frame: Buffer): boolean => got.push(frame) > 0;
    expect(violation(() => late.push(Buffer.concat([frames[0]!, bad]), keep)).reason).toBe(reason);
    expect(got).toEqual([frames[0]]);

    const slow = new Framer(1000);
    expect(violation(() => bad.forEach((byte) => slow.push(Buffer.from([byte]), ignore))).reason).toBe(
      reason,
    );
  });

  it.each([0, maxAtOnceBytes])(
    'gives a frame that was only announced no more memory than twice what came of it, over %d',
    (atOnceBytes) => {
      const before = process.memoryUsage().arrayBuffers;
      const announced = bytes('30 ff ff ff 7f', Buffer.alloc(100));
      const framers = Array.from({ length: 100 }, () => {
        const framer = new Framer(0x1000_0010);
        framer.atOnceBytes = atOnceBytes;
        framer.push(announced, ignore);
        return framer;
      });
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 2048 + 1_000_000);
      expect(framers).toHaveLength(100);
    },
  );

  it('puts a megabyte together out of single bytes', () => {
    const big = packet(0x30, '0001 61', Buffer.alloc(1_000_000, 1));
    const framer = new Framer(2_000_000);
    const got: Buffer[] = [];
    for (let at = 0; at < big.length; at++) {
      framer.push(big.subarray(at, at + 1), (frame) => got.push(frame) > 0);
    }
    expect(got).toHaveLength(1);
    expect(got[0]?.equals(big)).toBe(true);
  });
});

describe('memory in which a frame is put together', () => {
  /** A frame whose rest has a place, and where that is. */
  function begun(): { framer: Framer; place: Buffer } {
    const framer = new Framer(maxAtOnceBytes);
    framer.atOnceBytes = maxAtOnceBytes;
    framer.push(packet(0x30, '0001 61', Buffer.alloc(100_000)).subarray(0, 50_000), () => true);
    return { framer, place: framer.place()! };
  }
  const isUsedAgain = ({ buffer }: Buffer): boolean =>
    Array.from({ length: 100 }, () => takeSlab(100_000)).some((slab) => slab.buffer === buffer);

  it('is nobody else’s while the link of a connection that has ended may still read into it', () => {
    const { framer, place } = begun();
    framer.stop();
    expect(isUsedAgain(place)).toBe(false);
  });

  it('is used again when the frame has been handled', () => {
    const { framer, place } = begun();
    framer.push(place, () => true);
    expect(isUsedAgain(place)).toBe(true);
  });
});

describe('ownBytes', () => {
  it('copies a small view on something large, and leaves alone what is its own', () => {
    const chunk = Buffer.alloc(65_536, 1);
    const kept = ownBytes(chunk.subarray(100, 120));
    expect(kept).toEqual(Buffer.alloc(20, 1));
    expect(kept.buffer.byteLength).toBe(20);
    expect(ownBytes(kept)).toBe(kept);
    expect(ownBytes(chunk)).toBe(chunk);
  });
});
