import { describe, expect, it } from '@jest/globals';

import { acknowledgement, connectBytes, Harness, type TestClient } from './testing/index.js';

async function durableSubscriber(h: Harness, filter = 'a'): Promise<TestClient> {
  const client = await h.connect('durable', { clean: false });
  await client.subscribe(filter, { qos: 2 });
  return client;
}

describe('an acknowledgement', () => {
  it.each([
    ['a durable subscriber', 1, {}],
    ['a durable subscriber', 2, {}],
    ['a retained message', 1, { retain: true }],
    ['a retained message', 2, { retain: true }],
  ])('means that %s at QoS %i is stored', async (_owner, qos, options) => {
    const h = new Harness();
    if (!('retain' in options)) await durableSubscriber(h);
    const client = await h.connect('alice');
    h.store.hold();
    expect(await client.publish('a', 'x', { qos, ...options })).toBeUndefined();
    h.store.commit();
    await client.settle();
    expect(client.take(qos === 1 ? 'puback' : 'pubrec')).toHaveLength(1);
  });

  it('means that telemetry is stored', async () => {
    const h = new Harness();
    h.gate.allow({ telemetry: ['devices/+/telemetry'] });
    const client = await h.connect('alice');
    h.store.hold();
    expect(await client.publish('devices/1/telemetry', '{"t":1}', { qos: 1 })).toBeUndefined();
    await client.publish('devices/1/telemetry', '{"t":0}');
    h.store.commit();
    await client.settle();
    expect(client.take('puback')).toHaveLength(1);
    expect(
      h.journal.readings.map(({ principal, message }) => [principal.clientId, String(message.payload)]),
    ).toEqual([
      ['alice', '{"t":1}'],
      ['alice', '{"t":0}'],
    ]);
  });

  it('comes at once where nobody owns the message durably', async () => {
    const h = new Harness();
    const client = await h.connect('alice');
    await h.settle();
    h.store.hold();
    expect((await client.publish('nobody', 'x', { qos: 1 }))?.type).toBe('puback');
    expect((await client.publish('nobody', 'x', { qos: 2 }))?.type).toBe('pubrec');
    expect(client.packets.at(-1)?.type).toBe('pubcomp');
  });

  it('waits for those before it, also when it has nothing to wait for itself', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const client = await h.connect('alice');
    h.store.hold();
    await client.publish('a', 'x', { qos: 1, id: 1 });
    await client.publish('nobody', 'x', { qos: 1, id: 2 });
    await client.publish('a', 'x', { qos: 2, id: 3 });
    await client.publish('nobody', 'x', { qos: 2, id: 4 });
    expect(client.take().slice(1)).toEqual([]);
    h.store.commit();
    await client.settle();
    const order = client.take().filter(({ type }) => type === 'puback' || type === 'pubrec');
    expect(order.map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4]);
  });

  it('reaches a client that has sent its last', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const watcher = await h.connect('watcher');
    await watcher.subscribe('will');
    const client = await h.connect('alice', { will: { topic: 'will', payload: 'gone' } });
    h.store.hold();
    client.link.send(client.publishBytes('a', 'x', { qos: 1 }));
    client.link.send(client.publishBytes('a', 'y', { qos: 2 }));
    client.link.finish();
    await client.settle();
    expect(client.link.isEnded).toBe(false);
    expect(watcher.messages()).toEqual([]);
    h.store.commit();
    await client.settle();
    expect(client.take().map(({ type }) => type)).toEqual(['connack', 'puback', 'pubrec']);
    expect(client.link.isEnded).toBe(true);
    await watcher.settle();
    expect(watcher.messages()).toEqual(['will gone']);
  });

  it('reaches a client that sends all it has to say in one go', async () => {
    const h = new Harness();
    const client = h.open(5, 'alice');
    const connect = connectBytes('alice', { version: 5, properties: [['sessionExpiryInterval', 100]] });
    const subscribe = client.subscribeBytes(['a'], { qos: 0 });
    const publish = client.publishBytes('a', 'x', { qos: 1, retain: true });
    client.link.send(Buffer.concat([connect, subscribe, publish]));
    client.link.finish();
    await client.settle();
    expect(client.take().map(({ type }) => type)).toEqual(['connack', 'suback', 'publish', 'puback']);
    expect(client.link.isEnded).toBe(true);
  });

  it('is not waited for by a client whose link is gone', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const client = await h.connect('alice');
    h.store.hold();
    client.link.send(client.publishBytes('a', 'x', { qos: 1 }));
    client.link.finish();
    await client.cut();
    expect(h.broker.stats.links).toBe(1);
  });

  it('of others does not wait', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const waiting = await h.connect('alice');
    const other = await h.connect('bob');
    h.store.hold();
    await waiting.publish('a', 'x', { qos: 1 });
    expect((await other.publish('b', 'x', { qos: 1 }))?.type).toBe('puback');
  });

  it.each([1, 2])(
    'at QoS %i never comes when the store has failed: the publisher is told to come again',
    async (qos) => {
      const h = new Harness();
      const durable = await durableSubscriber(h);
      await durable.cut();
      const client = await h.connect5('alice');
      h.store.failWith(new Error('disk full'));
      expect(await client.publish('a', 'x', { qos })).toBeUndefined();
      expect(client.goodbye).toBe(0x89); // DISCONNECT has no 0x88
      h.store.failWith(undefined);
      const again = await h.connect5('alice');
      expect((await again.publish('a', 'x', { qos, dup: true }))?.code).toBe(0);
      const back = await h.connect('durable', { clean: false });
      expect(back.messages()).toEqual(['a x']);
    },
  );

  it('of SUBSCRIBE and UNSUBSCRIBE comes when a durable session has it', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    h.store.hold();
    expect(await client.subscribe('a')).toBeUndefined();
    h.store.commit();
    await client.settle();
    expect(client.take('suback')).toHaveLength(1);
    h.store.hold();
    expect(await client.unsubscribe('a')).toBeUndefined();
    const next = await h.crash();
    const back = await next.connect('alice', { clean: false });
    await back.publish('a', 'still subscribed');
    expect(back.messages()).toEqual(['a still subscribed']);
  });

  it('PUBREL comes when PUBREC is stored, PUBCOMP when the identifier is forgotten', async () => {
    const h = new Harness();
    const client = await durableSubscriber(h);
    client.acknowledges = false;
    await client.publish('a', 'x', { qos: 2, id: 9 });
    const [got] = client.take('publish');
    h.store.hold();
    await client.send(acknowledgement('pubrec', got!.packetId), acknowledgement('pubrel', 9));
    expect(client.take()).toEqual([]);
    h.store.commit();
    await client.settle();
    expect(client.take().map(({ type }) => type)).toEqual(['pubrel', 'pubcomp']);
  });
});

