/**
 * `npm run bench turns [-- --turns 2000]`: how long one client's work keeps all the others waiting. The core alone, with links in
 * memory: each offender always has another chunk of 64 KiB to be read, whenever it is read from. Printed is the time between two
 * moments at which the loop looks at what others have sent, and how many messages are read in a second of it. Here is nothing
 * but the core: the latencies of `npm run bench neighbours` hang on what else the machine does, the median turn hardly does.
 *
 * `--write 8`: microseconds that are spent for each write, as a socket's system call would.
 */
import { parseArgs } from 'node:util';

import { createBroker, defaultLimits, type Link, type LinkSink, type Clock, type Transport } from '#mqtt';

import { MemoryJournal } from '../libs/mqtt/testing/memory-journal.js';
import { MemoryStore } from '../libs/mqtt/testing/memory-store.js';
import { MemoryVault } from '../libs/mqtt/testing/memory-vault.js';
import { TestGate } from '../libs/mqtt/testing/test-gate.js';
import { at } from './support/figures.js';
import { connectPacket, publishPacket, subscribePacket } from './support/wire.js';

const { values } = parseArgs({
  options: {
    turns: { type: 'string', default: '2000' },
    write: { type: 'string', default: '8' },
    only: { type: 'string' },
  },
});
const chunkBytes = 64 * 1024;
const writeUs = Number(values.write);

let due: (() => void)[] = [];
const clock: Clock = {
  now: () => Math.floor(performance.timeOrigin + performance.now()),
  setForwardMs: 0,
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (callback) => void due.push(callback),
};

/** A client's link: says the same things over and over, and takes no notice of what it is told. */
class Offender implements Link {
  readonly transport: Transport = 'tcp';
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly serverName = undefined;
  readonly peerCertificate = undefined;
  readonly bufferedBytes = 0;
  readonly #sink: LinkSink;
  readonly #chunks: readonly Buffer[];
  #next = 0;
  #isPaused = false;
  isEnded = false;

  constructor(clientId: string, first: readonly Buffer[], chunks: readonly Buffer[]) {
    this.#chunks = chunks;
    this.#sink = broker.accept(this);
    this.#sink.received(connectPacket({ port: 0 }, clientId));
    for (const bytes of first) this.#sink.received(bytes);
  }

