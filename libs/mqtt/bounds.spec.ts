/** What a hostile client can make the server keep, or do in one go, is bounded; and nobody pays for it but its own. */
import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import { acknowledgement, connectBytes, Harness, type TestClient } from './testing/index.js';

async function durable(h: Harness, receiveMaximum = 65_535): Promise<TestClient> {
  const client = await h.connect5('durable', {
    expiry: 100,
    properties: [['receiveMaximum', receiveMaximum]],
  });
  await client.subscribe('a');
  return client;
}

const big = (bytes: number) => [['userProperty', ['x', 'y'.repeat(bytes)]]] as never;

describe('acknowledgements that wait for the store', () => {
  it('are bounded for a client that repeats one QoS 2 message', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, receiveMaximum: 10 };
    await durable(h);
    const client = await h.connect('alice');
    h.store.hold();
    await client.publish('a', 'x', { qos: 2, id: 1 });
    for (let i = 0; i < 50; i++)
      client.link.send(client.publishBytes('a', 'x', { qos: 2, id: 1, dup: true }));
    expect(client.link.isPaused).toBe(true);
    h.store.commit();
    await client.settle();
    expect(client.link.isPaused).toBe(false);
    expect(client.take('pubrec').length).toBeGreaterThanOrEqual(51);
  });

  it('are bounded for a client whose messages are denied', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, receiveMaximum: 10 };
    await durable(h);
    h.gate.allow({ publish: ['a'] });
    const client = await h.connect('alice');
    h.store.hold();
    await client.publish('a', 'x', { qos: 1 });
    for (let i = 0; i < 50; i++) client.link.send(client.publishBytes('b', 'x', { qos: 1 }));
    expect(client.link.isPaused).toBe(true);
    h.store.commit();
    await client.settle();
    expect(client.take('puback')).toHaveLength(51);
  });
});

describe('a queue', () => {
  it('counts properties as well as payload', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxQueuedBytes: 1_000_000 };
    const stuck = await h.connect5('stuck', { properties: [['receiveMaximum', 1]] });
    stuck.acknowledges = false;
    await stuck.subscribe('a');
    const publisher = await h.connect5('p');
    for (let i = 0; i < 40; i++) await publisher.publish('a', '', { qos: 1, properties: big(50_000) });
    expect(h.broker.stats.droppedQueueFull).toBeGreaterThan(15);
  });

  it("of a session that has been away since before the process started is held to its tenant's limits", async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxQueuedMessages: 3 };
    await (await durable(h)).cut();
    const next = await h.crash();
    const publisher = await next.connect('p');
    for (let i = 0; i < 5; i++) await publisher.publish('a', String(i), { qos: 1 });
    expect(next.broker.stats.droppedQueueFull).toBe(2);
  });

  it('of a durable session has a window of a few megabytes in memory, whatever the size of its messages', async () => {
    const h = new Harness();
    const away = await durable(h);
    await away.cut();
    const publisher = await h.connect('p');
    for (let i = 0; i < 20; i++) await publisher.publish('a', Buffer.alloc(1_000_000), { qos: 1 });
    const read = h.vault.read.bind(h.vault);
    let taken = 0;
    h.vault.read = async (...args) => {
      const page = await read(...args);
      taken += page.length;
      return page;
    };
    const back = h.open(5, 'durable');
    back.acknowledges = false;
    const properties = [
      ['sessionExpiryInterval', 100],
      ['receiveMaximum', 1],
    ] as const;
    await back.send(connectBytes('durable', { version: 5, clean: false, properties }));
    await back.settle();
    expect(taken).toBeLessThan(8);
    back.acknowledges = true;
    await back.send(acknowledgement('puback', back.take('publish')[0]!.packetId));
    expect(taken).toBe(20);
    expect(back.take('publish')).toHaveLength(19);
  });
});

describe('a client that is not read', () => {
  it('because it is over its rate is not taken to be silent', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, publishRate: 1 };
    const client = await h.connect('alice', { keepAlive: 10 });
    for (let i = 0; i < 40; i++) client.link.send(client.publishBytes('a', 'x'));
    await h.clock.advance(16_000);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(70_000);
    expect(client.link.isEnded).toBe(true);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({ cause: 'keep-alive' });
    expect(h.clock.pendingAlarms).toBe(1); // the space's, which nobody uses
  });
});

