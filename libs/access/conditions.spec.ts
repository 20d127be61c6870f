import { describe, expect, it } from '@jest/globals';

import { type Circumstances, settle } from './conditions.js';
import { explain } from './explain.js';
import { compile, type PolicyDocument } from './policy.js';
import type { Rule } from './rules.js';
import type { Variables } from './variables.js';

const variables: Variables = { tenant: 't', device: 'd', clientId: 'c', username: 'u', attributes: {} };
const noon = Date.parse('2026-11-23T12:00:00Z');
const inside: Circumstances = { transports: ['tls', 'mtls'], address: '10.0.0.1', now: noon };
const unknown: Circumstances = { transports: undefined, address: undefined, now: noon };

function document(...rules: Rule[]): PolicyDocument {
  return { policyId: 'p', name: 'p', version: 1, rules };
}

function rightsOf(rules: Rule[], circumstances: Circumstances) {
  return compile([settle(document(...rules), circumstances).document], variables);
}

const mayPublish = (rules: Rule[], circumstances: Circumstances) =>
  rightsOf(rules, circumstances).publishRight('a').allowed;

const allow = (when: Rule['when']): Rule => ({ effect: 'allow', actions: ['publish'], topics: ['a'], when });
const deny = (when: Rule['when']): Rule => ({ effect: 'deny', actions: ['publish'], topics: ['a'], when });

describe('explanations', () => {
  it('name the rules that speak of a topic and do not hold here and now', () => {
    const rules = [
      allow({ transports: ['ws'], time: { from: '13:00', to: '14:00', zone: 'UTC' } }),
      { ...allow({ transports: ['ws'] }), topics: ['b'] },
      deny({ addresses: ['192.0.2.0/24'] }),
      allow({ transports: ['tls'] }),
    ];
    const explained = explain([document(...rules)], variables, { action: 'publish', topic: 'a' }, inside);
    expect(explained).toMatchObject({ decision: 'allow', origin: { rule: 3 } });
    expect(explained.unmet.map(({ rule, effect, conditions }) => [rule, effect, conditions])).toEqual([
      [0, 'allow', ['transports', 'time']],
      [2, 'deny', ['addresses']],
    ]);
  });
});

describe('the conditions of a rule', () => {
  it.each<[string, Rule['when'], Circumstances, boolean]>([
    ['a transport that is used', { transports: ['mtls'] }, inside, true],
    ['one that is not', { transports: ['ws', 'wss'] }, inside, false],
    ['an address in a range', { addresses: ['10.0.0.0/8'] }, inside, true],
    ['one outside', { addresses: ['192.0.2.0/24', '::/0'] }, inside, false],
    ['an open window', { time: { from: '11:00', to: '13:00', zone: 'UTC' } }, inside, true],
    ['a closed one', { time: { from: '13:00', to: '14:00', zone: 'UTC' } }, inside, false],
    ['all but one', { transports: ['tls'], addresses: ['11.0.0.0/8'] }, inside, false],
    ['a transport nobody knows', { transports: ['tls'] }, unknown, false],
  ])('let an allow hold by %s: %#', (_, when, circumstances, holds) => {
    expect(mayPublish([allow(when)], circumstances)).toBe(holds);
  });

  it('let a deny hold where they are met, and where nobody knows', () => {
    const rules = (when: Rule['when']): Rule[] => [allow(undefined), deny(when)];
    expect(mayPublish(rules({ transports: ['tls'] }), inside)).toBe(false);
    expect(mayPublish(rules({ transports: ['ws'] }), inside)).toBe(true);
    expect(mayPublish(rules({ transports: ['ws'] }), unknown)).toBe(false);
    expect(mayPublish(rules({ addresses: ['192.0.2.0/24'] }), unknown)).toBe(false);
  });

  it('never open what an allow that does not hold would have narrowed', () => {
    const subscribe: Rule = { effect: 'allow', actions: ['subscribe'], topics: ['#'] };
    const when = { transports: ['ws' as const] };
    const receive: Rule = { effect: 'allow', actions: ['receive'], topics: ['#'], when };
    expect(rightsOf([subscribe, receive], inside).mayReceive('a')).toBe(false);
    const connect: Rule = { effect: 'allow', actions: ['connect'], topics: [], when };
    expect(rightsOf([connect], inside).connectRight.allowed).toBe(false);
    expect(rightsOf([connect], { ...inside, transports: ['ws'] }).connectRight.allowed).toBe(true);
  });

  it('keep the places of the rules: a verdict names the rule as it was written', () => {
    const right = rightsOf([allow({ transports: ['ws'] }), allow(undefined)], inside).publishRight('a');
    expect(right.detail).toContain('rule 1');
  });

  it('say when the rights change next, and only where time decides', () => {
    const rule = allow({ time: { from: '11:00', to: '13:00', zone: 'UTC' } });
    const late = deny({ time: { from: '14:00', to: '15:00', zone: 'UTC' } });
    expect(settle(document(rule, late), inside).reviewAt).toBe(noon + 3_600_000);
    expect(settle(document(allow({ transports: ['ws'] })), inside).reviewAt).toBeUndefined();
    // A window that does not matter on this transport wakes nobody.
    const other = allow({ transports: ['ws'], time: { from: '11:00', to: '13:00', zone: 'UTC' } });
    expect(settle(document(other), inside).reviewAt).toBeUndefined();
  });

  it('give the same document for the same outcome, so that it is compiled once', () => {
    const conditional = document(allow({ addresses: ['10.0.0.0/8'] }), allow({ transports: ['ws'] }));
    const one = settle(conditional, inside).document;
    expect(settle(conditional, { ...inside, address: '10.9.9.9' }).document).toBe(one);
    expect(settle(conditional, { ...inside, address: '11.9.9.9' }).document).not.toBe(one);
    const plain = document(allow(undefined));
    expect(settle(plain, inside).document).toBe(plain);
  });
});
