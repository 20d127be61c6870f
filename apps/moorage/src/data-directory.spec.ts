import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { holdDataDirectory } from './data-directory.js';

describe('the data directory', () => {
  let parent: string;
  let dataDir: string;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'moorage-dir-'));
    dataDir = join(parent, 'data');
  });

  afterEach(async () => {
    await rm(parent, { recursive: true, force: true });
  });

  it('is made, cannot be listed by others, and is empty again when released', async () => {
    const held = await holdDataDirectory(dataDir);
    expect((await stat(dataDir)).mode & 0o066).toBe(0);
    await held.release();
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('is held by one at a time, and the refusal names the other process', async () => {
    const held = await holdDataDirectory(dataDir);
    await expect(holdDataDirectory(dataDir)).rejects.toMatchObject({
      code: 'data-dir.in-use',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await held.release();
    await (await holdDataDirectory(dataDir)).release();
  });

  it('goes to exactly one of many that come at once, also when a crash left its file behind', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    await (await holdDataDirectory(dataDir)).release();
    await writeFile(join(dataDir, 'moorage.pid'), `${child.pid} 1\n`);
    const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => holdDataDirectory(dataDir)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('is not held by a process that has got the number of one that is gone', async () => {
    await (await holdDataDirectory(dataDir)).release();
    await writeFile(join(dataDir, 'moorage.pid'), `${process.pid} 1\n`);
    await expect(holdDataDirectory(dataDir)).resolves.toBeDefined();
  });

  it('that cannot be made is refused with the name of its setting', async () => {
    await writeFile(join(parent, 'file'), '');
    await expect(holdDataDirectory(join(parent, 'file'))).rejects.toMatchObject({
      code: 'data-dir.unusable',
    });
  });
});
