import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';
import type { ClientId, Message } from './message.js';
import { keptBytes } from './publication.js';
import { RetainedStore } from './retained.js';
import { matches } from './topic.js';

function message(topic: string, payload: Buffer | string = 'x', properties?: Message['properties']): Message {
  return {
    topic,
    payload: Buffer.from(payload),
    qos: 0,
    retain: true,
    properties,
    publisher: 'p' as ClientId,
    receivedAt: 0,
    expiresAt: undefined,
  };
}

function found(store: RetainedStore, filter: string): string[] {
  const topics: string[] = [];
  store.visit(filter, ({ topic }) => topics.push(topic) > 0);
  return topics.sort();
}

const level = fc.constantFrom('', 'a', 'b', '$x');
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/') || 'a');
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 3 }), fc.constantFrom('#', '+', 'a', ''))
  .map(([levels, last]) => [...levels, last].join('/') || '#');

describe('the retained store', () => {
  it('finds what the definition of matching finds, through any sets and clears', () => {
    const steps = fc.array(fc.tuple(topics, fc.boolean(), fc.string()), { maxLength: 40 });
    fc.assert(
      fc.property(steps, fc.array(filters, { minLength: 1, maxLength: 6 }), (steps, filters) => {
        const store = new RetainedStore();
        const model = new Map<string, Message>();
        for (const [topic, isSet, payload] of steps) {
          if (isSet) {
            store.set(message(topic, payload));
            model.set(topic, message(topic, payload));
          } else expect(store.clear(topic)).toBe(model.delete(topic));
        }
        expect(store.count).toBe(model.size);
        expect(store.bytes).toBe([...model.values()].reduce((sum, kept) => sum + keptBytes(kept), 0));
        for (const [topic, kept] of model) expect(store.get(topic)).toEqual(kept);
        for (const filter of filters) {
          expect(found(store, filter)).toEqual(
            [...model.keys()].filter((topic) => matches(filter, topic)).sort(),
          );
        }
        for (const topic of model.keys()) store.clear(topic);
        expect([store.count, store.bytes, store.isEmpty]).toEqual([0, 0, true]);
      }),
      { numRuns: 300 },
    );
  });

  it('stops when the visitor has had enough', () => {
    const store = new RetainedStore();
    for (let n = 0; n < 10; n++) store.set(message(`a/${n}`));
    let visits = 0;
    store.visit('#', () => ++visits < 3);
    expect(visits).toBe(3);
  });

  it('knows no message on the way to another', () => {
    const store = new RetainedStore();
    store.set(message('a/b'));
    expect(store.get('a')).toBeUndefined();
    expect(store.clear('a')).toBe(false);
    expect(store.get('a/b/c')).toBeUndefined();
  });

  it('takes topics of a hundred thousand levels', () => {
    const store = new RetainedStore();
    const deep = Array.from({ length: 100_000 }, () => 'a').join('/');
    store.set(message(deep));
    expect(found(store, 'a/#')).toEqual([deep]);
    expect(found(store, deep.replaceAll('a', '+'))).toEqual([deep]);
    expect(store.clear(deep)).toBe(true);
    expect(store.isEmpty).toBe(true);
  });

  it('does not pin the chunk a message came in', () => {
    const chunk = Buffer.alloc(65_536, 1);
    const store = new RetainedStore();
    const properties = { correlationData: chunk.subarray(10, 14), contentType: 'c' };
    store.set({ ...message('a', '', properties), payload: chunk.subarray(20, 40) });
    const kept = store.get('a');
    expect(kept?.payload).toEqual(Buffer.alloc(20, 1));
    expect(kept?.payload.buffer.byteLength).toBe(20);
    expect(kept?.properties).toEqual({ correlationData: Buffer.alloc(4, 1), contentType: 'c' });
    expect(kept?.properties?.correlationData?.buffer.byteLength).toBe(4);
  });

  it('counts what its sender chose the size of', () => {
    const userProperties = [['name', 'value']] as const;
    const properties = {
      contentType: 'ct',
      responseTopic: 'r',
      correlationData: Buffer.alloc(3),
      userProperties,
    };
    const bare = keptBytes(message('t', ''));
    expect(keptBytes(message('t', '1234'))).toBe(bare + 4);
    expect(keptBytes(message('t', '', properties))).toBeGreaterThanOrEqual(bare + 15);
  });
});
