import { beforeEach, describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import { Harness, type TestClient } from './testing/index.js';
import { Turns } from './turns.js';

describe('a turn of the loop', () => {
  let harness: Harness;

  beforeEach(() => {
    harness = new Harness();
  });

  /** How many turns go by before the client has an answer to a PINGREQ that it sends now. */
  async function turnsToAnswer(client: TestClient): Promise<number> {
    const before = client.link.received.length;
    client.link.send(Buffer.from([0xc0, 0]));
    for (let turns = 1; turns < 1_000; turns++) {
      await harness.clock.turn();
      if (client.link.received.length > before) return turns;
    }
    return Infinity;
  }

  function backlog(client: TestClient, count: number, topic: string): Buffer {
    const packets = Array.from({ length: count }, (_, n) =>
      client.publishBytes(topic, String(n), { qos: n % 2 }),
    );
    return Buffer.concat(packets);
  }

  it('serves everybody, whatever one client has sent', async () => {
    const [flooding, reading, other] = await Promise.all([
      harness.connect('flooding'),
      harness.connect('reading'),
      harness.connect('other'),
    ]);
    await reading.subscribe('flood/#', { qos: 0 });
    flooding.link.send(backlog(flooding, 10_000, 'flood/x'));
    for (let asked = 0; asked < 5; asked++) expect(await turnsToAnswer(other)).toBeLessThanOrEqual(2);
    expect(reading.link.received.length).toBeLessThan(60_000); // it is far from done
    await reading.settle();
    expect(reading.messages()).toEqual(Array.from({ length: 10_000 }, (_, n) => `flood/x ${n}`));
  });

  it.each([
    ['its DISCONNECT too', Buffer.from([0xe0, 0]), []],
    ['and its will after it', Buffer.alloc(0), ['w gone']],
  ])('handles all that a client sent before it left, %s', async (_what, last, will) => {
    const reading = await harness.connect('reading');
    await reading.subscribe('#', { qos: 0 });
    const leaving = await harness.connect('leaving', { will: { topic: 'w', payload: 'gone' } });
    leaving.link.send(Buffer.concat([backlog(leaving, 3_000, 'x'), last]));
    leaving.link.cut();
    await reading.settle();
    const messages = Array.from({ length: 3_000 }, (_, n) => `x ${n}`);
    expect(reading.messages()).toEqual([...messages, ...will]);
    expect(harness.broker.stats.connections).toBe(1);
  });

  it('takes a chunk as large as a packet may be, of small packets, in as many turns as it needs', async () => {
    harness.gate.limits = { ...defaultLimits, maxPacketBytes: 4 * 1024 * 1024 };
    const [sending, reading] = await Promise.all([harness.connect('sending'), harness.connect('reading')]);
    await reading.subscribe('x', { qos: 0 });
    const packet = sending.publishBytes('x', 'y'.repeat(8_000));
    sending.link.send(Buffer.concat(Array.from({ length: 400 }, () => packet)));
    await reading.settle();
    expect(reading.messages()).toHaveLength(400);
    expect(sending.link.isEnded).toBe(false);
  });

  it('is not all for a client that sends what ends no packet, as a WebSocket may thousands of times in one read', async () => {
    const [idle, other] = await Promise.all([harness.connect('idle'), harness.connect('other')]);
    for (let n = 0; n < 1_000; n++) idle.link.send(Buffer.alloc(0));
    expect(idle.link.isPaused).toBe(true);
    expect(await turnsToAnswer(other)).toBeLessThanOrEqual(2);
    await harness.settle();
    expect(idle.link.isPaused).toBe(false);
    expect(await turnsToAnswer(idle)).toBeLessThanOrEqual(2);
  });

  it('lets those who have much to say go on one after the other', async () => {
    const many = await Promise.all(Array.from({ length: 5 }, (_, n) => harness.connect(`flood-${n}`)));
    const reading = await harness.connect('reading');
    await reading.subscribe('flood/#', { qos: 0 });
    for (const client of many) client.link.send(backlog(client, 1_000, `flood/${client.clientId}`));
    for (let turns = 0; turns < 60; turns++) await harness.clock.turn();
    await reading.settle();
    const order = reading.messages().map((message) => message.split(' ')[0]);
    const shares = many.map(
      ({ clientId }) => order.slice(0, 2_500).filter((topic) => topic === `flood/${clientId}`).length,
    );
    for (const share of shares) expect(share).toBeGreaterThan(200);
    expect(order).toHaveLength(5_000);
  });

  it.each([
    ['a SUBSCRIBE of a thousand filters', 1],
    ['ten of them', 10],
  ])('is not held up by %s', async (_, packets) => {
    const [greedy, other] = await Promise.all([harness.connect('greedy'), harness.connect('other')]);
    for (let p = 0; p < packets; p++) {
      const filters = Array.from({ length: 1_000 }, (_, n) => `greedy/${p}/${n}/+`);
      greedy.link.send(greedy.subscribeBytes(filters));
    }
    expect(await turnsToAnswer(other)).toBeLessThanOrEqual(2);
    expect(greedy.link.received.length).toBeLessThan(20); // not one of them is answered yet
    await greedy.settle();
    expect(greedy.take('suback')).toHaveLength(packets);
    await other.publish('greedy/0/7/x', 'found', { qos: 1 });
    await greedy.settle();
    expect(greedy.messages()).toEqual(['greedy/0/7/x found']);

    await greedy.cut(); // and what is left of it goes in turns too
    expect(await turnsToAnswer(other)).toBeLessThanOrEqual(2);
    await harness.settle();
    expect(harness.broker.stats.subscriptions).toBe(0);
  });

  it('is not held up by the resumption of a session with ten thousand subscriptions', async () => {
    const greedy = await harness.connect5('greedy', { expiry: 3_600 });
    for (let p = 0; p < 10; p++)
      await greedy.subscribe(Array.from({ length: 1_000 }, (_, n) => `greedy/${p}/${n}/+`));
    const after = await harness.crash();
    harness = after;
    const other = await after.connect('other');
    const connecting = after.connect5('greedy', { expiry: 3_600 });
    expect(await turnsToAnswer(other)).toBeLessThanOrEqual(2);
    const back = await connecting;
    await other.publish('greedy/9/999/x', 'kept', { qos: 1 });
    await back.settle();
    expect(back.messages()).toEqual(['greedy/9/999/x kept']);
  });
});

describe('a share of a turn', () => {
  const waiting: (() => void)[] = [];
  let turns: Turns;

  beforeEach(() => {
    waiting.length = 0;
    turns = new Turns((callback) => waiting.push(callback));
  });

  /** Turns in which each of so many connections spends so much, and the share afterwards. */
  function shareBeside(speakers: readonly object[], units: number, count = 2_000): number {
    for (let turn = 0; turn < count; turn++) {
      for (const speaker of speakers) {
        turns.heard(speaker, true);
        turns.spentQuietly(units);
      }
      turns.add({ flush: () => undefined });
      waiting.shift()?.();
    }
    return turns.share;
  }

  it('is small beside those who say little, large among those who are busy, and largest for one that is alone', () => {
    const many = Array.from({ length: 20 }, () => ({}));
    const beside = shareBeside(many, 4);
    const among = shareBeside(many, 300);
    const alone = shareBeside([{}], 4);
    expect(beside).toBeLessThan(300);
    expect(among).toBeGreaterThan(1_000);
    expect(alone).toBeGreaterThan(4_000);
    expect(shareBeside(many, 4, 100)).toBe(beside); // at once
  });

  it('has room for the acknowledgements of a full window, however small it is', () => {
    shareBeside([{}, {}], 4);
    expect(turns.shareFor(true)).toBeGreaterThan(500);
    expect(turns.shareFor(false)).toBeLessThan(300);
  });
});

describe('outboxes', () => {
  it('of a fan-out are written to in turns, and those of others do not wait for them all', () => {
    const waiting: (() => void)[] = [];
    const turns = new Turns((callback) => waiting.push(callback));
    const written: string[] = [];
    const add = (name: string): void => turns.add({ flush: () => void written.push(name) });
    for (let n = 0; n < 1_000; n++) add(`fan-${n}`);
    waiting.shift()?.();
    expect(written.length).toBeLessThan(200);
    add('other');
    waiting.shift()?.();
    expect(written).toContain('other');
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) next();
    expect(written).toHaveLength(1_001);
  });

  it('to which one who stands in line sends are written to once, when it is done, and those of others at once', () => {
    const waiting: (() => void)[] = [];
    const turns = new Turns((callback) => waiting.push(callback));
    const written: string[] = [];
    const outbox = (name: string) => ({ flush: () => void written.push(name) });
    turns.begin();
    turns.add(outbox('its first slice'));
    let slices = 0;
    const goOn = (): void => {
      turns.add(outbox(`slice ${++slices}`));
      turns.spend(300);
      if (slices < 5) turns.wait(goOn);
    };
    turns.waitToRead(goOn);
    for (let turn = 0; written.length === 0 && turn < 20; turn++) {
      waiting.shift()?.();
      if (slices >= 5) break;
      expect(written).toEqual([]);
    }
    turns.begin();
    turns.add(outbox('other'));
    waiting.shift()?.();
    expect([...written].sort()).toEqual(
      ['other', 'its first slice', ...Array.from({ length: 5 }, (_, n) => `slice ${n + 1}`)].sort(),
    );
  });

  describe('and the chunks of a turn', () => {
    let scheduled: (() => void)[];
    let turns: Turns;
    let written: string[];

    beforeEach(() => {
      scheduled = [];
      written = [];
      turns = new Turns((callback) => scheduled.push(callback));
    });

    function chunk(name: string, isSpeech = true): void {
      turns.beginChunk();
      turns.begin();
      turns.add({ flush: () => void written.push(name) });
      turns.endChunk(isSpeech);
    }

    /** The end of the loop's turn. Returns how many had not been written to before. */
    function endOfTurn(): number {
      const before = written.length;
      for (const callback of scheduled.splice(0)) callback();
      return written.length - before;
    }

    it('are written to as soon as it is read, where it comes alone', () => {
      let waited = 0;
      for (let n = 0; n < 160; n++) {
        chunk(`chunk ${n}`);
        waited += endOfTurn();
      }
      expect(written).toHaveLength(160);
      expect(waited).toBe(10); // one in sixteen, to see whether others come with it
    });

    it('are written to together, where they come together', () => {
      for (let n = 0; n < 100; n++) {
        chunk('alone');
        endOfTurn();
      }
      for (let turn = 0; turn < 20; turn++) {
        for (let n = 0; n < 20; n++) chunk(`company ${n}`);
        endOfTurn();
      }
      written.length = 0;
      for (let n = 0; n < 20; n++) chunk(`company ${n}`);
      expect(written).toEqual([]);
      expect(endOfTurn()).toBe(20);
    });

    it('are not gathered for acknowledgements that come beside it', () => {
      let waited = 0;
      for (let n = 0; n < 160; n++) {
        chunk(`chunk ${n}`);
        for (let answer = 0; answer < 20; answer++) {
          turns.beginChunk();
          turns.endChunk(false);
        }
        waited += endOfTurn();
      }
      expect(waited).toBeLessThan(20);
    });

    it('wait for the end of the turn with what waits for it by itself', () => {
      for (let n = 0; n < 5; n++) {
        chunk('alone');
        endOfTurn();
      }
      written.length = 0;
      turns.beginChunk();
      turns.begin();
      turns.addLast({ flush: () => void written.push('last') });
      turns.add({ flush: () => void written.push('other') });
      turns.endChunk(true);
      chunk('the next');
      expect(written).toEqual([]);
      expect(endOfTurn()).toBe(3);
    });
  });

  it('are served before long work goes on', () => {
    const waiting: (() => void)[] = [];
    const turns = new Turns((callback) => waiting.push(callback));
    const order: string[] = [];
    let steps = 0;
    void turns.work(() => {
      turns.spend(50);
      order.push('step');
      return ++steps < 200;
    });
    const first = order.length;
    expect(first).toBeLessThan(30);
    turns.add({ flush: () => void order.push('flush') });
    waiting.shift()?.();
    expect(order[first]).toBe('flush');
    expect(order.length).toBeGreaterThan(first + 1);
  });
});
