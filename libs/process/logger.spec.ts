import { describe, expect, it } from '@jest/globals';
import { createLogger, type Logger } from './logger.js';

function capture(level: 'debug' | 'info' = 'info'): { log: Logger; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = createLogger('broker', level, { write: (line) => void written.push(line) });
  return { log, lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('the logger', () => {
  it('writes one line a fact, with the event, the fields and the fields of its parents', () => {
    const { log, lines } = capture();
    log.child({ tenant: 'acme' }).info('connection.accepted', { client: 'pump-1' });
    expect(lines()).toEqual([
      expect.objectContaining({
        level: 'info',
        app: 'broker',
        tenant: 'acme',
        event: 'connection.accepted',
        client: 'pump-1',
      }),
    ]);
  });

  it('says whether debug lines are worth building', () => {
    expect(capture('info').log.isDebug).toBe(false);
    expect(capture('debug').log.isDebug).toBe(true);
  });

  it('masks secrets by name, however deep within reason, and in the URLs of error messages', () => {
    const { log, lines } = capture();
    log.error('store.lost', {
      password: 'hunter2',
      request: { headers: { authorization: 'Bearer hunter2' } },
      err: new Error('cannot reach postgres://moorage:hunter2@localhost:5432/moorage'),
    });
    const text = JSON.stringify(lines());
    expect(text).not.toContain('hunter2');
    expect(text).toContain('postgres://[secret]@localhost:5432/moorage');
  });
});
