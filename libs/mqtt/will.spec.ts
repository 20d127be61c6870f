import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import { connectBytes, frame, Harness, property, type TestClient } from './testing/index.js';

const will = { topic: 'will', payload: 'gone', qos: 1 };
const delayed = (seconds: number) => ({ ...will, properties: [['willDelayInterval', seconds]] as const });

async function watching(h: Harness): Promise<TestClient> {
  const watcher = await h.connect5('watcher');
  await watcher.subscribe('#');
  return watcher;
}

async function seen(watcher: TestClient): Promise<string[]> {
  await watcher.settle();
  return watcher.messages();
}

describe('a will', () => {
  it.each([3, 4, 5])('is published when the network goes away, level %i', async (version) => {
    const h = new Harness();
    const watcher = await watching(h);
    const client = await h.connect('alice', { version, will });
    await client.cut();
    expect(await seen(watcher)).toEqual(['will gone']);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({
      cause: 'network',
      will: { topic: 'will' },
    });
    expect((await h.vault.reopen().open(client.tenantId)).wills).toEqual([]);
  });

  it('is discarded by DISCONNECT 0x00, and by no other', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await (await h.connect5('alice', { will })).disconnect();
    expect(await seen(watcher)).toEqual([]);
    expect((await h.vault.reopen().open(watcher.tenantId)).wills).toEqual([]);
    for (const code of [0x04, 0x80, 0x81, 0x93]) {
      const client = await h.connect5('alice', { will });
      await client.disconnect(code);
      expect(await seen(watcher)).toEqual(['will gone']);
    }
  });

  it('is published after a protocol error, a second CONNECT, a keep-alive time-out, a take-over and a kick', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    const ends: ((client: TestClient) => Promise<unknown> | void)[] = [
      (client) => client.send(frame(0xc1)),
      (client) => client.send(connectBytes('alice')),
      () => h.clock.advance(15_000),
      () => h.connect('alice'),
      (client) => void h.broker.disconnect(client.tenantId, 'alice' as never),
    ];
    for (const end of ends) {
      const client = await h.connect('alice', { will, keepAlive: 10 });
      await end(client);
      await watcher.ping();
      expect(await seen(watcher)).toEqual(['will gone']);
    }
  });

  it('carries its properties, its QoS and its retain flag, and no Will Delay Interval', async () => {
    const h = new Harness();
    const watcher = await h.connect5('watcher');
    await watcher.subscribe('#', { retainAsPublished: true });
    const list = [
      ['willDelayInterval', 0],
      ['messageExpiryInterval', 20],
      ['contentType', 'text/plain'],
      ['userProperty', ['b', '1']],
      ['userProperty', ['a', '2']],
    ] as const;
    const client = await h.connect5('alice', {
      will: { topic: 'w', payload: '', qos: 2, retain: true, properties: list },
    });
    await client.cut();
    await watcher.settle();
    const [got] = watcher.take('publish');
    expect(got).toMatchObject({ qos: 2, retain: true, payload: '' });
    expect(property(got, 'messageExpiryInterval')).toBe(20);
    expect(property(got, 'contentType')).toBe('text/plain');
    expect(got?.properties.filter(([name]) => name === 'userProperty')).toHaveLength(2);
    expect(property(got, 'willDelayInterval')).toBeUndefined();
  });

  it('waits for its delay, and is called off by a reconnect in time', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await (await h.connect5('alice', { expiry: 100, will: delayed(10) })).cut();
    await h.clock.advance(9_999);
    expect(await seen(watcher)).toEqual([]);
    await h.clock.advance(1);
    expect(await seen(watcher)).toEqual(['will gone']);
    await (await h.connect5('alice', { expiry: 100, will: delayed(10) })).cut();
    await h.clock.advance(5_000);
    await h.connect5('alice', { expiry: 100 });
    await h.clock.advance(60_000);
    expect(await seen(watcher)).toEqual([]);
  });

  it('waits no longer than its session', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await (await h.connect5('alice', { expiry: 5, will: delayed(60) })).cut();
    await h.clock.advance(5_000);
    expect(await seen(watcher)).toEqual(['will gone']);
    await (await h.connect5('bob', { will: delayed(60) })).cut();
    expect(await seen(watcher)).toEqual(['will gone']);
    await (await h.connect5('carol', { expiry: 100, will: delayed(60) })).cut();
    await h.connect5('carol', { clean: true });
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('with a delay is not published on a take-over that goes on with the session', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await h.connect5('alice', { expiry: 100, will: delayed(10) });
    await h.connect5('alice', { expiry: 100 });
    await h.clock.advance(60_000);
    expect(await seen(watcher)).toEqual([]);
    await h.connect5('bob', { expiry: 100, will: delayed(10) });
    await h.connect5('bob', { clean: true });
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('is published with the rights of the day it fires', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    const client = await h.connect5('alice', { will });
    h.gate.allow({ publish: ['other'] }, 'alice');
    await client.cut();
    expect(await seen(watcher)).toEqual([]);
    expect(h.journal.denials).toMatchObject([{ action: 'publish', topic: 'will', clientId: 'alice' }]);
    expect(h.broker.stats.willsSuppressed).toBe(1);
    expect((await h.vault.reopen().open(client.tenantId)).wills).toEqual([]);
  });

  it('waits while the rights cannot be asked', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    const client = await h.connect5('alice', { will });
    const review = h.gate.review.bind(h.gate);
    h.gate.review = () => Promise.reject(new Error('down'));
    await client.cut();
    expect(await seen(watcher)).toEqual([]);
    h.gate.review = review;
    await h.clock.advance(5_000);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('does not come before CONNACK has accepted its client', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    h.store.hold();
    const client = await h.connect5('alice', { will });
    await client.cut();
    h.store.commit();
    expect(await seen(watcher)).toEqual([]);
    await h.settle();
    expect((await h.vault.reopen().open(client.tenantId)).wills).toEqual([]);
  });

  it('outlives its process, and its client may come back before it is due', async () => {
    const h = new Harness();
    await h.connect('alice', { will });
    await h.connect('bob', { will: { ...will, payload: 'bob gone' } });
    const next = await h.crash({ willGraceMs: 10_000 });
    const watcher = await watching(next);
    await next.connect('alice', { will });
    await next.clock.advance(9_999);
    expect(await seen(watcher)).toEqual([]);
    await next.clock.advance(1);
    expect(await seen(watcher)).toEqual(['will bob gone']);
    const third = await next.crash({ willGraceMs: 0 });
    await third.clock.advance(0);
    const late = await third.connect5('late');
    await late.subscribe('#');
    expect(await seen(late)).toEqual([]);
  });

  it('that waited when its process died is published when it is due', async () => {
    const h = new Harness();
    await (await h.connect5('alice', { expiry: 100, will: delayed(30) })).cut();
    await h.clock.advance(10_000);
    const next = await h.crash();
    const watcher = await watching(next);
    await next.clock.advance(19_999);
    expect(await seen(watcher)).toEqual([]);
    await next.clock.advance(1);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('of a session that went with its process waits for the client, and for no delay', async () => {
    const h = new Harness();
    await h.connect5('alice', { will: delayed(3_600) });
    await h.connect5('bob', { expiry: 20, will: { ...delayed(3_600), payload: 'bob gone' } });
    const next = await h.crash({ willGraceMs: 10_000 });
    const watcher = await watching(next);
    await next.clock.advance(9_999);
    expect(await seen(watcher)).toEqual([]);
    await next.clock.advance(1);
    expect(await seen(watcher)).toEqual(['will gone']);
    await next.clock.advance(10_000);
    expect(await seen(watcher)).toEqual(['will bob gone']);
  });

  it('that is called off by a client without one does not come back with a crash', async () => {
    const h = new Harness();
    await h.connect('alice', { will });
    const next = await h.crash({ willGraceMs: 10_000 });
    next.store.hold();
    const client = await next.connect('alice');
    expect(client.connack).toBeUndefined();
    next.store.commit();
    await client.settle();
    expect(client.connack?.code).toBe(0);
    const third = await next.crash({ willGraceMs: 0 });
    const watcher = await watching(third);
    await third.clock.advance(0);
    expect(await seen(watcher)).toEqual([]);
  });

  it('of a process that is lost while another runs is published by that one', async () => {
    const lost = new Harness();
    const h = new Harness({ willGraceMs: 10_000 }, lost);
    const watcher = await watching(h);
    await lost.connect('alice', { will });
    await lost.settle();
    h.broker.takeOver();
    await h.clock.advance(9_999);
    expect(await seen(watcher)).toEqual([]);
    await h.clock.advance(1);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('is published once, also where a lost process is taken over meanwhile', async () => {
    const h = new Harness({ willGraceMs: 10_000 });
    const watcher = await watching(h);
    await h.connect('carol', { will });
    await (await h.connect5('alice', { expiry: 100, will: delayed(5) })).cut();
    await (await h.connect5('bob', { expiry: 100, will: { ...delayed(30), payload: 'bob gone' } })).cut();
    await h.settle();
    const open = h.vault.open.bind(h.vault);
    h.vault.open = async (tenantId) => {
      const state = await open(tenantId);
      await h.clock.advance(5_000);
      return state;
    };
    h.broker.takeOver();
    await h.settle();
    expect(await seen(watcher)).toEqual(['will gone']);
    await h.clock.advance(60_000);
    expect(await seen(watcher)).toEqual(['will bob gone']);
  });

  it('is stored before CONNACK, and not at all where there is none', async () => {
    const h = new Harness();
    h.store.hold();
    const client = await h.connect('alice', { will });
    expect(client.connack).toBeUndefined();
    h.store.commit();
    await client.settle();
    expect(client.connack?.code).toBe(0);
    const commits = h.store.commits;
    const plain = await h.connect('bob');
    expect(plain.connack?.code).toBe(0);
    await h.settle();
    expect(h.store.commits - commits).toBe(1); // its presence
  });

  it('that the right does not cover, by QoS, retain or size, is refused at sign-in', async () => {
    const h = new Harness();
    h.gate.allow({ right: { maxQos: 0, mayRetain: false, maxPayloadBytes: 3 } }, 'alice');
    for (const beyond of [
      { topic: 'w', qos: 1 },
      { topic: 'w', retain: true },
      { topic: 'w', payload: 'four' },
      { topic: '$SYS/w' },
    ]) {
      expect((await h.connect5('alice', { will: beyond })).connack?.code).toBe(0x87);
    }
    expect(h.journal.denials.map(({ detail }) => detail)).toEqual([
      'will: over the maximum QoS of 0',
      'will: no right to retain',
      'will: over the maximum payload of 3 bytes',
      "will: topics that begin with $ are the server's",
    ]);
    expect((await h.connect5('alice', { will: { topic: 'w', payload: 'not' } })).connack?.code).toBe(0);
  });

  it('that would be retained beyond the limit is suppressed, and the tenant can see it', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxRetainedMessages: 1 };
    await (await h.connect('bob')).publish('first', 'x', { retain: true });
    await (await h.connect('alice', { will: { ...will, retain: true } })).cut();
    await h.settle();
    expect(h.broker.stats).toMatchObject({ retained: 1, willsSuppressed: 1, willsPublished: 0 });
    expect(h.journal.denials).toMatchObject([{ topic: 'will', reason: { name: 'quota-exceeded' } }]);
  });
});