describe('retained messages for a new subscription', () => {
  it('are looked for in turns, and others are served in between', async () => {
    const h = new Harness();
    const publisher = await h.connect('p');
    const many = 12_000;
    for (let i = 0; i < many; i++)
      publisher.link.send(publisher.publishBytes(`r/${i}`, 'x', { retain: true }));
    await publisher.settle();
    const greedy = await h.connect('greedy');
    greedy.link.send(greedy.subscribeBytes(['#', 'r/#', 'r/+']));
    expect(greedy.link.isPaused).toBe(true);
    await greedy.settle();
    expect(greedy.link.isPaused).toBe(false);
    expect(greedy.take('publish')).toHaveLength(3 * many);
  });

  it('end where the right to them ends', async () => {
    const h = new Harness();
    const publisher = await h.connect('p');
    const many = 12_000;
    for (let i = 0; i < many; i++)
      publisher.link.send(publisher.publishBytes(`r/${i}`, 'x', { retain: true }));
    await publisher.settle();
    const greedy = await h.connect('greedy');
    greedy.link.send(greedy.subscribeBytes(['r/#', 'r/+']));
    h.gate.allow({ subscribe: [] });
    await h.broker.reauthorize(greedy.tenantId, () => true);
    await greedy.settle();
    expect(greedy.take('publish').length).toBeLessThan(many);
    expect(greedy.link.isPaused).toBe(false);
  });

  it('are not overtaken by newer ones on their topic', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 1_000 };
    const publisher = await h.connect('p');
    for (let i = 0; i < 10; i++) await publisher.publish(`r/${i}`, 'old'.repeat(100), { retain: true });
    const slow = await h.connect('slow');
    slow.link.stall();
    slow.link.send(slow.subscribeBytes(['r/#'], { qos: 0 }));
    await h.settle();
    await publisher.publish('r/9', 'new');
    slow.link.read();
    await slow.settle();
    const got = slow.take('publish').filter(({ topic }) => topic === 'r/9');
    expect(got.map(({ payload }) => payload.slice(0, 3))).toEqual(['old', 'new']);
  });

  it('that have expired make room for new ones', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxRetainedMessages: 2 };
    const client = await h.connect5('alice');
    const expiring = { qos: 1, retain: true, properties: [['messageExpiryInterval', 10]] } as const;
    await client.publish('a', 'x', expiring);
    await client.publish('b', 'x', expiring);
    expect((await client.publish('c', 'x', expiring))?.code).toBe(0x97);
    await h.clock.advance(10_000);
    expect((await client.publish('c', 'x', expiring))?.code).toBe(0x10);
    expect(h.broker.stats.retained).toBe(1);
    await h.settle();
    expect((await h.vault.open(client.tenantId)).retained.map(({ topic }) => topic)).toEqual(['c']);
  });
});

describe('a retained message that could not be stored', () => {
  it('is not held in memory either: what was there before is there again', async () => {
    const h = new Harness();
    await (await h.connect('p')).publish('a', 'first', { qos: 1, retain: true });
    const failing = await h.connect('q');
    h.store.failWith(new Error('down'));
    await failing.publish('a', 'second', { qos: 1, retain: true });
    expect(failing.link.isEnded).toBe(true);
    await (await h.connect('r')).publish('a', '', { qos: 0, retain: true });
    await (await h.connect('r')).publish('b', 'never', { qos: 0, retain: true });
    await h.settle();
    h.store.failWith(undefined);
    const late = await h.connect('s');
    await late.subscribe('#');
    expect(late.messages()).toEqual(['a first']);
    expect(h.broker.stats.retained).toBe(1);
  });

  it('gives way to the last one that was, whichever failed', async () => {
    const h = new Harness();
    const client = await h.connect('p');
    h.store.hold();
    client.link.send(client.publishBytes('a', 'one', { retain: true }));
    client.link.send(client.publishBytes('a', 'two', { retain: true }));
    const early = await h.connect('early');
    await early.subscribe('#');
    expect(early.messages()).toEqual(['a two']);
    h.store.commit();
    await h.settle();
    h.store.hold();
    client.link.send(client.publishBytes('a', '', { retain: true }));
    h.store.failWith(new Error('down'));
    h.store.commit();
    await h.settle();
    h.store.failWith(undefined);
    const late = await h.connect('late');
    await late.subscribe('#');
    expect(late.messages()).toEqual(['a two']);
  });

  it('is cleared for whoever is told so: a second clearing waits for the first one', async () => {
    const h = new Harness();
    const one = await h.connect('one');
    await one.publish('a', 'x', { qos: 1, retain: true });
    h.store.hold();
    expect(await one.publish('a', '', { qos: 1, retain: true })).toBeUndefined();
    const two = await h.connect('two');
    expect(await two.publish('a', '', { qos: 1, retain: true })).toBeUndefined();
    h.store.commit();
    await two.settle();
    expect(two.take('puback')).toHaveLength(1);
  });
});

describe('sessions of clients that are away', () => {
  it('are bounded by the tenant, whose clients may still come back to theirs, or without one', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxSessions: 2 };
    for (const id of ['a', 'b']) await (await h.connect5(id, { expiry: 100 })).cut();
    expect((await h.connect5('c', { expiry: 100 })).connack?.code).toBe(0x97);
    expect((await h.connect5('c')).connack?.code).toBe(0);
    expect((await h.connect5('a', { expiry: 100 })).connack).toMatchObject({ code: 0, sessionPresent: true });
  });
});
