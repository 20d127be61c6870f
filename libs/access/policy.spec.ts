import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';

import { explain as explainIn, type Question } from './explain.js';
import { compile, grantingInPart, type PolicyDocument } from './policy.js';
import type { Rule } from './rules.js';
import type { Variables } from './variables.js';

const variables: Variables = {
  tenant: 'acme',
  device: 'pump-1',
  clientId: 'c1',
  username: 'pump-1@acme',
  attributes: { site: 'north', evil: 'a/#', empty: '', dollar: '$SYS' },
};

function document(...rules: Rule[]): PolicyDocument {
  return { policyId: 'p1', name: 'basic', version: 3, rules };
}

function allow(actions: Rule['actions'], topics: string[], more: Partial<Rule> = {}): Rule {
  return { effect: 'allow', actions, topics, ...more };
}

function deny(actions: Rule['actions'], topics: string[], more: Partial<Rule> = {}): Rule {
  return { effect: 'deny', actions, topics, ...more };
}

const explain = (documents: readonly PolicyDocument[], of: Variables, question: Question) =>
  explainIn(documents, of, question, { transports: undefined, address: undefined, now: 0 });

function policy(...rules: Rule[]) {
  return compile([document(...rules)], variables);
}

describe('publish rights', () => {
  it('are none without a rule', () => {
    expect(policy().publishRight('a')).toMatchObject({ allowed: false, detail: 'no rule allows it' });
  });

  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a/', true],
    ['a/+', 'a', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['+/b', '/b', true],
    ['#', 'a/b', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/+/c', 'a//c', true],
    ['devices/${device}/t', 'devices/pump-1/t', true],
    ['devices/${device}/t', 'devices/pump-2/t', false],
    ['${tenant}/${username}/x-${clientId}', 'acme/pump-1@acme/x-c1', true],
    ['sites/${attr.site}/#', 'sites/north/a', true],
    ['sites/${attr.missing}/#', 'sites/x/a', false],
    ['sites/${attr.evil}', 'sites/a/b', false],
    ['sites/${attr.empty}/b', 'sites//b', false],
    ['${attr.dollar}/x', '$SYS/x', false],
  ])('from an allow of %s: %s is %s', (pattern, topic, allowed) => {
    expect(policy(allow(['publish'], [pattern])).publishRight(topic).allowed).toBe(allowed);
  });

  it.each([
    ['sites/${attr.missing}/admin', 'sites/anything/admin', false],
    ['sites/${attr.evil}/admin', 'sites/x/admin', false],
    ['$SYS/${attr.missing}', '$SYS/x', false],
    ['sites/${attr.site}/admin', 'sites/south/admin', true],
  ])('a deny of %s whose variable has no value widens to the whole level: %s', (pattern, topic, allowed) => {
    const rights = policy(allow(['publish'], ['#', '$SYS/#']), deny(['publish'], [pattern]));
    expect(rights.publishRight(topic).allowed).toBe(allowed);
  });

  it('are denied by a deny of the same priority, and given back by an allow of a higher one', () => {
    const rights = policy(
      allow(['publish'], ['a/#']),
      deny(['publish'], ['a/secret/#']),
      allow(['publish'], ['a/secret/open'], { priority: 1 }),
    );
    expect(rights.publishRight('a/b').allowed).toBe(true);
    expect(rights.publishRight('a/secret').allowed).toBe(false);
    expect(rights.publishRight('a/secret/x').detail).toBe('denied by rule 1 of policy basic, version 3');
    expect(rights.publishRight('a/secret/open').allowed).toBe(true);
  });

  it('have the lowest ceilings of the allow rules that decide', () => {
    const rights = policy(
      allow(['publish', 'retain'], ['a/#'], { when: { maxQos: 1, maxPayloadBytes: 100 } }),
      allow(['publish'], ['a/b'], { when: { maxQos: 2, maxPayloadBytes: 10, retain: false } }),
      allow(['publish'], ['a/c'], { priority: 5, when: { maxQos: 2 } }),
    );
    expect(rights.publishRight('a/b')).toMatchObject({ maxQos: 1, maxPayloadBytes: 10, mayRetain: false });
    expect(rights.publishRight('a/c')).toMatchObject({
      maxQos: 2,
      maxPayloadBytes: Infinity,
      mayRetain: true,
    });
    expect(rights.publishRight('a/x')).toMatchObject({ maxQos: 1, maxPayloadBytes: 100, mayRetain: true });
  });

  it('let retain only where a rule for retain says so', () => {
    const rights = policy(allow(['publish'], ['#']), allow(['retain'], ['r/#']), deny(['retain'], ['r/no']));
    expect(rights.publishRight('a').mayRetain).toBe(false);
    expect(rights.publishRight('r/a').mayRetain).toBe(true);
    expect(rights.publishRight('r/no').mayRetain).toBe(false);
  });

  it('are shared objects, however many topics have them', () => {
    const rights = policy(
      allow(['publish'], ['a/#'], { when: { maxQos: 1 } }),
      allow(['publish'], ['a/+'], { when: { maxPayloadBytes: 1 } }),
    );
    expect(rights.publishRight('a/1')).toBe(rights.publishRight('a/2'));
    expect(rights.publishRight('z/1')).toBe(rights.publishRight('z/2'));
  });

  it('mark readings by the telemetry rules of the profile', () => {
    const rights = compile([document(allow(['publish'], ['#']))], variables, [
      { filter: 'devices/${device}/telemetry', timeField: 'ts' },
      { filter: '${attr.missing}/t' },
    ]);
    expect(rights.publishRight('devices/pump-1/telemetry')).toMatchObject({
      telemetry: true,
      timeField: 'ts',
    });
    expect(rights.publishRight('devices/pump-2/telemetry').telemetry).toBe(false);
  });

  it('survive a topic of a hundred thousand levels', () => {
    const topic = 'a/'.repeat(100_000);
    expect(policy(allow(['publish'], ['#', '+/+/a'])).publishRight(topic).allowed).toBe(true);
  });
});

