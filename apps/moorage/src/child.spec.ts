import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '#process';
import { superviseChild, type Child } from './child.js';

/** Answers its process number on the port it is given; ends when told to. */
const server = `
  import { createServer } from 'node:http';
  createServer((_, response) => response.end(String(process.pid))).listen(Number(process.env.PORT), '127.0.0.1');
  process.on('disconnect', () => process.exit(0));
  console.log('up');
`;

describe('a supervised child', () => {
  let dir: string;
  let port: number;
  let lines: string[];
  /** The supervisor's log. */
  let told: string[];
  let child: Child;

  async function supervise(script: string): Promise<Child> {
    const entry = join(dir, 'child.mjs');
    await writeFile(entry, script);
    child = superviseChild({
      name: 'child',
      entry,
      env: { ...process.env, PORT: `${port}` },
      readyUrl: `http://127.0.0.1:${port}/`,
      log: createLogger('test', 'info', { write: (line) => void told.push(line) }),
      print: (line) => void lines.push(line),
    });
    return child;
  }

  const events = (name: string): { event: string; inMs: number }[] =>
    told.map((line) => JSON.parse(line)).filter(({ event }) => event === name);

  const answer = async () => Number(await (await fetch(`http://127.0.0.1:${port}/`)).text());

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'moorage-child-'));
    lines = [];
    told = [];
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    ({ port } = probe.address() as { port: number });
    probe.close();
    await once(probe, 'close');
  });

  afterEach(async () => {
    await child.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('is started, waited for, heard and stopped', async () => {
    await (await supervise(server)).start();
    const { pid } = child;
    expect(await answer()).toBe(pid);
    expect(lines).toEqual(['up']);
    await child.stop();
    expect(() => process.kill(pid!, 0)).toThrow('ESRCH');
  });

  it('comes back after kill -9', async () => {
    await (await supervise(server)).start();
    const first = child.pid!;
    process.kill(first, 'SIGKILL');
    let now = first;
    while (now === first) now = await answer().catch(() => first);
    expect(now).toBe(child.pid);
  });

  it('is started again within a second however often it is killed, once it was ready', async () => {
    await (await supervise(server)).start();
    for (let n = 1; n <= 7; n++) {
      process.kill(child.pid!, 'SIGKILL');
      while (events('child.ready').length < n) await setTimeout(20);
      expect(await answer()).toBe(child.pid);
    }
    const pauses = events('child.restarting').map(({ inMs }) => inMs);
    expect(pauses).toHaveLength(7);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000);
  });

  it('that cannot start ends the start, with its words heard', async () => {
    await supervise(`console.error('no such thing'); process.exit(1);`);
    await expect(child.start()).rejects.toMatchObject({ code: 'child.cannot-start' });
    expect(lines).toEqual(['no such thing', 'no such thing', 'no such thing']);
  });
});