  /** As the loop does that finds the socket readable. */
  read(): void {
    const chunk = this.#chunks[this.#next % Math.max(1, this.#chunks.length)];
    if (this.#isPaused || this.isEnded || chunk === undefined) return;
    this.#next += 1;
    this.#sink.received(chunk);
  }

  write(): boolean {
    const until = performance.now() + writeUs / 1000;
    while (performance.now() < until);
    return true;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isEnded = true;
  }

  leave(): void {
    this.isEnded = true;
    this.#sink.closed();
  }
}

const limits = {
  ...defaultLimits,
  maxTopicLevels: 1_024,
  maxTopicBytes: 65_535,
  maxSubscriptionsPerSession: 1_000_000,
};
const store = new MemoryStore((callback) => clock.soon(callback));
const gate = new TestGate();
gate.limits = limits;
const broker = createBroker({
  gate,
  vault: new MemoryVault(store),
  journal: new MemoryJournal(store),
  clock,
});

/** Chunks full of PUBLISH, each to the next topic. */
function chunks(topics: readonly string[], payloadBytes: number): Buffer[] {
  const payload = Buffer.alloc(payloadBytes, 0x78);
  const made: Buffer[] = [];
  let packets: Buffer[] = [];
  let bytes = 0;
  for (const topic of topics) {
    const packet = publishPacket(4, 0, 0, topic, payload);
    packets.push(packet);
    bytes += packet.length;
    if (bytes < chunkBytes) continue;
    made.push(Buffer.concat(packets));
    packets = [];
    bytes = 0;
  }
  if (made.length === 0) return chunks([...topics, ...topics], payloadBytes);
  return made;
}

function numbered(count: number, name: (n: number) => string): string[] {
  return Array.from({ length: count }, (_, n) => name(n));
}

const subscribe = (filters: readonly string[]): Buffer => subscribePacket(4, 0, filters);

const cases: Readonly<Record<string, () => Promise<Offender[]>>> = {
  'a publisher floods, nobody listens': async () => [
    new Offender(
      'flood',
      [],
      chunks(
        numbered(100, () => 'flood/x'),
        64,
      ),
    ),
  ],
  'a publisher floods, one listens': async () => [
    await signedIn(new Offender('reader', [subscribe(['flood/#'])], [])),
    new Offender(
      'flood',
      [],
      chunks(
        numbered(100, () => 'flood/x'),
        64,
      ),
    ),
  ],
  'ten publishers flood': async () =>
    numbered(10, String).map(
      (n) =>
        new Offender(
          `flood-${n}`,
          [],
          chunks(
            numbered(100, () => 'flood/x'),
            64,
          ),
        ),
    ),
  'messages of 16 KiB': async () => [
    await signedIn(new Offender('reader', [subscribe(['flood/#'])], [])),
    new Offender(
      'flood',
      [],
      chunks(
        numbered(100, () => 'flood/x'),
        16 * 1024,
      ),
    ),
  ],
  'a hundred listen': async () => [
    ...(await Promise.all(
      numbered(100, String).map((n) => signedIn(new Offender(`reader-${n}`, [subscribe(['flood/#'])], []))),
    )),
    new Offender(
      'flood',
      [],
      chunks(
        numbered(100, () => 'flood/x'),
        64,
      ),
    ),
  ],
  'three thousand listen': async () => [
    ...(await Promise.all(
      numbered(3_000, String).map((n) => signedIn(new Offender(`reader-${n}`, [subscribe(['flood/#'])], []))),
    )),
    new Offender(
      'flood',
      [],
      chunks(
        numbered(100, () => 'flood/x'),
        64,
      ),
    ),
  ],
  'topics of a thousand levels': async () => [
    await signedIn(new Offender('deep', [subscribe([`deep/${'+/'.repeat(500)}#`])], [])),
    new Offender(
      'digger',
      [],
      chunks(
        numbered(10_000, (n) => `deep/${'a/'.repeat(998)}${n}`),
        64,
      ),
    ),
  ],
  'ten thousand subscriptions, matched one by one': async () => [
    await signedIn(
      new Offender(
        'greedy',
        numbered(10, String).map((p) => subscribe(numbered(1_000, (n) => `many/${p}/${n}/+`))),
        [],
      ),
    ),
    new Offender(
      'feeder',
      [],
      chunks(
        numbered(10_000, (n) => `many/${n % 10}/${n % 1_000}/x`),
        64,
      ),
    ),
  ],
  'SUBSCRIBE of a thousand filters, again and again': async () => [
    new Offender(
      'greedy',
      [],
      numbered(20, String).map((p) => subscribe(numbered(1_000, (n) => `many/${p}/${n}/+`))),
    ),
  ],
  'a hundred overlapping wildcards': async () => [
    ...(await Promise.all(
      numbered(10, String).map((n) =>
        signedIn(
          new Offender(
            `over-${n}`,
            [
              subscribe(
                numbered(10, (k) => `over/${'+/'.repeat((k + Number(n)) % 6)}${'+/'.repeat(k % 2)}#`),
              ),
            ],
            [],
          ),
        ),
      ),
    )),
    new Offender(
      'feeder',
      [],
      chunks(
        numbered(1_000, (n) => `over/a/b/c/d/e/f/${n}`),
        64,
      ),
    ),
  ],
};

/** Everything it said first has been dealt with. */
async function signedIn(offender: Offender): Promise<Offender> {
  for (let quiet = 0; quiet < 5; quiet = due.length > 0 ? 0 : quiet + 1) await turn([]);
  return offender;
}

/** One turn of the loop: reads, promises, and what comes once everything is read. Returns what it took, in parts. */
async function turn(offenders: readonly Offender[]): Promise<number> {
  const from = performance.now();
  for (const offender of offenders) offender.read();
  const ready = due;
  due = [];
  for (const callback of ready) callback();
  await Promise.resolve();
  const took = (performance.now() - from) * 1000;
  await new Promise((resolve) => setImmediate(resolve));
  return took;
}

console.log(`write ${writeUs} µs; a turn of the loop, in µs:`);
for (const [name, start] of Object.entries(cases)) {
  if (values.only !== undefined && !name.includes(values.only)) continue;
  const offenders = await start();
  for (let warm = 0; warm < 300; warm++) await turn(offenders);
  const before = broker.stats.messagesReceived;
  const took = new Float64Array(Number(values.turns));
  for (let n = 0; n < took.length; n++) took[n] = await turn(offenders);
  const messages = broker.stats.messagesReceived - before;
  const seconds = took.reduce((sum, us) => sum + us, 0) / 1e6;
  took.sort();
  const figures = [0.5, 0.9, 0.99].map((share) => Math.round(at(took, share)).toString().padStart(7));
  console.log(
    `${name.padEnd(50)} p50 ${figures[0]}  p90 ${figures[1]}  p99 ${figures[2]}   ` +
      `${Math.round(messages / seconds)
        .toLocaleString('en')
        .padStart(11)} messages/s`,
  );
  for (const offender of offenders) offender.leave();
  for (let quiet = 0; quiet < 20; quiet = due.length > 0 ? 0 : quiet + 1) await turn([]);
}
