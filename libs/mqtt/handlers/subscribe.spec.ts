import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from '../limits.js';
import { frame, Harness, property, text, uint16 } from '../testing/index.js';

describe('subscribing', () => {
  it('grants each filter by itself, in their order', async () => {
    const h = new Harness();
    h.gate.allow({ subscribe: ['mine/#'], maxQos: 1 });
    const client = await h.connect5('alice');
    const suback = await client.subscribe([
      'mine/a',
      'other',
      'a#',
      'a+/b',
      '$share//f',
      '$share/g',
      'mine/#',
    ]);
    expect(suback?.codes).toEqual([1, 0x87, 0x8f, 0x8f, 0x8f, 0x8f, 1]);
    expect(h.journal.denials).toMatchObject([{ action: 'subscribe', topic: 'other' }]);
  });

  it('tells every failure as 0x80 in 3.1.1', async () => {
    const h = new Harness();
    h.gate.allow({ subscribe: ['mine/#'] });
    const client = await h.connect('alice');
    expect((await client.subscribe(['mine/a', 'other', 'a#']))?.codes).toEqual([2, 0x80, 0x80]);
  });

  it('that is denied is acknowledged in 3.1 as the client asked, and denied all the same', async () => {
    const h = new Harness();
    h.gate.allow({ subscribe: ['mine/#'], publish: ['#'] });
    const client = await h.connect('bob', { version: 3 });
    expect((await client.subscribe(['mine/a', 'other'], { qos: 1 }))?.codes).toEqual([1, 1]);
    expect(h.journal.denials).toMatchObject([{ action: 'subscribe', topic: 'other' }]);
    const publisher = await h.connect('alice');
    await publisher.publish('other', 'x', { qos: 1 });
    await publisher.publish('mine/a', 'y', { qos: 1 });
    await client.settle();
    expect(client.messages()).toEqual(['mine/a y']);
  });

  it('that is invalid closes in 3.1, which has no word for it, and none of its packet is kept, nor after a crash', async () => {
    const h = new Harness();
    const client = await h.connect('bob', { version: 3, clean: false });
    await client.subscribe(['mine/a', 'a#']);
    expect(client.link.isEnded).toBe(true);
    const next = await h.crash();
    const again = await next.connect('bob', { version: 3, clean: false });
    await (await next.connect('alice')).publish('mine/a', 'x', { qos: 1 });
    await again.settle();
    expect(again.messages()).toEqual([]);
  });

  it('is limited per session', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxSubscriptionsPerSession: 2 };
    const client = await h.connect5('alice');
    expect((await client.subscribe(['a', 'b', 'c']))?.codes).toEqual([2, 2, 0x97]);
    expect((await client.subscribe(['b', 'c']))?.codes).toEqual([2, 0x97]);
    await client.unsubscribe('a');
    expect((await client.subscribe(['c']))?.codes).toEqual([2]);
  });

  it('refuses No Local on a shared subscription by closing', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('$share/g/a', { noLocal: true });
    expect(client.goodbye).toBe(0x82);
  });

  it('is ended by UNSUBSCRIBE, filter by filter', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe(['a', 'a/#', '$share/g/a']);
    expect((await client.unsubscribe('a', 'b', 'a#', '$share/g/a'))?.codes).toEqual([0, 0x11, 0x8f, 0]);
    await client.publish('a', 'x');
    expect(client.messages()).toEqual(['a x']);
    await client.unsubscribe('a/#');
    await client.publish('a', 'y');
    expect(client.messages()).toEqual([]);
    expect(h.broker.stats.subscriptions).toBe(0);
  });

  it('matches as the standard says', async () => {
    const h = new Harness();
    const cases: [filter: string, topic: string, matches: boolean][] = [
      ['a/#', 'a', true],
      ['a/#', 'a/b/c', true],
      ['a/+', 'a', false],
      ['a/+', 'a/', true],
      ['+/+', '/a', true],
      ['/+', '/a', true],
      ['+', '/a', false],
      ['#', 'a', true],
      ['A', 'a', false],
      ['a/b', 'a//b', false],
    ];
    for (const [filter, topic, matches] of cases) {
      const client = await h.connect('alice');
      await client.subscribe(filter);
      await client.publish(topic, 'x');
      expect([filter, topic, client.messages().length > 0]).toEqual([filter, topic, matches]);
    }
  });
});

