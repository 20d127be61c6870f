import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';

import { MatchCache, type Subscribed } from './matches.js';
import type { Session } from './session.js';
import { matches } from './topic.js';
import { Turns } from './turns.js';

const level = fc.constantFrom('', 'a', 'b', '$x');
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/') || 'a');
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 3 }), fc.constantFrom('#', '+', 'a', ''))
  .map(([levels, last]) => [...levels, last].join('/') || '+');

const sessions = new Map<string, Session>();

const subscribed = (key: string, filter: string): Subscribed => ({
  session: sessionOf(key),
  subscription: { filter, qos: 0, noLocal: false, retainAsPublished: false } as never,
});

function sessionOf(key: string): Session {
  const session = sessions.get(key) ?? ({ clientId: key } as unknown as Session);
  sessions.set(key, session);
  return session;
}

function newCache(): { cache: MatchCache; turns: Turns } {
  const turns = new Turns(() => undefined);
  return { cache: new MatchCache(turns), turns };
}

/** Whether the topic was looked up in the tree, and not remembered. */
function isLookedUp({ cache, turns }: ReturnType<typeof newCache>, topic: string): boolean {
  const before = turns.spent;
  cache.find(topic);
  return turns.spent > before;
}

describe('the cache of matches', () => {
  it('finds what the definition of matching finds, whatever was found and changed before', () => {
    const keys = fc.constantFrom('s1', 's2', 's3');
    const change = fc.record({ filter: filters, key: keys, isSet: fc.boolean() });
    const steps = fc.array(fc.oneof(change, topics), { maxLength: 80 });
    fc.assert(
      fc.property(steps, (steps) => {
        const { cache } = newCache();
        const held = new Set<string>();
        for (const step of steps) {
          if (typeof step !== 'string') {
            const { filter, key, isSet } = step;
            if (isSet) cache.set(filter, key, subscribed(key, filter));
            else cache.delete(filter, key);
            if (isSet) held.add(`${key} ${filter}`);
            else held.delete(`${key} ${filter}`);
            continue;
          }
          const expected = [...held]
            .filter((one) => matches(one.slice(3), step))
            .map((one) => one.slice(0, 2));
          const found = cache.find(step).direct.map(({ session }) => session.clientId as string);
          expect(found.sort()).toEqual([...new Set(expected)].sort());
        }
        expect(cache.filterCount).toBe(held.size);
      }),
      { numRuns: 500 },
    );
  });

  it('forgets what begins as the filter does, and nothing else', () => {
    const here = newCache();
    const looked = (topic: string) => isLookedUp(here, topic);
    expect(['devices/1/t', 'devices/2/t', 'sites', 'devices/1'].map(looked)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    here.cache.set('devices/1/cmd/#', 's', subscribed('s', 'devices/1/cmd/#'));
    expect(['devices/1/t', 'devices/2/t', 'sites', 'devices/1'].map(looked)).toEqual([
      true,
      false,
      false,
      true,
    ]);
    here.cache.delete('sites', 's');
    expect(['devices/1/t', 'devices/2/t', 'sites', 'devices/1'].map(looked)).toEqual([
      false,
      false,
      true,
      false,
    ]);
    here.cache.set('devices/+', 's', subscribed('s', 'devices/+'));
    expect(['devices/1/t', 'devices/2/t', 'sites', 'devices/1'].map(looked)).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  it('holds few topics where many subscribe to each', () => {
    const { cache } = newCache();
    for (let i = 0; i < 1_000; i++) cache.set('#', String(i), subscribed(String(i), '#'));
    for (let i = 0; i < 500; i++) cache.find(`topic/${i}`);
    expect(cache.size).toBeLessThan(150);
    expect(cache.find('topic/1').direct).toHaveLength(1_000);
  });

  it('holds none of a thousand levels', () => {
    const { cache } = newCache();
    const deep = 'a/'.repeat(1_000);
    cache.set(`${'+/'.repeat(500)}#`, 's', subscribed('s', '#'));
    for (let i = 0; i < 10; i++) expect(cache.find(deep + i).direct).toHaveLength(1);
    expect(cache.size).toBe(0);
  });
});
