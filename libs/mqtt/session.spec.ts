import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import { acknowledgement, connectBytes, Harness, property, type TestClient } from './testing/index.js';

async function publishMany(publisher: TestClient, count: number, qos: number, from = 0): Promise<void> {
  for (let i = from; i < from + count; i++) await publisher.publish('a', String(i), { qos });
}

const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `a ${i + from}`);

describe('a session', () => {
  it.each([3, 4])(
    'of level %i with Clean Session 0 is resumed, also without subscriptions',
    async (version) => {
      const h = new Harness();
      const first = await h.connect('alice', { version, clean: false });
      expect(first.connack?.sessionPresent).toBe(false);
      await first.cut();
      const again = await h.connect('alice', { version, clean: false });
      expect(again.connack?.sessionPresent).toBe(version === 4); // 3.1 has no such flag
      const clean = await h.connect('alice', { version, clean: true });
      expect(clean.connack?.sessionPresent).toBe(false);
      expect((await h.connect('alice', { version, clean: false })).connack?.sessionPresent).toBe(false);
    },
  );

  it('of 5.0 lives as long as its expiry says, 0 where there is none', async () => {
    const h = new Harness();
    await (await h.connect5('alice', { clean: false })).cut();
    expect((await h.connect5('alice', { clean: false })).connack?.sessionPresent).toBe(false);
    await (await h.connect5('bob', { expiry: 10 })).cut();
    await h.clock.advance(9_000);
    expect((await h.connect5('bob', { expiry: 20 })).connack?.sessionPresent).toBe(true);
    await h.clock.advance(100_000);
    const live = await h.connect5('bob', { expiry: 20 });
    expect(live.connack?.sessionPresent).toBe(true);
    await live.cut();
    await h.clock.advance(20_000);
    expect((await h.connect5('bob', { expiry: 20 })).connack?.sessionPresent).toBe(false);
  });

  it('resumed with expiry 0 ends with that connection', async () => {
    const h = new Harness();
    await (await h.connect5('alice', { expiry: 100 })).cut();
    const client = await h.connect5('alice', { clean: false });
    expect(client.connack?.sessionPresent).toBe(true);
    await client.cut();
    await h.settle();
    expect((await h.vault.open(client.tenantId)).sessions).toEqual([]);
  });

  it('that is clean never touches the vault', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    await h.settle();
    const commits = h.store.commits;
    await client.subscribe('#');
    for (const qos of [0, 1, 2]) await publishMany(client, 10, qos);
    expect(h.store.commits).toBe(commits);
  });

  it('expires also over a restart, and its time runs from the crash where its client was connected', async () => {
    const h = new Harness();
    await h.connect5('connected', { expiry: 10 });
    await (await h.connect5('away', { expiry: 20 })).cut();
    await h.clock.advance(5_000);
    const next = await h.crash();
    expect(next.broker.stats.sessions).toBe(2);
    await next.clock.advance(10_000);
    expect(next.broker.stats.sessions).toBe(1);
    await next.clock.advance(5_000);
    expect(next.broker.stats.sessions).toBe(0);
    expect((await next.vault.open('tenant-a' as never)).sessions).toEqual([]);
  });
});

