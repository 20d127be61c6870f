import { describe, expect, it } from '@jest/globals';

import * as fc from '../../test/support/properties.js';
import type { TenantId } from './message.js';
import { Harness, type TestClient } from './testing/index.js';

const tenantId = 'tenant-a' as TenantId;

const isKept = { retain: true, qos: 1 } as const;

async function publisher(h: Harness, topics: readonly string[] = []): Promise<TestClient> {
  const client = await h.connect5('p');
  for (const topic of topics) await client.publish(topic, 'kept', isKept);
  return client;
}

/** What a new subscriber gets. */
async function seen(h: Harness, username = 'x@tenant-a'): Promise<string[]> {
  const client = await h.connect5('reader', { username });
  await client.subscribe('#');
  const messages = client.messages().toSorted();
  await client.disconnect();
  return messages;
}

/** Nobody but the test lets time pass. */
async function cleared(h: Harness, filter: string): Promise<number> {
  const [receipt] = await Promise.all([h.broker.clearRetained(tenantId, filter), h.settle()]);
  return receipt.retainedCleared;
}

describe('clearing retained messages', () => {
  it('takes those that the filter matches, from memory and the vault, and those of no other tenant', async () => {
    const h = new Harness();
    await publisher(h, ['a/1', 'a/2', 'a', 'b/1', 'c']);
    const stranger = await h.connect5('p', { username: 'x@tenant-b' });
    await stranger.publish('a/1', 'theirs', isKept);
    expect(await cleared(h, 'a/#')).toBe(3);
    expect(await seen(h)).toEqual(['b/1 kept', 'c kept']);
    expect(await cleared(h, '+/1')).toBe(1);
    expect(await cleared(h, 'a/1')).toBe(0);
    expect(await seen(h)).toEqual(['c kept']);
    const next = await h.crash();
    expect(await seen(next)).toEqual(['c kept']);
    expect(await seen(next, 'x@tenant-b')).toEqual(['a/1 theirs']);
    expect(h.broker.statsOf(tenantId)?.storeErrors).toBe(0);
  });

  it('is no message: who is subscribed gets nothing, and what waits for a client is not taken from it', async () => {
    const h = new Harness();
    await publisher(h, ['a']);
    const away = await h.connect5('away', { expiry: 100 });
    away.acknowledges = false;
    await away.subscribe('a', { qos: 1 });
    await away.cut();
    const live = await h.connect5('live');
    await live.subscribe('a');
    live.take();
    expect(await cleared(h, 'a')).toBe(1);
    await h.settle();
    expect(live.take()).toEqual([]);
    const back = await h.connect5('away', { expiry: 100 });
    expect(back.messages()).toEqual(['a kept']);
  });

  it('is done when it is stored, and is seen before that', async () => {
    const h = new Harness();
    await publisher(h, ['a']);
    h.store.hold();
    let isDone = false;
    const clearing = h.broker.clearRetained(tenantId, 'a').then(() => (isDone = true));
    await h.settle();
    expect([isDone, await seen(h)]).toEqual([false, []]);
    h.store.commit();
    await Promise.all([clearing, h.settle()]);
  });

  it('is not, where it cannot be stored: then what was there is there again, until it is asked for anew', async () => {
    const h = new Harness();
    await publisher(h, ['a']);
    h.store.failWith(new Error('down'));
    const [outcome] = await Promise.allSettled([h.broker.clearRetained(tenantId, '#'), h.settle()]);
    expect(outcome.status).toBe('rejected');
    expect(await seen(h)).toEqual(['a kept']);
    h.store.failWith(undefined);
    expect(await cleared(h, '#')).toBe(1);
    expect(await seen(h)).toEqual([]);
  });

  it('takes a message that was accepted before it, and leaves one that came after, in memory and the vault alike', async () => {
    const h = new Harness();
    const client = await publisher(h, ['a', 'b']);
    h.store.hold();
    await client.send(client.publishBytes('a', 'before', isKept));
    const clearing = h.broker.clearRetained(tenantId, '#');
    await h.settle();
    await client.send(client.publishBytes('b', 'after', isKept));
    h.store.commit();
    await Promise.all([clearing, h.settle()]);
    await client.settle();
    // Both are acknowledged: the first was stored, and then cleared.
    expect(client.take('puback').length).toBe(4);
    expect(await seen(h)).toEqual(['b after']);
    expect(await seen(await h.crash())).toEqual(['b after']);
  });

  it('interrupted by the end of the process leaves what is stored', async () => {
    const h = new Harness();
    const client = await publisher(h, ['a']);
    h.store.hold();
    void h.broker.clearRetained(tenantId, '#').catch(() => undefined);
    await h.settle();
    await client.send(client.publishBytes('b', 'after', isKept));
    expect(await seen(h)).toEqual(['b after']);
    expect(await seen(await h.crash())).toEqual(['a kept']);
  });

  it('waits for a space that is being loaded, and needs none that is not', async () => {
    const h = new Harness();
    const client = await publisher(h, ['a', 'b']);
    await client.disconnect();
    const next = await h.crash();
    expect(await cleared(next, '#')).toBe(0);
    const { vault } = next;
    const read = vault.open.bind(vault);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    vault.open = async (id) => {
      const state = await read(id);
      await held;
      return state;
    };
    const arriving = next.connect5('reader');
    await next.settle();
    const clearing = next.broker.clearRetained(tenantId, 'a');
    release();
    const [{ retainedCleared }, reader] = await Promise.all([clearing, arriving, next.settle()]);
    await reader.settle();
    await reader.subscribe('#');
    expect([retainedCleared, reader.messages()]).toEqual([1, ['b kept']]);
  });

  it('of thousands takes turns with the clients, and keeps its space until it is done', async () => {
    const h = new Harness({ idleSpaceMs: 1_000 });
    const client = await publisher(h);
    const topics = Array.from({ length: 5_000 }, (_, i) => `${i % 70}/${i}`);
    await client.send(...topics.map((topic) => client.publishBytes(topic, 'x', { retain: true })));
    h.store.hold();
    const clearing = h.broker.clearRetained(tenantId, '#');
    await h.clock.turn();
    expect(await client.ping()).toBe(true);
    // It waits for what it has under way, and not for the vault to be full.
    expect(h.store.waiting).toBeLessThan(1_100);
    await client.disconnect();
    await h.clock.advance(5_000);
    expect([...h.broker.tenants]).toEqual([tenantId]);
    h.store.commit();
    const [{ retainedCleared }] = await Promise.all([clearing, h.settle()]);
    expect(retainedCleared).toBe(5_000);
    expect(await seen(h)).toEqual([]);
    await h.clock.advance(5_000);
    expect([...h.broker.tenants]).toEqual([]);
  });

  it('ends with the same in memory and in the vault, whatever is published and stored meanwhile', async () => {
    const topic = fc.constantFrom('a', 'a/b', 'a/c', 'd');
    const step = fc.oneof(
      fc.record({ what: fc.constant('publish' as const), topic, payload: fc.constantFrom('', '1', '2') }),
      fc.record({ what: fc.constant('clear' as const), topic: fc.constantFrom('a/#', '#', '+', 'a/b') }),
      fc.record({ what: fc.constantFrom('hold' as const, 'commit' as const, 'turn' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const h = new Harness();
        const client = await publisher(h);
        const clearings: Promise<unknown>[] = [];
        for (const { what, ...rest } of steps) {
          const { topic: on = '', payload = '' } = rest as { topic?: string; payload?: string };
          if (what === 'publish') client.link.send(client.publishBytes(on, payload, isKept));
          else if (what === 'clear') clearings.push(h.broker.clearRetained(tenantId, on));
          else if (what === 'turn') await h.clock.turn();
          else h.store[what]();
        }
        h.store.commit();
        await Promise.all([...clearings, h.settle()]);
        const before = await seen(h);
        expect(await seen(await h.crash())).toEqual(before);
      }),
      { numRuns: 60 },
    );
  });
});
