import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '#process';
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
  let child: Child;

  async function supervise(script: string): Promise<Child> {
    const entry = join(dir, 'child.mjs');
    await writeFile(entry, script);
    child = superviseChild({
      name: 'child',
      entry,
      env: { ...process.env, PORT: `${port}` },
      readyUrl: `http://127.0.0.1:${port}/`,
      log: silentLogger(),
      print: (line) => void lines.push(line),
    });
    return child;
  }

  const answer = async () => Number(await (await fetch(`http://127.0.0.1:${port}/`)).text());

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'moorage-child-'));
    lines = [];
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

  it('comes back within seconds however often it is killed, once it was ready', async () => {
    await (await supervise(server)).start();
    for (let n = 0; n < 6; n++) {
      const { pid } = child;
      while ((await answer().catch(() => undefined)) !== pid) await setTimeout(20);
      await setTimeout(150); // it has been seen to be ready
      process.kill(pid!, 'SIGKILL');
      while (child.pid === pid || child.pid === undefined) await setTimeout(20);
    }
    await setTimeout(150);
    const killed = performance.now();
    while ((await answer().catch(() => undefined)) !== child.pid) await setTimeout(20);
    const last = child.pid!;
    process.kill(last, 'SIGKILL');
    while ((await answer().catch(() => last)) === last) await setTimeout(20);
    expect(performance.now() - killed).toBeLessThan(3_000);
  }, 30_000);

  it('that cannot start ends the start, with its words heard', async () => {
    await supervise(`console.error('no such thing'); process.exit(1);`);
    await expect(child.start()).rejects.toMatchObject({ code: 'child.cannot-start' });
    expect(lines).toEqual(['no such thing', 'no such thing', 'no such thing']);
  });
});
