import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from '../limits.js';
import {
  acknowledgement,
  frame,
  Harness,
  property,
  type PublishOptions,
  type TestClient,
} from '../testing/index.js';

describe('publishing', () => {
  it.each([0, 1, 2])('at QoS %i reaches a subscriber once, at that QoS', async (qos) => {
    const h = new Harness();
    const subscriber = await h.connect('bob');
    const publisher = await h.connect('alice');
    await subscriber.subscribe('a/+');
    await publisher.publish('a/b', 'x', { qos });
    await subscriber.settle();
    expect(subscriber.take('publish')).toMatchObject([
      { topic: 'a/b', payload: 'x', qos, dup: false, retain: false },
    ]);
    const answers = publisher.take().map(({ type }) => type);
    expect(answers).toEqual([['connack'], ['connack', 'puback'], ['connack', 'pubrec', 'pubcomp']][qos]);
  });

  it('never passes the DUP flag on', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    await client.subscribe('a');
    await client.publish('a', 'x', { qos: 1, dup: true });
    expect(client.take('publish')).toMatchObject([{ dup: false }]);
  });

  it('at QoS 2 takes a repeated packet over once, and answers it each time', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    await client.subscribe('a', { qos: 0 });
    client.acknowledges = false;
    await client.publish('a', 'x', { qos: 2, id: 7 });
    await client.publish('a', 'x', { qos: 2, id: 7, dup: true });
    expect(client.take('pubrec')).toHaveLength(2);
    expect(client.packets.filter(({ type }) => type === 'publish')).toHaveLength(1);
    await client.send(acknowledgement('pubrel', 7));
    await client.publish('a', 'y', { qos: 2, id: 7 });
    expect(client.messages()).toEqual(['a y']);
  });

  it('answers a PUBREL it knows nothing of', async () => {
    const h = new Harness();
    const five = await h.connect5('alice');
    const four = await h.connect('bob');
    await five.send(acknowledgement('pubrel', 9));
    await four.send(acknowledgement('pubrel', 9));
    expect(five.take('pubcomp')).toMatchObject([{ packetId: 9, code: 0x92 }]);
    expect(four.take('pubcomp')[0]?.bytes).toHaveLength(4);
  });

  it('tolerates acknowledgements of nothing', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    for (const type of ['puback', 'pubcomp'] as const) await client.send(acknowledgement(type, 5));
    await client.send(acknowledgement('pubrec', 5));
    expect(client.take('pubrel')).toMatchObject([{ code: 0x92 }]);
    expect(await client.ping()).toBe(true);
  });

  it('says where nobody subscribes, to 5.0 clients', async () => {
    const h = new Harness();
    const five = await h.connect5('alice');
    expect((await five.publish('nobody', 'x', { qos: 1 }))?.code).toBe(0x10);
    expect((await five.publish('nobody', 'x', { qos: 2 }))?.code).toBe(0x10);
    await five.subscribe('nobody');
    expect((await five.publish('nobody', 'x', { qos: 1 }))?.code).toBe(0);
  });

  it('forwards properties unaltered and in order, and keeps Message Expiry and its own aliases apart', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a');
    const sent = [
      ['userProperty', ['z', '1']],
      ['payloadFormatIndicator', 1],
      ['userProperty', ['a', '2']],
      ['contentType', 'text/plain'],
      ['responseTopic', 'answers'],
      ['correlationData', Buffer.from([0, 1, 2])],
      ['userProperty', ['z', '1']],
      ['messageExpiryInterval', 30],
      ['topicAlias', 3],
    ] as const;
    await client.publish('a', 'x', { properties: sent });
    const [got] = client.take('publish');
    for (const name of [
      'payloadFormatIndicator',
      'contentType',
      'responseTopic',
      'correlationData',
      'messageExpiryInterval',
    ] as const) {
      expect(property(got, name)).toEqual(sent.find(([key]) => key === name)?.[1]);
    }
    expect(got?.properties.filter(([name]) => name === 'userProperty').map(([, value]) => value)).toEqual([
      ['z', '1'],
      ['a', '2'],
      ['z', '1'],
    ]);
    expect(property(got, 'topicAlias')).toBeUndefined();
  });

  it('sends all messages of a turn in one write', async () => {
    const h = new Harness();
    const subscriber = await h.connect('bob');
    const publisher = await h.connect('alice');
    await subscriber.subscribe('a');
    const before = subscriber.link.writes;
    const packets = Array.from({ length: 30 }, (_, i) =>
      publisher.publishBytes('a', String(i), { qos: i % 2 }),
    );
    await publisher.send(...packets);
    expect(subscriber.link.writes).toBe(before + 1);
    await subscriber.settle();
    expect(subscriber.messages()).toHaveLength(30);
  });

  it('passes payloads of every size on, across the border of copying', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a');
    for (const size of [0, 1, 2_000, 2_048, 2_049, 70_000]) {
      const payload = 'x'.repeat(size);
      await client.publish('a', payload, { qos: 1 });
      expect(client.messages()).toEqual([`a ${payload}`]);
    }
  });
});

