import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';

import { ruleDifference } from './difference.js';
import { RuleSet } from './policy.js';
import type { Rule } from './rules.js';
import { isSameVerdict } from './verdict.js';

const allow = (actions: Rule['actions'], topics: string[], more: Partial<Rule> = {}): Rule => ({
  effect: 'allow',
  actions,
  topics,
  ...more,
});
const deny = (actions: Rule['actions'], topics: string[], more: Partial<Rule> = {}): Rule => ({
  effect: 'deny',
  actions,
  topics,
  ...more,
});
const none = { added: [], removed: [] };
const northern = { when: { addresses: ['10.0.0.0/8'] } };

describe('rules that are written otherwise and say the same', () => {
  it.each<[string, Rule[], Rule[]]>([
    [
      'moved',
      [allow(['publish'], ['a']), deny(['publish'], ['b'])],
      [deny(['publish'], ['b']), allow(['publish'], ['a'])],
    ],
    [
      'split by topics',
      [allow(['publish'], ['a', 'b'])],
      [allow(['publish'], ['a']), allow(['publish'], ['b'])],
    ],
    [
      'joined by actions',
      [allow(['publish'], ['a']), allow(['subscribe'], ['a'])],
      [allow(['publish', 'subscribe'], ['a'])],
    ],
    ['covered already', [allow(['publish'], ['a/#'])], [allow(['publish'], ['a/b/+', 'a', 'a/#'])]],
    ['a/# in three parts', [allow(['publish'], ['a/#'])], [allow(['publish'], ['a', 'a/+', 'a/+/#'])]],
    [
      'with variables',
      [allow(['publish'], ['d/${device}/#'])],
      [allow(['publish'], ['d/${device}/x', 'd/${device}/#'])],
    ],
    ['under a wildcard', [allow(['publish'], ['d/+/x'])], [allow(['publish'], ['d/${attr.x}/x', 'd/+/x'])]],
    [
      'of a lower priority',
      [deny(['publish'], ['#'], { priority: 1 })],
      [deny(['publish'], ['#'], { priority: 1 }), allow(['publish'], ['a'])],
    ],
    [
      'with the same conditions',
      [allow(['publish'], ['a/#'], northern)],
      [allow(['publish'], ['a/#', 'a/b'], northern)],
    ],
    [
      'beside one without conditions',
      [allow(['publish'], ['a/#'])],
      [allow(['publish'], ['a/#']), allow(['publish'], ['a/b'], northern)],
    ],
    ['/# without the topic that is none', [allow(['publish'], ['/#'])], [allow(['publish'], ['/+/#'])]],
    ['twice', [allow(['connect'], [])], [allow(['connect'], []), allow(['connect'], [])]],
    [
      'in an allow that has no value when the deny has none',
      [deny(['publish'], ['a/${attr.x}']), allow(['publish'], ['b'])],
      [allow(['publish'], ['b']), deny(['publish'], ['a/${attr.x}'])],
    ],
  ])('are no difference: %s', (_, before, after) => {
    expect(ruleDifference(before, after)).toEqual(none);
  });
});

describe('rules that say something new', () => {
  it.each<[string, Rule[], Rule[]]>([
    ['a wider filter', [allow(['publish'], ['a/+'])], [allow(['publish'], ['a/+', 'a/#'])]],
    ['another priority', [allow(['publish'], ['a'])], [allow(['publish'], ['a'], { priority: 1 })]],
    ['a deny', [allow(['publish'], ['a'])], [allow(['publish'], ['a']), deny(['publish'], ['a'])]],
    [
      'a lower ceiling',
      [allow(['publish'], ['a'])],
      [allow(['publish'], ['a']), allow(['publish'], ['a'], { when: { maxQos: 1 } })],
    ],
    ['another action', [allow(['publish'], ['a'])], [allow(['publish', 'retain'], ['a'])]],
    [
      "the server's own topics",
      [allow(['subscribe'], ['#'])],
      [allow(['subscribe'], ['#']), allow(['subscribe'], ['$SYS/#'])],
    ],
    [
      'without the conditions',
      [allow(['publish'], ['a'], northern)],
      [allow(['publish'], ['a'], northern), allow(['publish'], ['a'])],
    ],
    [
      'the first allow of receive, which narrows',
      [allow(['subscribe'], ['a'])],
      [allow(['subscribe'], ['a']), allow(['receive'], ['#'])],
    ],
    [
      'a deny that widens where an allow falls away',
      [allow(['publish'], ['a/${attr.x}'])],
      [allow(['publish'], ['a/${attr.x}']), deny(['publish'], ['a/${attr.x}'], { priority: -1 })],
    ],
    [
      'a word for one device alone',
      [allow(['publish'], ['d/${device}'])],
      [allow(['publish'], ['d/${device}']), allow(['publish'], ['d/pump-1'])],
    ],
  ])('are named: %s', (_, before, after) => {
    const { added, removed } = ruleDifference(before, after);
    expect(added.length).toBeGreaterThan(0);
    expect(added.every((rule) => after.includes(rule))).toBe(true);
    expect(ruleDifference(after, before)).toEqual({ added: removed, removed: added });
  });
});

