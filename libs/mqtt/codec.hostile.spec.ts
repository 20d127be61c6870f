/**
 * Mutated captures against the framer and the decoder. FUZZ_PACKETS sets how many (50 000 in `npm test`), FUZZ_SEED repeats
 * a run whose seed was printed.
 */
import { describe, expect, it } from '@jest/globals';
import { decode } from './codec.js';
import { encodePublishHead } from './encode.js';
import { Framer } from './framing.js';
import type { ProtocolVersion } from './message.js';
import type { ClientPacket } from './packets.js';
import { captures, generator, mutate } from './testing/captures.js';
import { isTopicName } from './topic.js';
import { isMqttUtf8 } from './utf8.js';
import { ProtocolViolation } from './violation.js';

const packets = Number(process.env['FUZZ_PACKETS'] ?? 50_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const maxPacketBytes = 4096;

/** What a handler relies on, whatever the bytes were. */
function mustHold(got: ClientPacket): void {
  const texts: string[] = [];
  if (got.type === 'publish') {
    texts.push(got.topic, got.properties?.contentType ?? '', got.properties?.responseTopic ?? '');
    if (got.topic === '' ? got.topicAlias === undefined : !isTopicName(got.topic)) throw new Error('topic');
    if (got.packetId === 0 ? got.qos !== 0 : got.qos === 0) throw new Error('packet identifier');
    if (got.dup && got.qos === 0) throw new Error('DUP with QoS 0');
    encodePublishHead({
      ...got,
      version: 5,
      payloadBytes: got.payload.length,
      subscriptionIds: [],
    });
  } else if (got.type === 'connect') {
    texts.push(got.clientId, got.username ?? '', got.will?.topic ?? '');
    if (got.will !== undefined && !isTopicName(got.will.topic)) throw new Error('will topic');
  } else if (got.type === 'subscribe') texts.push(...got.subscriptions.map(({ filter }) => filter));
  else if (got.type === 'unsubscribe') texts.push(...got.filters);
  for (const text of texts) {
    const encoded = Buffer.from(text);
    if (!isMqttUtf8(encoded, 0, encoded.length)) throw new Error('text');
  }
}

describe('the codec under fire', () => {
  it('answers every mutated capture with a packet or a ProtocolViolation, in bounded memory', () => {
    process.stdout.write(`hostile fuzz: FUZZ_SEED=${seed} FUZZ_PACKETS=${packets}\n`);
    const random = generator(seed);
    const any = <T>(of: readonly T[]): T => of[random(of.length)]!;
    const counts = { sent: 0, read: 0, refused: 0 };
    const reasons = new Map<string, number>();
    let framer = new Framer(maxPacketBytes);
    let version: ProtocolVersion | undefined;
    let highestArrayBuffers = 0;

    const onFrame = (frame: Buffer, bodyOffset: number): boolean => {
      const got = decode(frame, bodyOffset, version);
      mustHold(got);
      if (got.type === 'connect') version = got.protocolVersion;
      counts.read += 1;
      return true;
    };
    while (counts.sent < packets) {
      // A connection: CONNECT, now and then mutated too, and packets until one is refused.
      framer = new Framer(maxPacketBytes);
      version = undefined;
      const capture = any(captures);
      let next = random(8) === 0 ? mutate(capture.connect, any(capture.packets), random) : capture.connect;
      try {
        for (let n = random(60); n >= 0 && counts.sent < packets; n--) {
          counts.sent += 1;
          const chunk = Buffer.alloc(next.length, next);
          const cut = random(3) === 0 ? random(chunk.length + 1) : chunk.length;
          framer.push(chunk.subarray(0, cut), onFrame);
          framer.push(chunk.subarray(cut), onFrame);
          const source = any(random(10) === 0 ? captures : [capture]);
          next =
            random(5) === 0
              ? any(source.packets)
              : mutate(any(source.packets), any(any(captures).packets), random);
        }
      } catch (error) {
        if (!(error instanceof ProtocolViolation)) throw error;
        counts.refused += 1;
        reasons.set(error.reason.name, (reasons.get(error.reason.name) ?? 0) + 1);
        expect(error.message).toMatch(/^[\w #,.-]+$/i); // our words, never the client's bytes
      }
      if (counts.sent % 64 === 0)
        highestArrayBuffers = Math.max(highestArrayBuffers, process.memoryUsage().arrayBuffers);
    }
    const summary = [...reasons].map(([name, count]) => `${name} ${count}`).join(', ');
    process.stdout.write(
      `hostile fuzz: ${counts.sent} sent, ${counts.read} read, ${counts.refused} connections refused (${summary}), ` +
        `array buffers at most ${Math.round(highestArrayBuffers / 2 ** 20)} MiB\n`,
    );
    expect(counts.read).toBeGreaterThan(packets / 100);
    expect(counts.refused).toBeGreaterThan(packets / 100);
    expect(highestArrayBuffers).toBeLessThan(256 * 2 ** 20);
  }, 600_000);
});