describe('a large message that comes in pieces', () => {
  const large = (letter: string): string => letter.repeat(5_000);

  /** In two pieces, and others of the same size after it: they are put together in the same memory. */
  async function publishSplit(
    client: TestClient,
    topic: string,
    options: PublishOptions = {},
  ): Promise<void> {
    for (const letter of ['x', 'y', 'z']) {
      const bytes = client.publishBytes(letter === 'x' ? topic : 'other', large(letter), options);
      await client.send(bytes.subarray(0, 300));
      await client.send(bytes.subarray(300));
    }
  }

  it.each([0, 1, 2] as const)('at QoS %i reaches one subscriber, or several, as it came', async (qos) => {
    const h = new Harness();
    const publisher = await h.connect('alice');
    const subscribers = [await h.connect('s1'), await h.connect5('s2'), await h.connect('s3')];
    for (const [index, subscriber] of subscribers.entries()) {
      await subscriber.subscribe('a', { qos: 2 });
      subscriber.link.stall();
      await publishSplit(publisher, 'a', { qos });
      subscriber.link.read();
      await subscriber.settle();
      expect([index, subscriber.messages()]).toEqual([index, [`a ${large('x')}`]]);
      for (const earlier of subscribers.slice(0, index)) {
        await earlier.settle();
        expect(earlier.messages()).toEqual([`a ${large('x')}`]);
      }
    }
  });

  it('is kept as it came: retained, in a queue, behind a window, and with its correlation data', async () => {
    const h = new Harness();
    const publisher = await h.connect5('alice');
    const away = await h.connect5('away', { expiry: 100 });
    await away.subscribe('a', { qos: 1 });
    await away.disconnect();
    const narrow = await h.connect5('narrow', { properties: [['receiveMaximum', 1]] });
    narrow.acknowledges = false;
    await narrow.subscribe('a', { qos: 1 });
    const properties = [['correlationData', Buffer.alloc(3_000, 'c')]] as const;
    await publisher.publish('a', 'first', { qos: 1 });
    await publishSplit(publisher, 'a', { qos: 1, retain: true, properties });
    const late = await h.connect5('late');
    await late.subscribe('a');
    const back = await h.connect5('away', { expiry: 100 });
    await back.settle();
    await narrow.settle();
    const [first] = narrow.take('publish');
    await narrow.send(acknowledgement('puback', first?.packetId ?? 0));
    const got = {
      late: late.take('publish')[0],
      back: back.take('publish')[1],
      narrow: narrow.take('publish')[0],
    };
    for (const [who, message] of Object.entries(got)) {
      expect([who, message?.payload.slice(0, 9), message?.payload === large('x')]).toEqual([
        who,
        'xxxxxxxxx',
        true,
      ]);
      expect(property(message, 'correlationData')).toEqual(Buffer.alloc(3_000, 'c'));
    }
  });
});

