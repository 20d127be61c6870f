import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';
import { matches } from './topic.js';
import { TopicTree } from './tree.js';

function found(tree: TopicTree<number>, topic: string): number[] {
  const values: number[] = [];
  tree.match(topic, (value) => values.push(value));
  return values.sort((a, b) => a - b);
}

const level = fc.constantFrom('', 'a', 'b', 'c', '$x', '$SYS');
const topics = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/') || 'a');
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.constantFrom('#', '+', 'a', ''))
  .map(([levels, last]) => [...levels, last].join('/') || '+');
const keys = fc.constantFrom('k1', 'k2', 'k3');

describe('the topic tree', () => {
  it('finds what the definition of matching finds, through any additions and removals', () => {
    const steps = fc.array(fc.tuple(filters, keys, fc.nat(2), fc.nat(9)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.array(topics, { minLength: 1, maxLength: 8 }), (steps, topics) => {
        const tree = new TopicTree<number>();
        const model = new Map<string, { filter: string; value: number }>();
        for (const [filter, key, action, value] of steps) {
          const id = `${key} ${filter}`;
          if (action === 0) expect(tree.delete(filter, key)).toBe(model.delete(id));
          else {
            expect(tree.set(filter, key, value)).toBe(!model.has(id));
            model.set(id, { filter, value });
          }
        }
        expect(tree.size).toBe(model.size);
        for (const topic of topics) {
          const expected = [...model.values()].filter(({ filter }) => matches(filter, topic));
          expect(found(tree, topic)).toEqual(expected.map(({ value }) => value).sort((a, b) => a - b));
        }
        for (const [id, { filter }] of model) expect(tree.delete(filter, id.slice(0, 2))).toBe(true);
        expect(tree.size).toBe(0);
        expect(tree.isEmpty).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('tells the key with the value', () => {
    const tree = new TopicTree<number>();
    tree.set('a/#', 'one', 1);
    tree.set('a/#', 'two', 2);
    const seen: [string, number][] = [];
    tree.match('a', (value, key) => seen.push([key, value]));
    expect(seen).toEqual([
      ['one', 1],
      ['two', 2],
    ]);
  });

  it('keeps names apart that objects know', () => {
    const tree = new TopicTree<number>();
    tree.set('__proto__/constructor', '__proto__', 1);
    expect(found(tree, '__proto__/constructor')).toEqual([1]);
    expect(found(tree, '__proto__/toString')).toEqual([]);
    expect(tree.delete('constructor', '__proto__')).toBe(false);
  });

  it('takes filters and topics of a hundred thousand levels', () => {
    const tree = new TopicTree<number>();
    const deep = Array.from({ length: 100_000 }, () => 'a').join('/');
    tree.set(deep, 'k', 1);
    tree.set(`${deep}/#`, 'k', 2);
    tree.set(deep.replaceAll('a', '+'), 'k', 3);
    expect(found(tree, deep)).toEqual([1, 2, 3]);
    expect(found(tree, `${deep}/b`)).toEqual([2]);
    expect(tree.delete(deep, 'k')).toBe(true);
    expect(found(tree, deep)).toEqual([2, 3]);
  });

  it('steps through the nodes that match, not through the subscriptions there are', () => {
    const tree = new TopicTree<number>();
    for (let device = 0; device < 20_000; device++) tree.set(`devices/${device}/+`, 'k', device);
    let visits = 0;
    tree.match('devices/77/cmd', () => {
      visits += 1;
    });
    expect(visits).toBe(1);
  });
});
