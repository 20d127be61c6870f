/**
 * Random histories of clients that come, go, subscribe, stop acknowledging and lose rights, of a publisher, a clock, and a
 * process that is killed, against a small oracle. At the end of each every durable session is drained, and then:
 * QoS 1 that was acknowledged arrived at least once, QoS 2 exactly once, in order, nothing unasked, nothing after the right to it
 * was gone; DUP on what comes again, and on nothing else where it can be known. fast-check prints the seed and the shrunk history of a failure.
 */
import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';

import { connectBytes, Harness, type TestClient } from './testing/index.js';

const names = ['ann', 'ben', 'cyd'] as const;
const topics = ['a', 'b', 'a/b'] as const;
const filters = ['a', 'b', 'a/#', '+', '#', 'a/+'] as const;
const matching: Readonly<Record<string, readonly string[]>> = {
  a: ['a'],
  b: ['b'],
  'a/#': ['a', 'a/b'],
  '+': ['a', 'b'],
  '#': ['a', 'b', 'a/b'],
  'a/+': ['a/b'],
};
const expiryS = 100;
/** Small: whoever acknowledges nothing has a queue. */
const receiveMaximum = 2;

/** What a client acknowledges: everything, a message but not its PUBREL, or nothing. */
type Diligence = 'all' | 'first' | 'none';

type Step =
  | { readonly kind: 'connect'; readonly who: number; readonly clean: boolean; readonly diligence: Diligence }
  | { readonly kind: 'cut' | 'goodbye' | 'catch-up' | 'revoke' | 'permit'; readonly who: number }
  | { readonly kind: 'subscribe'; readonly who: number; readonly filter: number; readonly qos: number }
  | { readonly kind: 'unsubscribe'; readonly who: number; readonly filter: number }
  | { readonly kind: 'publish'; readonly topic: number; readonly qos: number }
  | { readonly kind: 'wait'; readonly seconds: number }
  | { readonly kind: 'hold' | 'commit' }
  /** A kill -9 with so many messages under way that are not committed. */
  | { readonly kind: 'kill'; readonly publishing: number };

const who = fc.nat({ max: names.length - 1 });
const qos = fc.nat({ max: 2 });
const filter = fc.nat({ max: filters.length - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('connect' as const),
      who,
      clean: fc.nat({ max: 3 }).map((n) => n === 0),
      diligence: fc.constantFrom('all' as const, 'first' as const, 'none' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('cut' as const, 'goodbye' as const), who }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('catch-up' as const), who }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('revoke' as const, 'permit' as const), who }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('subscribe' as const), who, filter, qos }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unsubscribe' as const), who, filter }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      topic: fc.nat({ max: topics.length - 1 }),
      qos,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 60, 101) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('hold' as const, 'commit' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('kill' as const), publishing: fc.nat({ max: 3 }) }) },
);

/** A message of the publisher's, and which durable sessions it has to reach at which QoS once it is acknowledged. */
interface Sent {
  readonly id: number;
  readonly number: number;
  readonly to: Map<Device, number>;
  isSettled: boolean;
}