describe('a topic alias', () => {
  it('makes a small packet of one that is forwarded as a larger one, whose payload is on loan all the same', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    const topic = 'long'.repeat(30);
    const payload = 'x'.repeat(2000);
    await client.subscribe(topic);
    const alias = [['topicAlias', 1]] as const;
    await client.publish(topic, '1', { properties: alias });
    await client.publish('', payload, { properties: alias });
    expect(client.messages()).toEqual([`${topic} 1`, `${topic} ${payload}`]);
  });

  it('is resolved before the right is asked', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['open/#'] });
    const client = await h.connect5('alice');
    const alias = [['topicAlias', 1]] as const;
    expect((await client.publish('secret', 'x', { qos: 1, properties: alias }))?.code).toBe(0x87);
    expect((await client.publish('', 'x', { qos: 1, properties: alias }))?.code).toBe(0x87);
    expect((await client.publish('open/a', 'x', { qos: 1, properties: alias }))?.code).toBe(0x10);
    expect((await client.publish('', 'x', { qos: 1, properties: alias }))?.code).toBe(0x10);
  });

  it('can be set anew, and dies with its connection', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    await client.subscribe('#');
    const alias = [['topicAlias', 2]] as const;
    await client.publish('a', '1', { properties: alias });
    await client.publish('', '2', { properties: alias });
    await client.publish('b', '3', { properties: alias });
    await client.publish('', '4', { properties: alias });
    expect(client.messages()).toEqual(['a 1', 'a 2', 'b 3', 'b 4']);
    const again = await h.connect5('alice', { expiry: 100 });
    await again.publish('', '5', { properties: alias });
    expect(again.goodbye).toBe(0x82);
  });

  it('over the maximum, or 0, closes with 0x94', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, topicAliasMaximum: 2 };
    for (const alias of [0, 3]) {
      const client = await h.connect5('alice');
      await client.publish('a', 'x', { properties: [['topicAlias', alias]] });
      expect(client.goodbye).toBe(0x94);
    }
  });

  it('is used towards a client that allows it, for topics that come again and are long enough', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { properties: [['topicAliasMaximum', 1]] });
    await client.subscribe('#');
    for (const topic of [
      'long/topic/name',
      'long/topic/name',
      'long/topic/name',
      'short',
      'short',
      'short',
      'another/long/topic',
      'another/long/topic',
    ])
      await client.publish(topic, 'x');
    const got = client.take('publish').map((packet) => [packet.topic, property(packet, 'topicAlias')]);
    expect(got).toEqual([
      ['long/topic/name', undefined],
      ['long/topic/name', 1],
      ['', 1],
      ['short', undefined],
      ['short', undefined],
      ['short', undefined],
      ['another/long/topic', undefined],
      ['another/long/topic', undefined],
    ]);
  });
});