describe('overlapping subscriptions', () => {
  it('deliver once, at the highest QoS, with all identifiers', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a/#', { qos: 0, id: 1 });
    await client.subscribe('a/b', { qos: 2, id: 200 });
    await client.subscribe('+/b', { qos: 1 });
    await client.publish('a/b', 'x', { qos: 2 });
    const got = client.take('publish');
    expect(got).toMatchObject([{ qos: 2 }]);
    const ids = got[0]?.properties.filter(([name]) => name === 'subscriptionIdentifier').map(([, id]) => id);
    expect(ids?.sort()).toEqual([1, 200]);
  });

  it('replace one another where the filter is the same', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a', { qos: 2, id: 1 });
    await client.subscribe('a', { qos: 0 });
    await client.publish('a', 'x', { qos: 2 });
    const [got] = client.take('publish');
    expect(got).toMatchObject({ qos: 0 });
    expect(property(got, 'subscriptionIdentifier')).toBeUndefined();
  });

  it('with No Local withhold the own messages of that subscription only', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    const other = await h.connect5('bob');
    await client.subscribe('a', { qos: 2, noLocal: true, id: 1 });
    await client.publish('a', 'mine');
    expect(client.messages()).toEqual([]);
    await other.publish('a', 'theirs');
    await client.settle();
    expect(client.messages()).toEqual(['a theirs']);
    await client.subscribe('#', { qos: 0, id: 2 });
    await client.publish('a', 'mine', { qos: 1 });
    const [got] = client.take('publish');
    expect(got).toMatchObject({ qos: 0 });
    expect(property(got, 'subscriptionIdentifier')).toBe(2);
  });
});

describe('retained messages', () => {
  it('reach a new subscription with RETAIN 1, and an established one with 0', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.publish('a', 'old', { retain: true });
    await client.subscribe('a', { id: 5 });
    const [got] = client.take('publish');
    expect(got).toMatchObject({ payload: 'old', retain: true });
    expect(property(got, 'subscriptionIdentifier')).toBe(5);
    await client.publish('a', 'new', { retain: true });
    expect(client.take('publish')).toMatchObject([{ payload: 'new', retain: false }]);
  });

  it('keep the flag with Retain As Published', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a', { retainAsPublished: true });
    await client.publish('a', '1', { retain: true });
    await client.publish('a', '2');
    expect(client.take('publish')).toMatchObject([{ retain: true }, { retain: false }]);
  });

  it('are sent as Retain Handling says, a resumed session included', async () => {
    const h = new Harness();
    let client = await h.connect5('alice', { expiry: 100 });
    await client.publish('a', 'x', { retain: true });
    const counts: number[] = [];
    for (const retainHandling of [2, 1, 0, 0, 1]) {
      await client.subscribe('a', { retainHandling });
      counts.push(client.messages().length);
    }
    client = await h.connect5('alice', { expiry: 100 });
    await client.subscribe('a', { retainHandling: 1 });
    counts.push(client.messages().length);
    await client.unsubscribe('a');
    await client.subscribe('a', { retainHandling: 1 });
    counts.push(client.messages().length);
    expect(counts).toEqual([0, 0, 1, 1, 0, 0, 1]);
  });

  it('are replaced, cleared by an empty payload, and left alone by RETAIN 0', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    const held = async (): Promise<string[]> => {
      const reader = await h.connect('reader');
      await reader.subscribe('#');
      return reader.messages();
    };
    await client.publish('a', '1', { retain: true });
    await client.publish('a', '2', { retain: true, qos: 1 });
    await client.publish('a', '3');
    expect(await held()).toEqual(['a 2']);
    await client.publish('a', '', { retain: true });
    expect(await held()).toEqual([]);
    expect((await h.vault.open(client.tenantId)).retained).toEqual([]);
  });

  it('are none for a shared subscription, and $-topics none for a wildcard', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    await client.publish('a', 'x', { retain: true });
    await client.subscribe('$share/g/a');
    expect(client.messages()).toEqual([]);
  });

  it('expire, count down, and leave the store', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.publish('a', 'x', { retain: true, properties: [['messageExpiryInterval', 10]] });
    await h.clock.advance(4_000);
    await client.subscribe('a');
    expect(property(client.take('publish')[0], 'messageExpiryInterval')).toBe(6);
    await h.clock.advance(6_000);
    await client.subscribe('a');
    expect(client.messages()).toEqual([]);
    await h.settle();
    expect((await h.vault.open(client.tenantId)).retained).toEqual([]);
  });

  it('are limited by number and bytes', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxRetainedMessages: 2, maxRetainedBytes: 1_000 };
    const client = await h.connect5('alice');
    const keep = async (topic: string, payload: string): Promise<number | undefined> =>
      (await client.publish(topic, payload, { qos: 1, retain: true }))?.code;
    expect([await keep('a', 'x'), await keep('b', 'x'), await keep('c', 'x')]).toEqual([0x10, 0x10, 0x97]);
    expect([await keep('a', 'y'), await keep('a', 'y'.repeat(2_000))]).toEqual([0x10, 0x97]);
    expect([await keep('a', ''), await keep('c', 'x')]).toEqual([0x10, 0x10]);
  });

  it('wait for a client that goes while they are sent, in the session that it comes back to', async () => {
    const h = new Harness();
    const bob = await h.connect('bob');
    for (const topic of ['a/1', 'a/2']) await bob.publish(topic, 'x', { qos: 1, retain: true });
    const alice = await h.connect5('alice', { expiry: 100 });
    h.store.isFull = true;
    expect((await alice.subscribe('a/#'))?.type).toBe('suback');
    await alice.cut();
    h.store.isFull = false;
    await h.settle();
    const back = await h.connect5('alice', { expiry: 100 });
    expect(back.messages()).toEqual(['a/1 x', 'a/2 x']);
  });

  it('wait for a client that goes before SUBACK too: it is told later that it has the subscription', async () => {
    const h = new Harness();
    await (await h.connect('bob')).publish('a', 'x', { qos: 1, retain: true });
    const alice = await h.connect5('alice', { expiry: 100 });
    h.store.hold();
    await alice.subscribe('a', { retainHandling: 1 });
    await alice.cut();
    h.store.commit();
    await h.settle();
    const back = await h.connect5('alice', { expiry: 100 });
    await back.subscribe('a', { retainHandling: 1 });
    expect(back.messages()).toEqual(['a x']);
  });

  it('reach a client that takes them slowly, all of them', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 2_000 };
    const publisher = await h.connect('alice');
    for (let i = 0; i < 100; i++) await publisher.publish(`r/${i}`, 'x'.repeat(100), { retain: true });
    const reader = await h.connect('bob');
    reader.link.stall();
    await reader.send(reader.subscribeBytes(['r/#'], { qos: 0 }));
    expect(reader.link.bufferedBytes).toBeLessThan(4_000);
    for (let i = 0; i < 200; i++) {
      reader.link.read();
      reader.link.stall();
      await reader.settle();
    }
    expect(new Set(reader.messages()).size).toBe(100);
  });

  it('are found again by the next process', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.publish('a/b', 'kept', { qos: 1, retain: true });
    const next = await h.crash();
    const reader = await next.connect('bob');
    await reader.subscribe('a/+');
    expect(reader.messages()).toEqual(['a/b kept']);
  });
});

