import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';

import { compile, grantingInPart, type PolicyDocument, RuleSet, underOtherRules } from './policy.js';
import type { Rule } from './rules.js';
import { expand, expandWidely, type Variables } from './variables.js';

function variables(more: Partial<Variables> = {}): Variables {
  return { tenant: 'acme', device: 'd1', clientId: 'c1', username: 'u1', attributes: {}, ...more };
}

function document(...rules: Rule[]): PolicyDocument {
  return { policyId: 'p1', name: 'basic', version: 1, rules };
}

describe('a rule set', () => {
  const rules = new RuleSet([
    document(
      { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#', 'all/#'] },
      { effect: 'deny', actions: ['subscribe'], topics: ['all/${attr.hidden}'] },
    ),
  ]);

  it('is one for many principals, and none has another’s rights', () => {
    const one = rules.for(variables({ device: 'd1' }));
    const other = rules.for(variables({ device: 'd2' }));
    expect(one.publishRight('devices/d1/t').allowed).toBe(true);
    expect(one.publishRight('devices/d2/t').allowed).toBe(false);
    expect(one.subscribeRight('devices/d2/#').allowed).toBe(false);
    expect(other.publishRight('devices/d2/t').allowed).toBe(true);
    expect(other.subscribeRight('devices/+/t').allowed).toBe(false);
    expect(other.subscribeRight('devices/d2/#').allowed).toBe(true);
  });

  it('shares rights that are alike between principals', () => {
    const one = rules.for(variables({ device: 'd1' })).publishRight('devices/d1/t');
    expect(rules.for(variables({ device: 'd2' })).publishRight('devices/d2/x')).toBe(one);
  });

  it('takes the place of another under rights that are there, granted in part or not, and of no other', () => {
    const other = new RuleSet([document({ effect: 'allow', actions: ['subscribe'], topics: ['all/new'] })]);
    const whole = rules.for(variables());
    const inPart = grantingInPart(whole);
    for (const rights of [whole, inPart]) {
      expect(underOtherRules(rights, (same) => same)).toBe(rights);
      const next = underOtherRules(rights, (before) => (before === rules ? other : before));
      expect(next?.publishRight('devices/d1/t').allowed).toBe(false);
      expect(next?.subscribeRight('all/#').allowed).toBe(rights === inPart);
    }
  });

  it('holds a deny against the value that this principal has, and against every word where it has none', () => {
    const hides = rules.for(variables({ attributes: { hidden: 'secret' } }));
    expect(hides.subscribeRight('all/open').allowed).toBe(true);
    expect(hides.subscribeRight('all/+').detail).toContain('the filter matches all/secret');
    expect(rules.for(variables()).subscribeRight('all/open').allowed).toBe(false);
    expect(rules.for(variables()).subscribeRight('all/a/b').allowed).toBe(true);
  });

  it('decides as rules do in which the values were written out', () => {
    const words = ['a', 'b', '$s'];
    const level = fc.constantFrom('a', 'b', '+', '${device}', '${attr.x}', 'a${attr.x}', '${attr.none}');
    const pattern = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'));
    const rule = fc.record({
      effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
      actions: fc.constantFrom<Rule['actions'][]>(
        ['publish', 'subscribe'],
        ['subscribe', 'receive'],
        ['receive'],
      ),
      topics: fc.array(pattern, { minLength: 1, maxLength: 3 }),
      priority: fc.constantFrom(0, 0, 1),
    });
    const value = fc.constantFrom(...words, 'a+', undefined);
    const filter = fc
      .tuple(
        fc.array(fc.constantFrom('a', 'b', 'ab', '+', '$s'), { minLength: 1, maxLength: 3 }),
        fc.boolean(),
      )
      .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'));
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...words),
        value,
        fc.array(filter, { minLength: 3, maxLength: 6 }),
        (drafts, device, x, filters) => {
          const who = variables({ device, attributes: x === undefined ? {} : { x } });
          const bound = new RuleSet([document(...drafts)]).for(who);
          const written = compile([document(...drafts.map((draft) => writtenOut(draft, who)))], who);
          expect(bound.receivesAll).toBe(written.receivesAll);
          for (const asked of filters) {
            const { allowed, maxQos } = written.subscribeRight(asked);
            expect(bound.subscribeRight(asked)).toMatchObject({ allowed, maxQos });
            const topic = asked.replaceAll('+', 'other').replaceAll('#', 'rest');
            expect(bound.publishRight(topic).allowed).toBe(written.publishRight(topic).allowed);
            expect(bound.mayReceive(topic)).toBe(written.mayReceive(topic));
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

function writtenOut(rule: Rule, who: Variables): Rule {
  const topics = rule.topics.flatMap((topic) => {
    const expanded = rule.effect === 'deny' ? expandWidely(topic, who) : expand(topic, who);
    return expanded ?? [];
  });
  return { ...rule, topics };
}
