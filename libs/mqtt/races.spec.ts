/** What happens while something else is under way: the store is held or fails, the gate is slow, clients come and go meanwhile. */
import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import type { TenantId } from './message.js';
import { connectBytes, frame, Harness, type TestClient } from './testing/index.js';

const will = { topic: 'will', payload: 'gone', qos: 1 };
const delayed = (seconds: number) => ({ ...will, properties: [['willDelayInterval', seconds]] as const });

async function watching(h: Harness): Promise<TestClient> {
  const watcher = await h.connect5('watcher');
  await watcher.subscribe('will');
  return watcher;
}

async function seen(watcher: TestClient): Promise<string[]> {
  await watcher.settle();
  return watcher.messages();
}

describe('a will that is due', () => {
  it('is on its way before that of the next connection takes its place', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await h.connect('alice', { will });
    const review = h.gate.review.bind(h.gate);
    let answer: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (answer = resolve));
    h.gate.review = async (principal) => {
      await asked;
      return review(principal);
    };
    const next = await h.connect('alice', { will: { ...will, payload: 'next' } });
    expect(next.connack).toBeUndefined();
    expect((await h.vault.open(next.tenantId)).wills).toEqual([]);
    expect((await h.vault.reopen().open(next.tenantId)).wills).toMatchObject([
      { will: { payload: Buffer.from('gone') } },
    ]);
    answer();
    await next.settle();
    expect(next.connack?.code).toBe(0);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('and is still being judged when the process stops is left to the next one, whoever waits for it', async () => {
    const h = new Harness();
    await h.connect('alice', { will });
    const review = h.gate.review.bind(h.gate);
    let answer: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (answer = resolve));
    h.gate.review = async (principal) => {
      await asked;
      return review(principal);
    };
    await h.connect('alice');
    const stopped = h.broker.stop();
    await h.settle();
    answer();
    await Promise.all([stopped, h.settle()]);
    expect((await h.vault.reopen().open('tenant-a' as TenantId)).wills).toMatchObject([
      { will: { payload: Buffer.from('gone') } },
    ]);
  });

  it('and could not be judged is judged when its client is back', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    const alice = await h.connect('alice', { will });
    const review = h.gate.review.bind(h.gate);
    h.gate.review = () => Promise.reject(new Error('down'));
    await alice.cut();
    h.gate.review = review;
    expect((await h.connect('alice', { will })).connack?.code).toBe(0);
    expect(await seen(watcher)).toEqual(['will gone']);
    await h.clock.advance(60_000);
    expect(await seen(watcher)).toEqual([]);
  });
});