describe('messages for a client that is away', () => {
  it('are queued at QoS 1 and 2, and come in order, for the first time, with their identifiers', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    await client.subscribe('a', { id: 9 });
    await client.cut();
    const publisher = await h.connect('bob');
    await publisher.publish('a', 'lost', { qos: 0 });
    for (let i = 0; i < 10; i++) await publisher.publish('a', String(i), { qos: 1 + (i % 2) });
    const back = await h.connect5('alice', { expiry: 100 });
    const got = back.take('publish');
    expect(got.map(({ topic, payload }) => `${topic} ${payload}`)).toEqual(upTo(10));
    expect(got.every(({ dup }) => !dup)).toBe(true);
    expect(property(got[0], 'subscriptionIdentifier')).toBe(9);
    await back.settle();
    expect((await h.vault.open(back.tenantId)).sessions).toMatchObject([{ queuedMessages: 0 }]);
  });

  it('count their expiry down, and go when it has passed', async () => {
    const h = new Harness();
    await (async () => {
      const client = await h.connect5('alice', { expiry: 100 });
      await client.subscribe('a');
      await client.cut();
    })();
    const publisher = await h.connect5('bob');
    for (const expiry of [5, 30]) {
      await publisher.publish('a', String(expiry), {
        qos: 1,
        properties: [['messageExpiryInterval', expiry]],
      });
    }
    await h.clock.advance(10_000);
    const back = await h.connect5('alice', { expiry: 100 });
    const got = back.take('publish');
    expect(got).toMatchObject([{ payload: '30' }]);
    expect(property(got[0], 'messageExpiryInterval')).toBe(20);
    expect(h.broker.stats.droppedExpired).toBe(1);
  });

  it('that were under way are sent again though they have expired since', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    client.acknowledges = false;
    await client.subscribe('a');
    const publisher = await h.connect5('bob');
    await publisher.publish('a', 'x', { qos: 2, properties: [['messageExpiryInterval', 1]] });
    await client.settle();
    const [first] = client.take('publish');
    await client.cut();
    await h.clock.advance(5_000);
    const back = await h.connect5('alice', { expiry: 100 });
    expect(back.take('publish')).toMatchObject([{ payload: 'x', dup: true, packetId: first?.packetId }]);
  });

  it('are bounded by number and by bytes, and the rest is counted', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxQueuedMessages: 5 };
    const client = await h.connect('alice', { clean: false });
    await client.subscribe('a', { qos: 1 });
    await client.cut();
    const publisher = await h.connect('bob');
    await publishMany(publisher, 8, 1);
    expect(h.broker.stats.droppedQueueFull).toBe(3);
    const back = await h.connect('alice', { clean: false });
    expect(back.messages()).toEqual(upTo(5));
    await publishMany(publisher, 3, 1, 10);
    await back.settle();
    expect(back.messages()).toEqual(upTo(3, 10));
  });

  it('come page by page from the vault, however many there are', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    await client.subscribe('a', { qos: 1 });
    await client.cut();
    const publisher = await h.connect('bob');
    for (let i = 0; i < 30; i++) {
      await publisher.send(
        ...Array.from({ length: 100 }, (_, k) =>
          publisher.publishBytes('a', String(i * 100 + k), { qos: 1 }),
        ),
      );
    }
    const back = await h.connect('alice', { clean: false });
    for (let i = 0; i < 50; i++) await back.settle();
    await publisher.publish('a', '3000', { qos: 1 });
    await back.settle();
    expect(back.messages()).toEqual(upTo(3_001));
    await back.settle();
    expect((await h.vault.open(back.tenantId)).sessions).toMatchObject([{ queuedMessages: 0 }]);
  });

  it('are checked against the rights of the day on which they are sent', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    await client.subscribe(['a', 'b'], { qos: 1 });
    await client.cut();
    const publisher = await h.connect('bob');
    for (const topic of ['a', 'b', 'a']) await publisher.publish(topic, 'x', { qos: 1 });
    h.gate.allow({ subscribe: ['b'] }, 'alice');
    const back = await h.connect('alice', { clean: false });
    expect(back.messages()).toEqual(['b x']);
    expect(h.broker.stats.droppedDenied).toBe(2);
    await publisher.publish('a', 'y', { qos: 1 });
    await back.settle();
    expect(back.messages()).toEqual([]);
    await back.settle();
    expect((await h.vault.open(back.tenantId)).sessions).toMatchObject([
      { queuedMessages: 0, subscriptions: [{ filter: 'b' }] },
    ]);
  });
});