/** One client, as it lives through connections, and what the oracle expects of its session. */
class Device {
  client: TestClient | undefined;
  isDurable = false;
  /** When it went away; its session lives on for `expiryS`. */
  awayAt = 0;
  subscriptions = new Map<string, number>();
  mayReceive = true;
  /** Acknowledged messages its durable session must get: number → QoS. */
  readonly owed = new Map<number, number>();
  /** What it may get: owed, or sent without an acknowledgement, or while its session was not durable. */
  readonly welcome = new Map<number, number>();
  readonly got = new Map<number, number>();
  /** Messages below were on their way, or may have been, when a process was killed while it was connected. */
  doubtfulTo = 0;
  /** QoS 2 identifiers between PUBLISH and PUBREL: a receiver's half of exactly-once. */
  #half = new Set<number>();
  /** Those for which PUBREL has come, and PUBCOMP has not been sent: only PUBREL may follow (MQTT-4.3.3-6). */
  #released = new Set<number>();
  #last = new Map<string, number>();
  #read = 0;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  attach(client: TestClient): void {
    this.client = client;
    this.#read = 0;
  }

  startOver(): void {
    this.subscriptions.clear();
    this.owed.clear();
    this.welcome.clear();
    this.got.clear();
    this.#half.clear();
    this.#released.clear();
    this.#last.clear();
  }

  grantedQos(topic: string): number | undefined {
    let best: number | undefined;
    for (const [name, granted] of this.subscriptions) {
      if (matching[name]?.includes(topic) === true) best = Math.max(best ?? 0, granted);
    }
    return best;
  }

  /** Reads what came, and checks what can be checked at once. */
  takeIn(): void {
    const { client } = this;
    if (client === undefined) return;
    for (; this.#read < client.packets.length; this.#read++) {
      const packet = client.packets[this.#read]!;
      if (packet.type === 'pubrel') {
        this.#half.delete(packet.packetId);
        if (client.wouldAcknowledge(packet)) this.#released.delete(packet.packetId);
        else this.#released.add(packet.packetId);
      }
      if (packet.type !== 'publish') continue;
      if (packet.qos === 2) {
        expect(this.#released.has(packet.packetId)).toBe(false);
        if (this.#half.has(packet.packetId)) {
          expect(packet.dup).toBe(true);
          continue;
        }
        this.#half.add(packet.packetId);
      }
      this.#judge(packet.payload, packet.topic, packet.qos, packet.dup);
    }
  }

  async catchUp(): Promise<void> {
    this.takeIn();
    this.#released.clear();
    await this.client?.catchUp();
  }

  #judge(payload: string, topic: string, qos: number, dup: boolean): void {
    const [digits, stream] = payload.split(' ');
    const number = Number(digits);
    expect({ number, qos: this.welcome.get(number) }).toEqual({ number, qos });
    const before = this.got.get(number) ?? 0;
    // What was sent before the right went may be completed; nothing new comes.
    expect({ number, isAllowed: this.mayReceive || before > 0 }).toEqual({ number, isAllowed: true });
    this.got.set(number, before + 1);
    if (qos !== 1) expect({ number, times: before + 1 }).toEqual({ number, times: 1 });
    if (qos === 1 && before > 0) expect(dup).toBe(true);
    if (before === 0 && number >= this.doubtfulTo) expect({ number, dup }).toEqual({ number, dup: false });
    if (before > 0) return;
    const line = `${topic} ${qos} ${stream}`;
    expect(number).toBeGreaterThan(this.#last.get(line) ?? -1);
    this.#last.set(line, number);
  }
}

class World {
  h = new Harness();
  readonly devices = names.map((name) => new Device(name));
  publisher: TestClient | undefined;
  #number = 0;
  #isHeld = false;
  readonly #waiting: Sent[] = [];

  /** Its session's identifiers of QoS 2 are kept, and then messages are stored before anybody gets them. */
  readonly #isPublisherDurable: boolean;

  constructor(isPublisherDurable: boolean) {
    this.#isPublisherDurable = isPublisherDurable;
  }

  async #connectPublisher(): Promise<void> {
    this.publisher = await this.h.connect5('publisher', this.#isPublisherDurable ? { expiry: expiryS } : {});
  }

  async begin(): Promise<void> {
    await this.#connectPublisher();
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'connect':
        await this.#connect(this.devices[step.who]!, step.clean, step.diligence);
        break;
      case 'cut':
      case 'goodbye':
        await this.#leave(this.devices[step.who]!, step.kind);
        break;
      case 'catch-up':
        await this.#commit();
        await this.devices[step.who]!.catchUp();
        break;
      case 'revoke':
      case 'permit':
        await this.#change(this.devices[step.who]!, step.kind === 'permit');
        break;
      case 'subscribe':
        await this.#subscribe(this.devices[step.who]!, filters[step.filter]!, step.qos);
        break;
      case 'unsubscribe':
        await this.#unsubscribe(this.devices[step.who]!, filters[step.filter]!);
        break;
      case 'publish':
        await this.#publish(topics[step.topic]!, step.qos);
        break;
      case 'wait':
        await this.#commit();
        await this.h.clock.advance(step.seconds * 1000);
        break;
      case 'kill':
        await this.#kill(step.publishing);
        break;
      case 'hold':
        // While commits are held only publishing goes on: every other step lets them go first.
        this.#isHeld = true;
        this.h.store.hold();
        break;
      case 'commit':
        await this.#commit();
        break;
    }
    await this.#settle();
  }

  async #settle(): Promise<void> {
    for (const device of this.devices) await device.client?.settle();
    await this.publisher?.settle();
    for (const device of this.devices) device.takeIn();
    this.#collect();
  }

  /** What the publisher was told is stored is owed to every durable session that had subscribed. */
  #collect(): void {
    const acknowledged = new Set(
      this.publisher?.packets
        .filter(({ type }) => type === 'puback' || type === 'pubrec')
        .map(({ packetId }) => packetId),
    );
    for (const waiting of this.#waiting) {
      if (waiting.isSettled || !acknowledged.has(waiting.id)) continue;
      waiting.isSettled = true;
      for (const [device, qos] of waiting.to) {
        if (device.welcome.has(waiting.number)) device.owed.set(waiting.number, qos);
      }
    }
  }

  async #commit(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.h.store.commit();
    await this.#settle();
  }

  #isAlive(device: Device): boolean {
    if (!device.isDurable) return false;
    return device.client !== undefined || this.h.clock.now() - device.awayAt < expiryS * 1000;
  }

  async #connect(device: Device, clean: boolean, diligence: Diligence): Promise<void> {
    await this.#commit();
    device.takeIn();
    const resumes = !clean && this.#isAlive(device);
    if (!resumes) device.startOver();
    const client = this.h.open(5, device.name);
    client.acknowledges =
      diligence === 'none' ? () => false : ({ type }) => type !== 'pubrel' || diligence === 'all';
    device.isDurable = !clean;
    device.attach(client);
    const list = [
      ['receiveMaximum', receiveMaximum],
      ['sessionExpiryInterval', clean ? 0 : expiryS],
    ] as const;
    await client.send(connectBytes(device.name, { version: 5, clean, properties: list }));
    expect(client.connack).toMatchObject({ code: 0, sessionPresent: resumes });
  }

  async #leave(device: Device, how: 'cut' | 'goodbye'): Promise<void> {
    await this.#commit();
    if (device.client === undefined) return;
    device.takeIn();
    if (how === 'cut') await device.client.cut();
    else await device.client.disconnect();
    this.#left(device);
  }

  #left(device: Device): void {
    device.takeIn();
    device.client = undefined;
    device.awayAt = this.h.clock.now();
    if (!device.isDurable) device.startOver();
  }

  /** Also while commits are held: what is being stored must not reach whose right goes meanwhile. */
  async #change(device: Device, mayReceive: boolean): Promise<void> {
    this.h.gate.allow(mayReceive ? {} : { subscribe: [] }, device.name);
    await this.h.broker.reauthorize('tenant-a' as never, ({ clientId }) => clientId === device.name);
    await this.#settle();
    device.mayReceive = mayReceive;
    if (mayReceive) return;
    // Subscriptions go, and what waited, for a client that is away or to be acknowledged something, will not be sent; what was sent may be completed.
    device.subscriptions.clear();
    device.owed.clear();
    for (const { to } of this.#waiting) to.delete(device);
  }

  async #subscribe(device: Device, name: string, asked: number): Promise<void> {
    await this.#commit();
    if (device.client === undefined) return;
    const suback = await device.client.subscribe(name, { qos: asked });
    expect(suback?.code).toBe(device.mayReceive ? asked : 0x87);
    if (device.mayReceive) device.subscriptions.set(name, asked);
  }

  async #unsubscribe(device: Device, name: string): Promise<void> {
    await this.#commit();
    if (device.client === undefined) return;
    const unsuback = await device.client.unsubscribe(name);
    expect(unsuback?.code).toBe(device.subscriptions.delete(name) ? 0 : 0x11);
  }

  async #publish(topic: string, published: number): Promise<void> {
    const number = this.#number++;
    const to = new Map<Device, number>();
    for (const device of this.devices) {
      const granted = device.grantedQos(topic);
      if (granted === undefined || (device.client === undefined && !this.#isAlive(device))) continue;
      const effective = Math.min(granted, published);
      device.welcome.set(number, effective);
      if (effective > 0 && device.isDurable) to.set(device, effective);
    }
    const id = number + 1;
    this.#waiting.push({ id: published > 0 ? id : 0, number, to, isSettled: false });
    // Order is for each QoS (MQTT-4.6.0-5). Where QoS 2 waits to be stored, what is not stored goes past it.
    const payload = `${number} ${this.#isPublisherDurable ? published : 'all'}`;
    await this.publisher?.send(this.publisher.publishBytes(topic, payload, { qos: published, id }));
  }

  async #kill(publishing: number): Promise<void> {
    this.h.store.hold();
    for (let i = 0; i < publishing; i++) await this.#publish(topics[i % topics.length]!, 1 + (i % 2));
    await this.#settle();
    this.#isHeld = false;
    for (const device of this.devices) device.takeIn();
    this.h = await this.h.crash();
    for (const device of this.devices) {
      if (device.client === undefined) continue;
      device.doubtfulTo = this.#number;
      this.#left(device);
    }
    await this.#connectPublisher();
  }

  /** Everybody who has a session comes back, reads and acknowledges everything. */
  async finish(): Promise<void> {
    await this.#commit();
    for (const device of this.devices) {
      if (!this.#isAlive(device)) continue;
      await this.#connect(device, false, 'all');
      for (let i = 0; i < 3; i++) await this.#settle();
      const missing = [...device.owed.keys()].filter((number) => !device.got.has(number));
      expect({ device: device.name, missing }).toEqual({ device: device.name, missing: [] });
    }
    await this.h.settle();
    const { sessions } = await this.h.vault.open('tenant-a' as never);
    for (const session of sessions)
      expect(session).toMatchObject({ queuedMessages: 0, inboundPacketIds: [] });
    expect(this.h.faults).toEqual([]);
  }
}

describe('sessions, whatever happens', () => {
  it('deliver at least once, exactly once, in order, and nothing without the right to it', async () => {
    const numRuns = Number(process.env['HISTORIES'] ?? 1_000);
    const seed = Number(process.env['HISTORIES_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stdout.write(`session model: HISTORIES_SEED=${seed} HISTORIES=${numRuns}\n`);
    const run = await fc.check(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
        async (isDurable, steps) => {
          const world = new World(isDurable);
          await world.begin();
          for (const each of steps) await world.take(each);
          await world.finish();
        },
      ),
      { numRuns, seed },
    );
    expect(fc.defaultReportMessage(run)).toBeUndefined();
  });
});