describe('a newcomer that is turned away', () => {
  it('by a store that fails leaves the delayed will of the connection before it to be published', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await (await h.connect5('alice', { expiry: 100, will: delayed(10) })).cut();
    h.store.failWith(new Error('down'));
    const refused = await h.connect5('alice', { expiry: 100 });
    expect(refused.connack?.code).toBe(0x88);
    h.store.failWith(undefined);
    await h.clock.advance(10_000);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it.each([
    ['takes over', async () => undefined],
    ['comes back', (client: TestClient) => client.cut()],
  ])(
    'because the rights of a will that is due cannot be asked, as it %s, leaves that will to the next process',
    async (_how, go) => {
      const h = new Harness();
      const alice = await h.connect('alice', { will });
      const review = h.gate.review.bind(h.gate);
      h.gate.review = () => Promise.reject(new Error('down'));
      await go(alice);
      const refused = await h.connect('alice', { will: { ...will, payload: 'never' } });
      expect(refused.connack?.code).toBe(3);
      h.gate.review = review;
      const next = await h.crash({ willGraceMs: 10_000 });
      const watcher = await watching(next);
      await next.clock.advance(10_000);
      expect(await seen(watcher)).toEqual(['will gone']);
    },
  );

  it('at a clean start has no session any more, rather than one with a gap', async () => {
    const h = new Harness();
    const alice = await h.connect('alice', { clean: false });
    await alice.subscribe('a');
    await alice.cut();
    const { vault } = h;
    const claim = vault.claim.bind(vault);
    vault.claim = () => Promise.reject(new Error('away'));
    expect((await h.connect5('alice', { expiry: 100, clean: true })).connack?.code).toBe(0x88);
    vault.claim = claim;
    await (await h.connect('bob')).publish('a', 'x', { qos: 1 });
    const again = await h.connect('alice', { clean: false });
    expect(again.connack).toMatchObject({ code: 0, sessionPresent: false });
  });

  it('because it went before CONNACK leaves that will too, and none of its own', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await (await h.connect5('alice', { expiry: 100, will: delayed(10) })).cut();
    h.store.hold();
    const passing = await h.connect5('alice', { expiry: 100, will: { topic: 'will', payload: 'never' } });
    await passing.cut();
    h.store.commit();
    await h.clock.advance(10_000);
    expect(await seen(watcher)).toEqual(['will gone']);
    await h.clock.advance(1_000_000);
    expect(await seen(watcher)).toEqual([]);
    expect((await h.vault.reopen().open(watcher.tenantId)).wills).toEqual([]);
  });

  it('leaves the will that waits to the next process as well', async () => {
    const h = new Harness();
    await (await h.connect5('alice', { expiry: 100, will: delayed(10) })).cut();
    h.store.hold();
    const passing = await h.connect5('alice', { expiry: 100, will: { topic: 'will', payload: 'never' } });
    await passing.cut();
    h.store.commit();
    await h.settle();
    const next = await h.crash();
    const watcher = await watching(next);
    await next.clock.advance(10_000);
    expect(await seen(watcher)).toEqual(['will gone']);
  });

  it('does not count towards the connections of its tenant, and newcomers at once stay within their limit', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxConnections: 2 };
    h.store.hold();
    const clients: TestClient[] = [];
    for (const id of ['a', 'b', 'c', 'd']) clients.push(await h.connect5(id, { expiry: 60 }));
    h.store.commit();
    for (const client of clients) await client.settle();
    expect(clients.map(({ connack }) => connack?.code)).toEqual([0, 0, 0x97, 0x97]);
    expect(h.broker.stats.connections).toBe(2);
  });
});

describe('newcomers of one moment', () => {
  it('are counted once each, as many as wait for the same answer', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxConnections: 3 };
    h.gate.isSlow = true;
    const clients: TestClient[] = [];
    for (const id of ['a', 'b', 'c', 'd']) clients.push(await h.connect5(id));
    h.gate.answer();
    for (const client of clients) await client.settle();
    expect(clients.map(({ connack }) => connack?.code)).toEqual([0, 0, 0, 0x97]);
  });

  it('with one identifier are let in one after the other, and the last one stays', async () => {
    const h = new Harness();
    h.gate.isSlow = true;
    const clients = [await h.connect5('a'), await h.connect5('a'), await h.connect5('a')];
    h.gate.answer();
    for (const client of clients) await client.settle();
    expect(clients.map(({ connack }) => connack?.code)).toEqual([0, 0, 0]);
    expect(clients.map(({ goodbye }) => goodbye)).toEqual([0x8e, 0x8e, undefined]);
    expect(h.broker.stats.connections).toBe(1);
  });
});

describe('a take-over', () => {
  it('leaves the newcomer its own will, which its good-bye then discards for good', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    await h.connect5('alice', { expiry: 100, will });
    const second = await h.connect5('alice', { expiry: 100, will: { topic: 'will', payload: 'second' } });
    expect(await seen(watcher)).toEqual(['will gone']);
    await second.disconnect();
    const next = await h.crash();
    const later = await watching(next);
    await next.clock.advance(1_000_000);
    expect(await seen(later)).toEqual([]);
  });

  it('does not call off a will that is due and waits only for the rights of the day', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    const first = await h.connect5('alice', { will });
    const review = h.gate.review.bind(h.gate);
    h.gate.review = () => Promise.reject(new Error('down'));
    await first.cut();
    h.gate.review = review;
    const second = await h.connect5('alice', { expiry: 100, will: delayed(60) });
    await second.cut();
    await h.clock.advance(10_000);
    expect(await seen(watcher)).toEqual(['will gone']);
    await h.clock.advance(60_000);
    expect(await seen(watcher)).toEqual(['will gone']);
  });
});