describe('exactly once', () => {
  it('holds for subscribers without a durable session too, when a durable publisher repeats itself after a failure', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const watcher = await h.connect('watcher');
    await watcher.subscribe('a');
    const client = await h.connect('alice', { clean: false });
    h.store.failWith(new Error('disk full'));
    await client.publish('a', 'x', { qos: 2, id: 1 });
    h.store.failWith(undefined);
    const again = await h.connect('alice', { clean: false });
    await again.publish('a', 'x', { qos: 2, id: 1, dup: true });
    await watcher.settle();
    expect(watcher.messages()).toEqual(['a x']);
  });

  it('holds when the process is killed between commit and PUBREC', async () => {
    const h = new Harness();
    await (await durableSubscriber(h)).cut();
    const client = await h.connect('alice', { clean: false });
    client.acknowledges = false;
    await client.publish('a', 'x', { qos: 2, id: 1 });
    const next = await h.crash();
    const again = await next.connect('alice', { clean: false });
    await again.publish('a', 'x', { qos: 2, id: 1, dup: true });
    const back = await next.connect('durable', { clean: false });
    expect(back.messages()).toEqual(['a x']);
  });
});

describe('delivery to a durable session', () => {
  it('begins when the message is committed', async () => {
    const h = new Harness();
    const durable = await durableSubscriber(h);
    const plain = await h.connect('plain');
    await plain.subscribe('a');
    const client = await h.connect('alice');
    h.store.hold();
    await client.publish('a', 'x', { qos: 1 });
    await durable.settle();
    await plain.settle();
    expect([durable.messages(), plain.messages()]).toEqual([[], ['a x']]);
    h.store.commit();
    await durable.settle();
    expect(durable.messages()).toEqual(['a x']);
  });

  it('of a retained message at subscription survives a crash', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    await client.publish('a', 'kept', { qos: 1, retain: true });
    client.acknowledges = false;
    await client.subscribe('a', { qos: 1 });
    const [first] = client.take('publish');
    expect(first).toMatchObject({ payload: 'kept', retain: true });
    const next = await h.crash();
    const back = await next.connect('alice', { clean: false });
    expect(back.take('publish')).toMatchObject([
      { payload: 'kept', retain: true, dup: true, packetId: first?.packetId },
    ]);
  });

  it('goes on after the store was away while it was read', async () => {
    const h = new Harness();
    const durable = await durableSubscriber(h);
    await durable.cut();
    await (await h.connect('alice')).publish('a', 'x', { qos: 1 });
    const read = h.vault.read.bind(h.vault);
    h.vault.read = () => Promise.reject(new Error('down'));
    const back = await h.connect('durable', { clean: false });
    expect(back.messages()).toEqual([]);
    expect(await back.ping()).toBe(true);
    h.vault.read = read;
    await h.clock.advance(1_000);
    await back.settle();
    expect(back.messages()).toEqual(['a x']);
  });
});

describe('a store that is full', () => {
  it('pauses the publishers that feed it, and nobody else', async () => {
    const h = new Harness();
    await durableSubscriber(h);
    const feeding = await h.connect('alice');
    const other = await h.connect('bob');
    h.store.isFull = true;
    await feeding.publish('a', 'x', { qos: 1 });
    await other.publish('nobody', 'x', { qos: 1 });
    expect([feeding.link.isPaused, other.link.isPaused]).toEqual([true, false]);
    h.store.isFull = false;
    await h.settle();
    expect(feeding.link.isPaused).toBe(false);
  });
});