const words = ['a', 'b', ''];
const variables = {
  tenant: 't',
  device: 'a',
  clientId: 'b',
  username: 'u',
  attributes: { x: 'a', evil: '+' },
};

function topicsOver(alphabet: readonly string[], depth: number): string[] {
  let level = [...alphabet];
  const all = [...level];
  for (let i = 1; i < depth; i += 1) {
    level = level.flatMap((topic) => alphabet.map((word) => `${topic}/${word}`));
    all.push(...level);
  }
  return all.filter((topic) => topic !== '');
}

/** What is said of each topic, priorities and ceilings included. */
function isSameByBruteForce(
  before: readonly Rule[],
  after: readonly Rule[],
  topics: readonly string[],
): boolean {
  const [one, other] = [before, after].map(
    (rules) => new RuleSet([{ policyId: 'p', name: 'p', version: 1, rules }]),
  );
  return topics.every((topic) => {
    const a = one!.verdictOn('publish', topic, variables);
    const b = other!.verdictOn('publish', topic, variables);
    return a === undefined || b === undefined ? a === b : isSameVerdict(a, b);
  });
}

function ruleOver(levels: readonly string[]): fc.Arbitrary<Rule> {
  const pattern = fc
    .tuple(
      fc.constantFrom(...levels, '+', '$s'),
      fc.array(fc.constantFrom(...levels, '+', '+'), { maxLength: 2 }),
      fc.boolean(),
    )
    .map(([first, rest, hash]) => [first, ...rest, ...(hash ? ['#'] : [])].join('/'))
    .filter((text) => text !== '');
  return fc
    .record({
      effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
      topics: fc.array(fc.oneof(fc.constant('#'), pattern, pattern, pattern), { minLength: 1, maxLength: 3 }),
      priority: fc.constantFrom(0, 0, 0, 1),
      maxQos: fc.constantFrom(1 as const, 2 as const, 2 as const),
    })
    .map(({ maxQos, ...rest }): Rule => ({
      ...rest,
      actions: ['publish'],
      ...(rest.effect === 'allow' ? { when: { maxQos } } : {}),
    }));
}

describe('the difference of two lists', () => {
  it('is none exactly where they say the same of every topic', () => {
    const topics = topicsOver([...words, 'other', '$s'], 4);
    const rule = ruleOver(words);
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 4 }),
        fc.array(rule, { maxLength: 2 }),
        fc.nat(3),
        (shared, more, without) => {
          const after = [...shared.filter((_, index) => index !== without), ...more];
          const { added, removed } = ruleDifference(shared, after);
          expect(added.length + removed.length === 0).toBe(isSameByBruteForce(shared, after, topics));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('never overlooks one that variables make, whatever they stand for', () => {
    const topics = topicsOver(['a', 'b', 'other', '$s'], 4);
    const rule = ruleOver(['a', '${device}', '${attr.x}', '${attr.evil}']);
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 4 }),
        fc.array(rule, { maxLength: 2 }),
        fc.nat(3),
        (shared, more, without) => {
          const after = [...shared.filter((_, index) => index !== without), ...more];
          const { added, removed } = ruleDifference(shared, after);
          if (added.length + removed.length > 0) return;
          expect(isSameByBruteForce(shared, after, topics)).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