describe('rights to publish', () => {
  it('denied are told to 5.0 clients and recorded, and the connection goes on', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['a'] });
    const client = await h.connect5('alice');
    const watcher = await h.connect('bob');
    await watcher.subscribe('#');
    expect((await client.publish('b', 'x', { qos: 1 }))?.code).toBe(0x87);
    expect((await client.publish('b', 'x', { qos: 2, id: 9 }))?.code).toBe(0x87);
    await client.publish('b', 'x');
    await watcher.settle();
    expect(watcher.messages()).toEqual([]);
    expect(h.journal.denials).toMatchObject([
      { action: 'publish', topic: 'b' },
      { topic: 'b' },
      { topic: 'b' },
    ]);
    expect(h.broker.stats.denied).toBe(3);
    expect((await client.publish('a', 'x', { qos: 2, id: 9 }))?.code).toBe(0);
  });

  it('denied are acknowledged and dropped for 3.1.1, or close, as the tenant chose', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['a'] });
    const client = await h.connect('alice');
    expect((await client.publish('b', 'x', { qos: 1 }))?.type).toBe('puback');
    expect((await client.publish('b', 'x', { qos: 2 }))?.type).toBe('pubrec');
    expect(client.packets.at(-1)?.type).toBe('pubcomp');
    h.gate.publishDenied = 'close';
    for (const qos of [0, 1]) {
      const strict = await h.connect('alice');
      await strict.publish('b', 'x', { qos });
      expect(strict.link.isEnded).toBe(true);
    }
  });

  it('bound QoS, retain and payload', async () => {
    const h = new Harness();
    h.gate.allow({ right: { maxQos: 1, mayRetain: false, maxPayloadBytes: 3 } });
    const client = await h.connect5('alice');
    expect((await client.publish('a', 'xyz', { qos: 1 }))?.code).toBe(0x10);
    expect((await client.publish('a', 'x', { qos: 2 }))?.code).toBe(0x87);
    expect((await client.publish('a', 'x', { qos: 1, retain: true }))?.code).toBe(0x87);
    expect((await client.publish('a', 'wxyz', { qos: 1 }))?.code).toBe(0x87);
    expect(h.journal.denials.map(({ detail }) => detail)).toEqual([
      'over the maximum QoS of 1',
      'no right to retain',
      'over the maximum payload of 3 bytes',
    ]);
  });

  it.each([4, 5])('end at topics of the server, in level %i', async (version) => {
    const h = new Harness();
    const client = await h.connect('alice', { version });
    await client.subscribe(['$SYS/#', '#']);
    client.take(); // the server's own values
    await client.publish('$SYS/x', 'x');
    expect(client.messages()).toEqual([]);
    expect(h.journal.denials).toMatchObject([{ topic: '$SYS/x' }]);
  });

  it('are remembered by topic until they change', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    const code = async (): Promise<number | undefined> => (await client.publish('b', 'x', { qos: 1 }))?.code;
    expect(await code()).toBe(0x10);
    h.gate.allow({ publish: ['a'] });
    expect(await code()).toBe(0x10);
    await h.broker.reauthorize(client.tenantId, () => true);
    expect(await code()).toBe(0x87);
  });
});

