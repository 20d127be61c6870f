import { describe, expect, it } from '@jest/globals';

import { checkRules, ruleLimits } from './rules.js';

const good = { effect: 'allow', actions: ['publish'], topics: ['a/${device}/#'] };

function errorsOf(input: unknown) {
  const checked = checkRules(input);
  return checked.ok ? [] : checked.errors.map(({ pointer, code }) => [pointer, code]);
}

describe('the rules of a policy', () => {
  it('are taken as they are when nothing is wrong', () => {
    const rules = [
      good,
      {
        effect: 'deny',
        actions: ['subscribe', 'receive'],
        topics: ['+/secret', '$SYS/#', '/'],
        priority: -3,
      },
      {
        effect: 'allow',
        actions: ['publish', 'retain'],
        topics: ['${attr.site-1}/x-${clientId}'],
        when: { maxQos: 1, retain: false },
      },
    ];
    expect(checkRules(rules)).toEqual({ ok: true, rules });
    expect(checkRules([])).toEqual({ ok: true, rules: [] });
    expect(checkRules([{ effect: 'deny', actions: ['connect'] }])).toMatchObject({ ok: true });
    const time = { days: ['mon'], from: '22:00', to: '06:00', zone: 'Europe/Berlin' };
    const when = { transports: ['mtls'], addresses: ['10.0.0.0/8', '2001:db8::/32'], time };
    expect(checkRules([{ effect: 'deny', actions: ['connect'], when }])).toMatchObject({ ok: true });
    expect(checkRules([{ ...good, when: { ...when, maxQos: 1 } }])).toMatchObject({ ok: true });
  });

  it.each<[string, unknown, string, string]>([
    ['not a list', {}, '', 'invalid-type'],
    ['a rule that is no object', [1], '/0', 'invalid-type'],
    ['an unknown effect', [{ ...good, effect: 'maybe' }], '/0/effect', 'invalid-value'],
    ['an unknown action', [{ ...good, actions: ['fly'] }], '/0/actions/0', 'invalid-value'],
    ['no action', [{ ...good, actions: [] }], '/0/actions', 'too-small'],
    ['an unknown field', [{ ...good, topic: 'a' }], '/0', 'unrecognized-keys'],
    ['no topics', [{ ...good, topics: [] }], '/0/topics', 'missing-topics'],
    ['an empty topic', [{ ...good, topics: [''] }], '/0/topics/0', 'too-small'],
    [
      'a wildcard within a level',
      [{ ...good, topics: ['a', 'b/c+'] }],
      '/0/topics/1',
      'topic-misplaced-wildcard',
    ],
    [
      'a wildcard beside a variable',
      [{ ...good, topics: ['${device}+'] }],
      '/0/topics/0',
      'topic-misplaced-wildcard',
    ],
    ['# before the end', [{ ...good, topics: ['#/a'] }], '/0/topics/0', 'topic-misplaced-wildcard'],
    ['U+0000', [{ ...good, topics: ['a\0'] }], '/0/topics/0', 'topic-forbidden-character'],
    ['a lone surrogate', [{ ...good, topics: ['a\ud800'] }], '/0/topics/0', 'topic-forbidden-character'],
    ['a shared subscription', [{ ...good, topics: ['$share/g/a'] }], '/0/topics/0', 'topic-shared'],
    ['an unknown variable', [{ ...good, topics: ['${devise}'] }], '/0/topics/0', 'unknown-variable'],
    [
      'another name of a certificate',
      [{ ...good, topics: ['${cert.ou}'] }],
      '/0/topics/0',
      'unknown-variable',
    ],
    ['an open variable', [{ ...good, topics: ['${device'] }], '/0/topics/0', 'malformed-variable'],
    ['a topic that is too long', [{ ...good, topics: ['ä'.repeat(513)] }], '/0/topics/0', 'topic-too-long'],
    ['too many levels', [{ ...good, topics: ['/'.repeat(64)] }], '/0/topics/0', 'too-many-levels'],
    ['an unknown ceiling', [{ ...good, when: { maxQuality: 1 } }], '/0/when', 'unrecognized-keys'],
    [
      'a ceiling that limits nothing',
      [{ ...good, actions: ['subscribe'], when: { maxPayloadBytes: 1 } }],
      '/0/when',
      'idle-ceiling',
    ],
    ['QoS 3', [{ ...good, when: { maxQos: 3 } }], '/0/when/maxQos', 'invalid-value'],
    ['a ceiling on a deny', [{ ...good, effect: 'deny', when: { maxQos: 1 } }], '/0/when', 'ceiling-on-deny'],
    [
      'an unknown transport',
      [{ ...good, when: { transports: ['quic'] } }],
      '/0/when/transports/0',
      'invalid-value',
    ],
    ['no transport', [{ ...good, when: { transports: [] } }], '/0/when/transports', 'too-small'],
    [
      'an address that is none',
      [{ ...good, when: { addresses: ['10.0.0.0/8', '10.0.0.0/33'] } }],
      '/0/when/addresses/1',
      'bad-range',
    ],
    [
      'a time of day that is none',
      [{ ...good, when: { time: { from: '24:00', to: '25:00' } } }],
      '/0/when/time/from',
      'invalid-format',
    ],
    [
      'an empty window',
      [{ ...good, when: { time: { from: '08:00', to: '08:00' } } }],
      '/0/when/time/to',
      'invalid',
    ],
    [
      'an unknown time zone',
      [{ ...good, when: { time: { from: '08:00', to: '09:00', zone: 'Mars/Olympus' } } }],
      '/0/when/time/zone',
      'unknown-zone',
    ],
    [
      'a deny of connect among others',
      [{ ...good, effect: 'deny', actions: ['connect', 'publish'] }],
      '/0/actions',
      'connect-stands-alone',
    ],
    ['a priority out of range', [{ ...good, priority: 1e6 }], '/0/priority', 'too-big'],
    ['too many rules', Array.from({ length: 2_001 }, () => good), '', 'too-many-rules'],
    [
      'too many topics',
      Array.from({ length: 101 }, () => ({ ...good, topics: Array.from({ length: 100 }, () => 'a') })),
      '',
      'too-many-topics',
    ],
  ])('are refused with %s', (_, input, pointer, code) => {
    expect(errorsOf(input)).toContainEqual([pointer, code]);
  });

  it('report all errors at once, up to a limit', () => {
    expect(errorsOf([{ ...good, effect: 1 }, good, { ...good, topics: ['a#'] }])).toHaveLength(2);
    expect(errorsOf(Array.from({ length: 1_000 }, () => null))).toHaveLength(ruleLimits.maxErrors);
  });
});