describe('subscribe rights', () => {
  it.each<[string[], string[], string, boolean]>([
    [['a/#'], [], 'a/#', true],
    [['a/#'], [], 'a/b/+', true],
    [['a/#'], [], 'a', true],
    [['a/#'], [], '#', false],
    [['a/b'], [], 'a/+', false],
    [['a/+'], [], 'a/#', false],
    [['a', 'a/+', 'a/+/#'], [], 'a/#', true],
    [['a/+/#'], [], 'a/#', false],
    [['a/+/#', 'a'], [], 'a/#', true],
    [['#'], [], '#', true],
    [['#'], [], '$SYS/#', false],
    [['+', '+/#'], [], '#', true],
    [['$SYS/#'], [], '$SYS/+', true],
    [['#'], ['a/secret'], 'a/#', false],
    [['#'], ['a/secret'], 'a/+/x', true],
    [['#'], ['$SYS/#'], '#', true],
    [['#'], ['$SYS/#'], '+/+', true],
    [['a/#'], ['+/b/c'], 'a/b', true],
    [['a/#'], ['+/b/c'], 'a/b/#', false],
    [['a/b'], [], '$share/g/a/b', true],
    [['a/b'], [], '$share/g/a/+', false],
    [['+/+'], [], '/', true],
    [['/a'], [], '+/a', false],
  ])('of allow %j minus deny %j: %s is %s', (allows, denies, filter, allowed) => {
    const rules = [allow(['subscribe'], allows), ...(denies.length > 0 ? [deny(['subscribe'], denies)] : [])];
    expect(policy(...rules).subscribeRight(filter).allowed).toBe(allowed);
  });

  it('name a topic that the filter matches and the rules do not allow', () => {
    const rights = policy(allow(['subscribe'], ['a/#']), deny(['subscribe'], ['a/+/secret']));
    expect(rights.subscribeRight('a/b/#').detail).toBe(
      'denied by rule 1 of policy basic, version 3: the filter matches a/b/secret',
    );
    expect(rights.subscribeRight('#').detail).toBe('no rule allows it: the filter matches x');
  });

  it('have the lowest maximum QoS of all that the filter matches', () => {
    const rights = policy(
      allow(['subscribe'], ['#']),
      allow(['subscribe'], ['a/low'], { when: { maxQos: 0 } }),
    );
    expect(rights.subscribeRight('a/+').maxQos).toBe(0);
    expect(rights.subscribeRight('b/#').maxQos).toBe(2);
  });

  it('are refused, not computed for ever, where rules overlap beyond the budget', () => {
    const words = Array.from({ length: 40 }, (_, index) => `w${index}`);
    const topics = [0, 1, 2, 3, 4].flatMap((place) =>
      words.map((word) => ['+', '+', '+', '+', '+'].with(place, word).join('/')),
    );
    const rights = policy(
      allow(['subscribe'], topics),
      allow(['subscribe'], ['+/+/+/+/+'], { priority: -1 }),
    );
    expect(rights.subscribeRight('w1/+/+/+/+').allowed).toBe(true);
    expect(policy(allow(['subscribe'], topics)).subscribeRight('+/+/+/+/+').allowed).toBe(false);
  });

  /**
   * Brute force over a small alphabet. Patterns have up to three levels, so topics of up to four levels over the words that
   * occur, one that does not, the empty level and a `$` word show every difference there can be.
   */
  it('agree with brute force over all topics of a small alphabet', () => {
    const words = ['a', 'b', ''];
    const topics = topicsOver([...words, 'other', '$s'], 4);
    const level = fc.constantFrom(...words, '+', '+');
    const pattern = fc
      .tuple(fc.constantFrom('a', 'b', '', '+', '$s'), fc.array(level, { maxLength: 2 }), fc.boolean())
      .map(([first, rest, hash]) => [first, ...rest, ...(hash ? ['#'] : [])].join('/'))
      .filter((text) => text !== '');
    const filter = fc.oneof({ weight: 1, arbitrary: fc.constant('#') }, { weight: 9, arbitrary: pattern });
    const rule = fc.record({
      effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
      actions: fc.constant<Rule['actions']>(['subscribe']),
      topics: fc.array(filter, { minLength: 1, maxLength: 3 }),
      priority: fc.constantFrom(0, 0, 1),
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    });
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 6 }), filter, (drafts, asked) => {
        const rules = drafts.map(({ qos, ...rest }): Rule =>
          rest.effect === 'allow' ? { ...rest, when: { maxQos: qos } } : rest,
        );
        const right = policy(...rules).subscribeRight(asked);
        const expected = topics.filter((topic) => matches(asked, topic)).map((topic) => decide(rules, topic));
        const allowed = expected.every((qos) => qos !== undefined);
        expect(right.allowed).toBe(allowed);
        if (allowed) expect(right.maxQos).toBe(Math.min(...expected.map((qos) => qos ?? 0)));
      }),
      { numRuns: 3_000 },
    );
  });

  it('name a witness that is matched and truly not allowed', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '+'), { minLength: 1, maxLength: 3 })
      .chain((levels) => fc.constantFrom(levels.join('/'), [...levels, '#'].join('/')));
    fc.assert(
      fc.property(
        fc.array(pattern, { maxLength: 4 }),
        fc.array(pattern, { maxLength: 3 }),
        pattern,
        (allows, denies, filter) => {
          const rules = [
            ...(allows.length > 0 ? [allow(['subscribe', 'publish'], allows)] : []),
            ...(denies.length > 0 ? [deny(['subscribe', 'publish'], denies)] : []),
          ];
          const { decision, witness } = explain([document(...rules)], variables, {
            action: 'subscribe',
            filter,
          });
          if (decision === 'allow') return;
          expect(matches(filter, witness!)).toBe(true);
          expect(policy(...rules).publishRight(witness!).allowed).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('rights that are granted in part', () => {
  const words = ['a', 'b', '', '$s'];
  const level = fc.constantFrom('a', 'b', '', '+');
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, isOpen]) => [...levels, ...(isOpen ? ['#'] : [])].join('/'))
    .filter((text) => text !== '');
  const topics = topicsOver(words, 3);

  it('deliver exactly what may be subscribed to, and are none where nothing may', () => {
    fc.assert(
      fc.property(
        fc.array(filter, { minLength: 1, maxLength: 3 }),
        fc.array(filter, { maxLength: 2 }),
        filter,
        (allows, denies, asked) => {
          const rules = [
            allow(['subscribe'], allows, { when: { maxQos: 1 } }),
            ...(denies.length > 0 ? [deny(['subscribe'], denies)] : []),
          ];
          const narrowed = grantingInPart(policy(...rules));
          const right = narrowed.subscribeRight(asked);
          const delivered = topics.filter((topic) => matches(asked, topic) && narrowed.mayReceive(topic));
          const allowed = topics.filter(
            (topic) => matches(asked, topic) && decide(rules, topic) !== undefined,
          );
          expect(delivered).toEqual(allowed);
          if (allowed.length > 0) expect(right).toMatchObject({ allowed: true, maxQos: 1 });
          if (!topics.some((topic) => matches(asked, topic) && allows.some((one) => matches(one, topic))))
            expect(right.allowed).toBe(false);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('are not for shared subscriptions, and ask each delivery', () => {
    const narrowed = grantingInPart(policy(allow(['subscribe'], ['a/b'])));
    expect(narrowed.receivesAll).toBe(false);
    expect(narrowed.subscribeRight('a/+')).toMatchObject({
      allowed: true,
      detail: expect.stringContaining('granted in part'),
    });
    expect(narrowed.subscribeRight('$share/g/a/+').allowed).toBe(false);
  });
});

describe('receive rights', () => {
  it('follow from the subscription where there is no rule', () => {
    const rights = policy(allow(['subscribe'], ['a/#']));
    expect(rights.receivesAll).toBe(true);
    expect(rights.mayReceive('a/b')).toBe(true);
  });

  it('are narrowed by a deny', () => {
    const rights = policy(allow(['subscribe'], ['a/#']), deny(['receive'], ['a/secret']));
    expect(rights.receivesAll).toBe(false);
    expect(rights.mayReceive('a/b')).toBe(true);
    expect(rights.mayReceive('a/secret')).toBe(false);
  });

  it('are asked for by no delivery where the deny is out of reach of every subscription', () => {
    expect(policy(allow(['subscribe'], ['a/#']), deny(['receive'], ['b/#'])).receivesAll).toBe(true);
  });

  it('are only what is allowed as soon as an allow rule for receive exists', () => {
    const rights = policy(allow(['subscribe'], ['#']), allow(['receive'], ['a/#']));
    expect(rights.receivesAll).toBe(false);
    expect(rights.mayReceive('a/b')).toBe(true);
    expect(rights.mayReceive('b')).toBe(false);
    expect(policy(allow(['subscribe', 'receive'], ['a/#'])).receivesAll).toBe(true);
  });

  it('are none where the allow rule for receive has a variable without a value', () => {
    const rights = policy(allow(['subscribe'], ['#']), allow(['receive'], ['${attr.missing}/#']));
    expect(rights.receivesAll).toBe(false);
    expect(rights.mayReceive('a')).toBe(false);
  });
});

describe('the right to connect', () => {
  it('comes with the credential, unless a rule denies it', () => {
    expect(policy().connectRight.allowed).toBe(true);
    expect(policy(allow(['connect', 'publish'], ['a/#'])).connectRight.allowed).toBe(true);
    const denied = policy(allow(['connect'], []), deny(['connect'], [])).connectRight;
    expect(denied).toEqual({ allowed: false, detail: 'denied by rule 1 of policy basic, version 3' });
    const restored = policy(deny(['connect'], []), allow(['connect'], [], { priority: 1 }));
    expect(restored.connectRight.allowed).toBe(true);
  });
});

describe('the common name of a certificate', () => {
  const documents = [document({ effect: 'allow', actions: ['publish'], topics: ['cells/${cert.cn}/#'] })];
  const named = (commonName: string | undefined): Variables => ({ ...variables, commonName });

  it('stands in topics, and is no value without a certificate', () => {
    const rights = compile(documents, named('cell-7'));
    expect([rights.connectRight.allowed, rights.publishRight('cells/cell-7/t').allowed]).toEqual([
      true,
      true,
    ]);
    expect(rights.publishRight('cells/cell-8/t').allowed).toBe(false);
    const without = compile(documents, named(undefined));
    expect([without.connectRight.allowed, without.publishRight('cells/cell-7/t').allowed]).toEqual([
      true,
      false,
    ]);
  });

  it.each(['+', '#', 'a/b', 'a\0', ''])(
    'keeps out whom it would give a topic of its own choice: %j',
    (name) => {
      const refused = { allowed: false, detail: "the certificate's common name cannot stand in a topic" };
      expect(compile(documents, named(name)).connectRight).toEqual(refused);
      expect(explain(documents, named(name), { action: 'connect' })).toMatchObject({
        decision: 'deny',
        reason: refused.detail,
      });
      // Where no rule speaks of it, it may be anything.
      expect(compile([], named(name)).connectRight.allowed).toBe(true);
    },
  );
});

describe('explanations', () => {
  const documents = [
    document(
      allow(['publish', 'retain'], ['devices/${device}/#'], { when: { maxQos: 1, maxPayloadBytes: 10 } }),
      deny(['publish'], ['devices/+/admin']),
    ),
    { policyId: 'p2', name: 'more', version: 1, rules: [allow(['subscribe'], ['a/#', 'b'])] },
  ];

  it('name the deciding rule, its policy and version, and the expanded topic', () => {
    expect(
      explain(documents, variables, { action: 'publish', topic: 'devices/pump-1/t', qos: 1 }),
    ).toMatchObject({
      decision: 'allow',
      maxQos: 1,
      origin: { policyId: 'p1', policyName: 'basic', version: 3, rule: 0, pattern: 'devices/pump-1/#' },
    });
    expect(explain(documents, variables, { action: 'publish', topic: 'devices/pump-1/admin' })).toMatchObject(
      {
        decision: 'deny',
        origin: { rule: 1, pattern: 'devices/+/admin' },
      },
    );
  });

  it.each([
    [{ qos: 2 as const }, 'over the maximum QoS of 1'],
    [{ payloadBytes: 11 }, 'over the maximum payload of 10 bytes'],
  ])('say which ceiling %j exceeds', (more, reason) => {
    const explained = explain(documents, variables, {
      action: 'publish',
      topic: 'devices/pump-1/t',
      ...more,
    });
    expect(explained.decision).toBe('deny');
    expect(explained.reason).toContain(reason);
  });

  it('find the policy that grants a filter', () => {
    expect(explain(documents, variables, { action: 'subscribe', filter: 'a/+' })).toMatchObject({
      decision: 'allow',
      origin: { policyId: 'p2', rule: 0, pattern: 'a/#' },
    });
    expect(explain(documents, variables, { action: 'subscribe', filter: '+' })).toMatchObject({
      decision: 'deny',
      origin: undefined,
      witness: 'x',
    });
  });
});

// ------------------------------------------------------------------- the oracle: slow, plain, written from the standard

function topicsOver(words: readonly string[], maxLevels: number): string[] {
  let longest: string[][] = [[]];
  const all: string[][] = [];
  for (let depth = 1; depth <= maxLevels; depth += 1) {
    longest = longest.flatMap((levels) => words.map((word) => [...levels, word]));
    all.push(...longest);
  }
  return all.map((levels) => levels.join('/')).filter((topic) => topic !== '');
}

function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true;
    if (index >= levels.length) return false;
    if (level !== '+' && level !== levels[index]) return false;
    if (index === levels.length - 1 && wanted.length === levels.length + 1 && wanted.at(-1) === '#')
      return true;
  }
  return wanted.length === levels.length;
}

/** The QoS granted on a topic, or undefined. */
function decide(rules: readonly Rule[], topic: string): number | undefined {
  const matching = rules.filter((rule) => rule.topics.some((pattern) => matches(pattern, topic)));
  const priority = Math.max(...matching.map((rule) => rule.priority ?? 0));
  const deciding = matching.filter((rule) => (rule.priority ?? 0) === priority);
  if (deciding.length === 0 || deciding.some((rule) => rule.effect === 'deny')) return undefined;
  return Math.min(...deciding.map((rule) => rule.when?.maxQos ?? 2));
}