describe('stopping', () => {
  it('waits for newcomers whose claim is under way, and leaves their sessions released', async () => {
    const h = new Harness();
    const first = await h.connect5('alice', { expiry: 100, will });
    await first.subscribe('a');
    h.store.hold();
    const second = await h.connect5('alice', { expiry: 100, will });
    let stopped = false;
    const stopping = h.broker.stop().then(() => (stopped = true));
    await h.settle();
    expect(stopped).toBe(false);
    h.store.commit();
    await h.settle();
    await stopping;
    expect(second.connack?.code ?? 0x88).toBe(0x88);
    expect((await h.vault.open(first.tenantId)).sessions).toMatchObject([{ connected: false }]);
    expect(h.store.waiting).toBe(0);
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('leaves no timer of a space that was still opening', async () => {
    const h = new Harness();
    await (await h.connect5('alice', { expiry: 100, will: delayed(50) })).cut();
    const next = await h.crash();
    await next.broker.stop();
    expect(next.clock.pendingAlarms).toBe(0);
    h.clock.forget();
    const third = new Harness({}, next);
    const open = third.vault.open.bind(third.vault);
    let go = (): void => undefined;
    third.vault.open = async (tenantId) => {
      await new Promise<void>((resolve) => (go = resolve));
      return open(tenantId);
    };
    const arriving = third.open(5, 'alice');
    await arriving.send(connectBytes('alice', { version: 5 }));
    const stopping = third.broker.stop();
    go();
    await third.settle();
    await stopping;
    expect(third.clock.pendingAlarms).toBe(0);
  });
});

describe('a client that goes', () => {
  it('while it signs in, by DISCONNECT behind its CONNECT, is let in and says good-bye', async () => {
    const h = new Harness();
    const watcher = await watching(h);
    h.gate.isSlow = true;
    const client = h.open(5, 'alice');
    await client.send(connectBytes('alice', { version: 5, will }), frame(0xe0));
    h.gate.answer();
    await client.settle();
    expect(client.connack?.code).toBe(0);
    expect(await seen(watcher)).toEqual([]);
    expect(h.broker.stats).toMatchObject({ links: 1, connections: 1, sessions: 1 });
  });
});

describe('a take-over while a subscription is being stored', () => {
  it('finds it in the session that goes on, as the next process would', async () => {
    const h = new Harness();
    const first = await h.connect5('alice', { expiry: 100 });
    await first.subscribe('old');
    h.store.hold();
    first.link.send(first.subscribeBytes(['new']));
    const second = await h.connect5('alice', { expiry: 100 });
    h.store.commit();
    await second.settle();
    expect(second.connack?.sessionPresent).toBe(true);
    await second.publish('new', 'x', { qos: 1 });
    await second.publish('old', 'x', { qos: 1 });
    expect(second.messages()).toEqual(['new x', 'old x']);
  });
});

describe('a clock that was set back between two processes', () => {
  it('does not make the next sign-in look older than the last one', async () => {
    const h = new Harness();
    await h.connect5('alice', { expiry: 100, will });
    const before = h.journal.events.at(-1)!.epoch;
    const next = await h.crash();
    next.clock.now = () => Date.UTC(2020, 0, 1);
    const other = await next.connect5('bob');
    expect(other.connack?.code).toBe(0);
    expect(next.journal.events.at(-1)!.epoch).toBeGreaterThan(before);
  });
});