describe('after a reconnect', () => {
  for (const crashes of [false, true]) {
    const how = crashes ? 'after a kill -9' : 'in the same process';
    const again = (h: Harness): Promise<Harness> => (crashes ? h.crash() : Promise.resolve(h));

    it(`QoS 1 without PUBACK comes again, DUP and the same identifier, ${how}`, async () => {
      const h = new Harness();
      const client = await h.connect('alice', { clean: false });
      client.acknowledges = false;
      await client.subscribe('a', { qos: 1 });
      await publishMany(await h.connect('bob'), 3, 1);
      await client.settle();
      const ids = client.take('publish').map(({ packetId }) => packetId);
      await client.send(acknowledgement('puback', ids[1]!));
      await client.cut();
      const back = await (await again(h)).connect('alice', { clean: false });
      const got = back.take('publish');
      expect(got.map(({ payload, packetId, dup }) => [payload, packetId, dup])).toEqual([
        ['0', ids[0], true],
        ['2', ids[2], true],
      ]);
    });

    it(`QoS 2 goes on where it was, ${how}`, async () => {
      const h = new Harness();
      const client = await h.connect('alice', { clean: false });
      client.acknowledges = false;
      await client.subscribe('a', { qos: 2 });
      await publishMany(await h.connect('bob'), 2, 2);
      await client.settle();
      const [first, second] = client.take('publish').map(({ packetId }) => packetId);
      await client.send(acknowledgement('pubrec', first!));
      expect(client.take('pubrel')).toMatchObject([{ packetId: first }]);
      await client.cut();
      const back = await (await again(h)).connect('alice', { clean: false });
      const got = back.take().filter(({ type }) => type === 'pubrel' || type === 'publish');
      expect(got.slice(0, 2)).toMatchObject([
        { type: 'pubrel', packetId: first },
        { type: 'publish', packetId: second, dup: true },
      ]);
    });

    it(`inbound QoS 2 identifiers are still known, ${how}`, async () => {
      const h = new Harness();
      const client = await h.connect('alice', { clean: false });
      client.acknowledges = false;
      await client.subscribe('a', { qos: 0 });
      await client.publish('a', 'x', { qos: 2, id: 5 });
      expect(client.messages()).toEqual(['a x']);
      await client.cut();
      const back = await (await again(h)).connect('alice', { clean: false });
      back.acknowledges = false;
      await back.publish('a', 'x', { qos: 2, id: 5, dup: true });
      expect(back.take().map(({ type }) => type)).toEqual(['connack', 'pubrec']);
      await back.send(acknowledgement('pubrel', 5));
      expect(back.take('pubcomp')).toMatchObject([{ code: 0 }]);
      await back.publish('a', 'y', { qos: 2, id: 5 });
      expect(back.messages()).toEqual(['a y']);
    });
  }

  it('nothing is sent again on a connection that lives', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    client.acknowledges = false;
    await client.subscribe('a');
    await publishMany(client, 1, 1);
    await h.clock.advance(3_600_000);
    await client.settle();
    expect(client.take('publish')).toHaveLength(1);
  });

  it('an acknowledgement with an error is the end of it', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    client.acknowledges = false;
    await client.subscribe('a');
    await client.publish('a', '1', { qos: 1 });
    await client.publish('a', '2', { qos: 2 });
    const [one, two] = client.take('publish').map(({ packetId }) => packetId);
    await client.send(acknowledgement('puback', one!, 0x80), acknowledgement('pubrec', two!, 0x80));
    expect(client.take('pubrel')).toEqual([]);
    await client.cut();
    const back = await h.connect5('alice', { expiry: 100 });
    expect(back.take('publish')).toEqual([]);
  });

  it('identifiers are not reused while they are under way', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 1e9, maxInFlight: 65_535, maxQueuedMessages: 1e6 };
    const client = await h.connect('alice');
    client.acknowledges = false;
    await client.subscribe('a', { qos: 1 });
    const publisher = await h.connect('bob');
    for (let i = 0; i < 67; i++) {
      await publisher.send(
        ...Array.from({ length: 1_000 }, () => publisher.publishBytes('a', '', { qos: 1, id: 1 })),
      );
    }
    await client.settle();
    const first = client.take('publish').map(({ packetId }) => packetId);
    expect(first).toHaveLength(65_535);
    expect(new Set(first).size).toBe(65_535);
    await client.send(acknowledgement('puback', first[1]!));
    expect(client.take('publish')).toEqual([]); // the oldest is still out
    await client.send(acknowledgement('puback', first[0]!));
    expect(client.take('publish').map(({ packetId }) => packetId)).toEqual([1, 2]);
  });
});