describe('subscriptions of a durable session, while they are stored', () => {
  it('lose a right that goes meanwhile, and bring no retained message', async () => {
    const h = new Harness();
    await (await h.connect('bob')).publish('a', 'kept', { retain: true });
    const client = await h.connect5('alice', { expiry: 100 });
    h.store.hold();
    await client.send(client.subscribeBytes(['a', 'b'], {}));
    h.gate.allow({ subscribe: ['b'] }, 'alice');
    const reviewed = h.broker.reauthorize(client.tenantId, () => true);
    h.store.commit();
    await client.settle();
    await reviewed;
    await client.publish('a', 'x');
    expect(client.messages()).toEqual([]);
    const next = await h.crash();
    expect((await next.vault.open(client.tenantId)).sessions[0]?.subscriptions).toMatchObject([
      { filter: 'b' },
    ]);
  });

  it('count towards the limit', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxSubscriptionsPerSession: 2 };
    const client = await h.connect5('alice', { expiry: 100 });
    await client.send(...['a', 'b', 'c', 'd'].map((filter) => client.subscribeBytes([filter], {})));
    const subacks = client.take('suback');
    expect(subacks.flatMap(({ codes }) => codes)).toEqual([2, 2, 0x97, 0x97]);
  });

  it('are found by the UNSUBSCRIBE behind them', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    const unsubscribe = frame(0xa2, uint16(9), Buffer.from([0]), text('a'));
    await client.send(client.subscribeBytes(['a'], {}), unsubscribe);
    expect(client.take('unsuback')).toMatchObject([{ codes: [0] }]);
    expect(h.broker.stats.subscriptions).toBe(0);
  });
});

describe('a malformed SUBSCRIBE', () => {
  it.each([
    ['no filter', frame(0x82, uint16(1), Buffer.from([0]))],
    ['no options', frame(0x82, uint16(1), Buffer.from([0]), text('a'))],
    ['reserved option bits', frame(0x82, uint16(1), Buffer.from([0]), text('a'), Buffer.from([0x40]))],
    ['packet identifier 0', frame(0x82, uint16(0), Buffer.from([0]), text('a'), Buffer.from([0]))],
    ['reserved flags', frame(0x80, uint16(1), Buffer.from([0]), text('a'), Buffer.from([0]))],
  ])('with %s closes its connection', async (_name, bytes) => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.send(bytes);
    expect(client.goodbye).toBeGreaterThanOrEqual(0x80);
    expect(client.link.isEnded).toBe(true);
  });
});
