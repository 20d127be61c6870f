import { spawn } from 'node:child_process';
import { once } from 'node:events';
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

  it('does not keep a process from ending when nobody reads it any more', async () => {
    const source = `
      import { createLogger } from ${JSON.stringify(new URL('./logger.ts', import.meta.url).href)};
      const log = createLogger('child', 'info');
      process.stdin.once('data', () => {
        for (let line = 0; line < 3; line++) log.info('nobody.reads', { line });
        process.exit(7);
      });
      process.stderr.write('ready');
    `;
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '--eval', source], {
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const ended = once(child, 'exit');
    try {
      await once(child.stderr, 'data');
      child.stdout.destroy();
      child.stdin.write('go');
      expect((await ended)[0]).toBe(7);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