describe('after a restart, DUP', () => {
  /** It acknowledges nothing by itself. */
  async function arrive(h: Harness): Promise<TestClient> {
    const client = h.open(4, 'alice');
    client.acknowledges = false;
    await client.send(connectBytes('alice', { clean: false }));
    return client;
  }

  async function subscriber(h: Harness, limits = defaultLimits): Promise<TestClient> {
    h.gate.limits = limits;
    const client = await arrive(h);
    await client.subscribe('a', { qos: 2 });
    return client;
  }

  async function publish(h: Harness, ...payloads: readonly string[]): Promise<void> {
    const publisher = await h.connect('bob');
    for (const payload of payloads) await publisher.publish('a', payload, { qos: 1 + (Number(payload) % 2) });
  }

  async function deliveries(client: TestClient): Promise<string[]> {
    await client.settle();
    return client.take('publish').map(({ payload, dup }) => (dup ? `${payload} again` : payload));
  }

  it('is 0 for what waited for a client that was away, and 1 for what it had been sent', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    await publish(h, '0', '1');
    expect(await deliveries(client)).toEqual(['0', '1']);
    await client.cut();
    await publish(h, '2', '3');
    const next = await h.crash();
    await publish(next, '4');
    const back = await arrive(next);
    await publish(next, '5');
    expect(await deliveries(back)).toEqual(['0 again', '1 again', '2', '3', '4', '5']);
    await back.cut();
    const last = await next.crash();
    await publish(last, '6');
    const sent = ['0', '1', '2', '3', '4', '5'].map((payload) => `${payload} again`);
    expect(await deliveries(await arrive(last))).toEqual([...sent, '6']);
  });

  it('is 0 for what was published since, also where the client was connected when the process was killed', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    await publish(h, '0', '1');
    expect(await deliveries(client)).toEqual(['0', '1']);
    const next = await h.crash();
    await publish(next, '2', '3');
    expect(await deliveries(await arrive(next))).toEqual(['0 again', '1 again', '2', '3']);
  });

  it('is 1 for what was sent on the connection that the process was killed with, whatever is known of the one before', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    await publish(h, '0');
    await client.cut();
    const second = await arrive(h);
    await publish(h, '1');
    expect(await deliveries(second)).toEqual(['0 again', '1']);
    const next = await (await h.crash()).crash(); // and once more before it is back
    expect(await deliveries(await arrive(next))).toEqual(['0 again', '1 again']);
  });

  it('is 1 for as many as may have been in flight where it is not known, and 0 for the rest', async () => {
    const h = new Harness();
    const client = await subscriber(h, { ...defaultLimits, maxInFlight: 2 });
    await publish(h, '0', '2', '4', '6');
    expect(await deliveries(client)).toEqual(['0', '2']);
    await client.send(acknowledgement('puback', 2));
    expect(await deliveries(client)).toEqual(['4']);
    await client.send(acknowledgement('puback', 3));
    expect(await deliveries(client)).toEqual(['6']); // 0 and 6 are in flight
    await publish(h, '8', '10');
    const next = await h.crash();
    const back = await arrive(next);
    expect(await deliveries(back)).toEqual(['0 again', '6 again']);
    await back.catchUp();
    expect(await deliveries(back)).toEqual(['8', '10']);
  });

  it('is 0 for what was published between two of them, while the client was away', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    await publish(h, '0');
    expect(await deliveries(client)).toEqual(['0']);
    const next = await h.crash();
    await publish(next, '2');
    expect(await deliveries(await arrive(await next.crash()))).toEqual(['0 again', '2']);
  });

  it('is in doubt no longer once the queue has been seen', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    await publish(h, '0');
    await client.send(acknowledgement('puback', 1));
    const next = await h.crash();
    const back = await arrive(next);
    await publish(next, '2');
    expect(await deliveries(back)).toEqual(['2']);
    await back.cut();
    await publish(next, '4');
    expect(await deliveries(await arrive(next))).toEqual(['2 again', '4']);
  });

  it('is 0 for the message that gets the sequence of one that was not stored', async () => {
    const h = new Harness();
    const client = await subscriber(h);
    const publisher = await h.connect('bob');
    h.store.failWith(new Error('disk full'));
    await publisher.publish('a', 'lost', { qos: 1 });
    h.store.failWith(undefined);
    await client.cut();
    const next = await h.crash();
    await publish(next, '1');
    expect(await deliveries(await arrive(next))).toEqual(['1']);
  });
});