describe('limits on a publisher', () => {
  it('close a 5.0 client over the Receive Maximum with 0x93', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, receiveMaximum: 2 };
    const client = await h.connect5('alice');
    client.acknowledges = false;
    for (const id of [1, 2]) expect((await client.publish('a', 'x', { qos: 2, id }))?.type).toBe('pubrec');
    await client.publish('a', 'x', { qos: 2, id: 1, dup: true });
    expect(client.goodbye).toBeUndefined();
    await client.send(acknowledgement('pubrel', 1));
    await client.publish('a', 'x', { qos: 2, id: 3 });
    expect(client.goodbye).toBeUndefined();
    await client.publish('a', 'x', { qos: 2, id: 4 });
    expect(client.goodbye).toBe(0x93);
  });

  it('pause a 3.1.1 client whose messages wait for the store', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, receiveMaximum: 2 };
    const durable = await h.connect('bob', { clean: false });
    await durable.subscribe('a', { qos: 1 });
    const client = await h.connect('alice');
    h.store.hold();
    for (let i = 1; i <= 5; i++) await client.publish('a', String(i), { qos: 1, id: i });
    expect(client.link.isPaused).toBe(true);
    h.store.commit();
    await client.settle();
    expect(client.link.isPaused).toBe(false);
    expect(client.take('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4, 5]);
  });

  it('pause a link that is over its rate, and resume it', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, publishRate: 10 };
    const client = await h.connect('alice');
    await client.subscribe('a');
    for (let i = 0; i < 30; i++) await client.publish('a', String(i));
    expect(client.link.isPaused).toBe(true);
    expect(client.messages()).toHaveLength(11);
    await h.clock.advance(1_000);
    await client.settle();
    expect(client.messages()).toHaveLength(10);
    await h.clock.advance(1_000);
    await client.settle();
    expect(client.messages()).toHaveLength(9);
    expect(client.link.isPaused).toBe(false);
  });

  it('read what is over the rate together, not message by message', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, publishRate: 1_000 };
    const client = await h.connect('alice');
    await client.subscribe('a');
    for (let i = 0; i < 1_030; i++) await client.publish('a', String(i));
    client.messages();
    await h.clock.advance(9);
    await client.settle();
    expect(client.messages()).toHaveLength(0);
    await h.clock.advance(1);
    await client.settle();
    expect(client.messages()).toHaveLength(10);
    await h.clock.advance(20);
    await client.settle();
    expect(client.messages()).toHaveLength(19); // no more than the rate allows
    expect(client.link.isPaused).toBe(false);
  });

  it('count bytes as well', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, publishBytesRate: 1_000 };
    const client = await h.connect('alice');
    await client.publish('a', 'x'.repeat(3_000));
    expect(client.link.isPaused).toBe(true);
    await h.clock.advance(1_999);
    expect(client.link.isPaused).toBe(true);
    await h.clock.advance(1);
    expect(client.link.isPaused).toBe(false);
  });

  it('refuse packets over the maximum size from their header, and take one of exactly that size', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxPacketBytes: 100 };
    const client = await h.connect5('alice');
    await client.subscribe('a', { qos: 0 });
    const fitting = client.publishBytes('a', 'x'.repeat(100 - 2 - 3 - 1));
    expect(fitting).toHaveLength(100);
    await client.send(fitting);
    expect(client.take('publish')).toHaveLength(1);
    await client.send(Buffer.from([0x30, 99]));
    expect(client.goodbye).toBe(0x95);
  });

  it('bound topics by length and levels', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTopicLevels: 4, maxTopicBytes: 20 };
    const client = await h.connect5('alice');
    expect((await client.publish('a/b/c/d', 'x', { qos: 1 }))?.code).toBe(0x10);
    expect((await client.publish('a/b/c/d/e', 'x', { qos: 1 }))?.code).toBe(0x90);
    expect((await client.publish('x'.repeat(21), 'x', { qos: 1 }))?.code).toBe(0x90);
    expect((await client.subscribe(['a/b/c/d/#', 'y'.repeat(21), 'a/#']))?.codes).toEqual([0x8f, 0x8f, 2]);
  });

  it('survive a topic of a thousand levels', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTopicLevels: 100_000, maxTopicBytes: 65_535 };
    const client = await h.connect('alice');
    const deep = Array.from({ length: 1_000 }, (_, i) => i % 10).join('/');
    await client.subscribe(['#', deep, `${deep}/#`, Array.from({ length: 1_000 }, () => '+').join('/')], {
      qos: 1,
    });
    await client.publish(deep, 'x', { qos: 1 });
    expect(client.messages()).toEqual([`${deep} x`]);
  });
});

describe('a malformed PUBLISH', () => {
  it.each([
    ['QoS 3', frame(0x36, Buffer.from([0, 1, 97, 0, 1]))],
    ['an empty topic without an alias', frame(0x30, Buffer.from([0, 0, 0]))],
    ['a wildcard in the topic', frame(0x30, Buffer.from([0, 1, 35, 0]))],
    ['a topic cut short', frame(0x30, Buffer.from([0, 9, 97]))],
    ['packet identifier 0', frame(0x32, Buffer.from([0, 1, 97, 0, 0, 0]))],
  ])('with %s closes its connection and is delivered to nobody', async (_name, bytes) => {
    const h = new Harness();
    const watcher = await h.connect('bob');
    await watcher.subscribe('#');
    const client = await h.connect5('alice');
    await client.send(bytes);
    expect(client.goodbye).toBeGreaterThanOrEqual(0x80);
    expect(client.link.isEnded).toBe(true);
    expect(watcher.messages()).toEqual([]);
    expect(await watcher.ping()).toBe(true);
  });
});
