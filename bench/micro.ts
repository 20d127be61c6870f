/**
 * `npm run bench micro`: what the inner steps of a message cost, each alone. It looks inside the mqtt library, past its door,
 * because that is what it measures. Numbers are the best of several rounds.
 * `node --expose-gc dist/bench/micro.js` also prints what a subscription takes.
 */
import { decode } from '../libs/mqtt/codec.js';
import { encodeAcknowledge, encodePublishHead, type OutboundPublish } from '../libs/mqtt/encode.js';
import { Framer } from '../libs/mqtt/framing.js';
import type { ClientId, ProtocolVersion } from '../libs/mqtt/message.js';
import { RetainedStore } from '../libs/mqtt/retained.js';
import { matches } from '../libs/mqtt/topic.js';
import { TopicTree } from '../libs/mqtt/tree.js';

const rounds = 7;
const roundMs = 120;

/** Runs `work`, which does `operations`, for a while; prints nanoseconds of this thread's processor time an operation. */
function measure(name: string, operations: number, work: () => void): void {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = cpuNs();
    let elapsed = 0;
    let runs = 0;
    while (elapsed < roundMs * 1e6) {
      work();
      runs += 1;
      elapsed = cpuNs() - start;
    }
    best = Math.min(best, elapsed / (runs * operations));
  }
  const perSecond = Math.round(1e9 / best).toLocaleString('en');
  console.log(`${name.padEnd(66)} ${best.toFixed(0).padStart(8)} ns  ${perSecond.padStart(14)} /s`);
}

function cpuNs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}

const topic = 'devices/meter-0017/telemetry';
const payload = Buffer.from(
  '{"activePowerW":412.5,"energyKWh":10233.118,"voltageV":230.4,"currentA":1.79,"at":1795340000000}',
);
const plain: OutboundPublish = {
  version: 4,
  topic,
  payloadBytes: payload.length,
  qos: 0,
  retain: false,
  dup: false,
  properties: undefined,
  messageExpiryS: undefined,
  subscriptionIds: [],
  topicAlias: undefined,
};
const withProperties: OutboundPublish = {
  ...plain,
  version: 5,
  qos: 1,
  messageExpiryS: 60,
  properties: { contentType: 'application/json', userProperties: [['firmware', '1.4.2']] },
};

/** One chunk as a socket gives it, full of the same packet. */
function chunkOf(packet: Buffer): { chunk: Buffer; packets: number } {
  const packets = Math.floor(65_536 / packet.length);
  return { chunk: Buffer.concat(Array.from({ length: packets }, () => packet)), packets };
}

function publish(outbound: OutboundPublish): Buffer {
  const head = encodePublishHead(outbound);
  if (outbound.qos > 0) head.bytes.writeUInt16BE(7, head.packetIdAt);
  return Buffer.concat([head.bytes, payload]);
}

function measureReading(name: string, packet: Buffer, version: ProtocolVersion): void {
  const { chunk, packets } = chunkOf(packet);
  const framer = new Framer(1_000_000);
  let read = 0;
  const onFrame = (frame: Buffer, bodyOffset: number): boolean => {
    read += decode(frame, bodyOffset, version).type.length;
    return true;
  };
  measure(name, packets, () => framer.push(chunk, onFrame));
  if (read === 0) throw new Error('nothing was read');
}

console.log(`node ${process.version}, payload ${payload.length} bytes, topic ${topic.length}\n`);

measureReading('frame and decode PUBLISH, QoS 0, 3.1.1', publish(plain), 4);
measureReading('frame and decode PUBLISH, QoS 1, 5.0', publish({ ...plain, version: 5, qos: 1 }), 5);
measureReading('frame and decode PUBLISH, QoS 1, 5.0, three properties', publish(withProperties), 5);
measureReading(
  'frame and decode PUBLISH, topic not ASCII',
  publish({ ...plain, topic: 'gerät/zähler-0017/meßwerte' }),
  4,
);
measureReading('frame and decode PUBACK', encodeAcknowledge('puback', 4, 7), 4);

let sink = 0;
const repeat = 1000;
const times = (work: () => number) => (): void => {
  for (let n = 0; n < repeat; n++) sink += work();
};
measure(
  'encode the head of PUBLISH, 3.1.1',
  repeat,
  times(() => encodePublishHead(plain).bytes.length),
);
measure(
  'encode the head of PUBLISH, 5.0, three properties',
  repeat,
  times(() => encodePublishHead(withProperties).bytes.length),
);
measure(
  'encode PUBACK',
  repeat,
  times(() => encodeAcknowledge('puback', 5, 7).length),
);
measure(
  'matches(), the definition',
  repeat,
  times(() => Number(matches('devices/+/telemetry', topic))),
);

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

for (const devices of [1_000, 100_000, 1_000_000]) {
  const before = heapBytes();
  const tree = new TopicTree<number>();
  const filler = Array.from(
    { length: devices },
    (_, device) => `devices/meter-${String(device).padStart(4, '0')}/cmd/#`,
  );
  for (const [device, filter] of filler.entries()) tree.set(filter, 'k', device);
  filler.length = 0;
  const each = (heapBytes() - before) / devices;
  tree.set('devices/+/telemetry', 'backend', 1);
  const label = devices.toLocaleString('en');
  if (globalThis.gc !== undefined) console.log(`tree of ${label} filters: ${each.toFixed(0)} bytes each`);
  measure(
    `match one of ${label} filters`,
    repeat,
    times(() => count(tree, 'devices/meter-0500/cmd/restart')),
  );
  measure(
    `match a wildcard beside ${label} filters`,
    repeat,
    times(() => count(tree, topic)),
  );
}

function count(tree: TopicTree<number>, topic: string): number {
  let found = 0;
  tree.match(topic, () => {
    found += 1;
  });
  return found;
}

const store = new RetainedStore();
const publisher = 'p' as ClientId;
for (let device = 0; device < 100_000; device++) {
  store.set({
    topic: `devices/${device}/state`,
    payload,
    qos: 0,
    retain: true,
    properties: undefined,
    publisher,
    receivedAt: 0,
    expiresAt: undefined,
  });
}
measure(
  'retained: one topic of 100,000',
  repeat,
  times(() => found('devices/500/state')),
);
measure('retained: devices/+/state, a message of 100,000', 100_000, () => {
  sink += found('devices/+/state');
});

function found(filter: string): number {
  let messages = 0;
  store.visit(filter, () => {
    messages += 1;
    return true;
  });
  return messages;
}

if (sink === 0) throw new Error('nothing was measured');
