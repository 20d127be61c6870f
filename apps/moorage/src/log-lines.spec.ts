import { describe, expect, it } from '@jest/globals';
import { renderLine } from './log-lines.js';

describe('log lines for a terminal', () => {
  it('show time, process, level, event and fields of a fact', () => {
    const line = JSON.stringify({
      level: 'info',
      time: '2026-11-22T10:00:00.123Z',
      app: 'broker',
      event: 'connection.accepted',
      tenant: 'acme',
      note: 'two words',
      port: 1883,
    });
    expect(renderLine('broker', line)).toBe(
      '10:00:00.123 broker   info  connection.accepted tenant=acme note="two words" port=1883',
    );
  });

  it('show an exception below the fact it belongs to', () => {
    const err = { type: 'Error', message: 'no', stack: 'Error: no\n    at x' };
    expect(renderLine('api', JSON.stringify({ level: 'error', event: 'crashed', err }))).toContain(
      'crashed\n    Error: no\n        at x',
    );
  });

  it.each(['plain words', '{"half', '{"no":"event"}'])('pass on what is no fact: %s', (line) => {
    expect(renderLine('api', line)).toMatch(new RegExp(`^ {13}api {6}`));
    expect(renderLine('api', line)).toContain(line);
  });
});