describe('the receive maximum of a client', () => {
  it('bounds what is unacknowledged; PUBREC frees no place, a failing one does', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { properties: [['receiveMaximum', 2]] });
    client.acknowledges = false;
    await client.subscribe(['a', 'b']);
    const publisher = await h.connect('bob');
    await publishMany(publisher, 5, 2);
    await client.settle();
    const [one, two] = client.take('publish').map(({ packetId }) => packetId);
    await client.send(acknowledgement('pubrec', one!));
    expect(client.take('publish')).toHaveLength(0);
    await client.send(acknowledgement('pubcomp', one!));
    expect(client.take('publish')).toMatchObject([{ payload: '2' }]);
    await client.send(acknowledgement('pubrec', two!, 0x80));
    expect(client.take('publish')).toMatchObject([{ payload: '3' }]);
    await publisher.publish('b', 'qos 0 passes');
    expect(await client.ping()).toBe(true);
    expect(client.messages()).toEqual(['b qos 0 passes']);
  });

  it('holds on resumption too', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    client.acknowledges = false;
    await client.subscribe('a');
    await publishMany(await h.connect('bob'), 5, 1);
    await client.cut();
    const back = h.open(5, 'alice');
    back.acknowledges = false;
    const { connectBytes } = await import('./testing/index.js');
    const list = [
      ['sessionExpiryInterval', 100],
      ['receiveMaximum', 2],
    ] as const;
    await back.send(connectBytes('alice', { version: 5, clean: false, properties: list }));
    expect(back.take('publish')).toMatchObject([{ payload: '0' }, { payload: '1' }]);
  });
});

describe('the maximum packet size of a client', () => {
  it('counts the whole packet; what is larger is dropped and takes no place', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', {
      expiry: 100,
      properties: [
        ['maximumPacketSize', 50],
        ['receiveMaximum', 1],
      ],
    });
    await client.subscribe('a');
    const fits = 'x'.repeat(50 - 2 - 3 - 2 - 1);
    for (const payload of [`${fits}x`, fits, `${fits}xx`, 'y'])
      await client.publish('a', payload, { qos: 1 });
    expect(client.messages()).toEqual([`a ${fits}`, 'a y']);
    expect(h.broker.stats.droppedTooLarge).toBe(2);
    await client.settle();
    expect((await h.vault.open(client.tenantId)).sessions).toMatchObject([{ queuedMessages: 0 }]);
  });
});

describe('a client that does not read', () => {
  it('loses QoS 0, keeps QoS 1 in order, and slows nobody', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 1_000 };
    const slow = await h.connect('slow');
    const quick = await h.connect('quick');
    const publisher = await h.connect('p');
    await slow.subscribe('a', { qos: 1 });
    await quick.subscribe('a', { qos: 1 });
    slow.link.stall();
    for (let i = 0; i < 200; i++) {
      await publisher.publish('a', `zero ${i}`);
      await publisher.publish('a', `one ${i}`, { qos: 1 });
    }
    await quick.settle();
    expect(quick.messages()).toHaveLength(400);
    expect(slow.link.bufferedBytes).toBeLessThan(2_000);
    expect(h.broker.stats.droppedSlow).toBeGreaterThan(100);
    for (let i = 0; i < 50; i++) {
      slow.link.read();
      await slow.settle();
    }
    const ones = slow.messages().filter((line) => line.includes('one'));
    expect(ones).toEqual(Array.from({ length: 200 }, (_, i) => `a one ${i}`));
  });

  it('is not read either, so that its own replies stay bounded', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 1_000 };
    const client = await h.connect('alice');
    client.link.stall();
    for (let i = 0; i < 5_000; i++) client.link.send(client.publishBytes('a', '', { qos: 1, id: 1 }));
    for (let i = 0; i < 20; i++) {
      client.link.send(
        Buffer.concat(Array.from({ length: 100 }, () => client.publishBytes('a', '', { qos: 1, id: 1 }))),
      );
      await h.settle();
    }
    expect(client.link.isPaused).toBe(true);
    client.link.read();
    await client.settle();
    expect(client.link.isPaused).toBe(false);
  });
});
