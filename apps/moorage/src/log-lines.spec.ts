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

  it('write as an escape what a terminal would obey, wherever it stands', () => {
    const hostile = '\u001b[2J\u009b1m\u202e\r\u2028x';
    const shown = '\\u001b[2J\\u009b1m\\u202e\\u000d\\u2028x';
    const lines = [
      JSON.stringify({ level: 'info', event: 'e', client: hostile.replace('\r', '').replace('\u2028', '') }),
      JSON.stringify({ level: 'info', event: 'e', err: { stack: hostile } }),
      hostile,
    ].map((line) => renderLine('broker', line));
    expect(lines[0]).toContain('client=\\u001b[2J\\u009b1m\\u202ex');
    expect(lines[1]).toContain(shown);
    expect(lines[2]).toContain(shown);
    // A line of its own cannot be had by a field either.
    const forged = JSON.stringify({ level: 'info', event: 'e', client: 'x\n10:00:00.123 api error forged' });
    expect(renderLine('broker', forged)).not.toContain('\n');
  });

  it.each(['plain words', '{"half', '{"no":"event"}'])('pass on what is no fact: %s', (line) => {
    expect(renderLine('api', line)).toMatch(new RegExp(`^ {13}api {6}`));
    expect(renderLine('api', line)).toContain(line);
  });
});
