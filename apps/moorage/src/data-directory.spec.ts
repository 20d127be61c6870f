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

  it('is made private, and is empty again when released', async () => {
    const release = await holdDataDirectory(dataDir);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    await release();
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('is held by one at a time, and the refusal names the other process', async () => {
    const release = await holdDataDirectory(dataDir);
    await expect(holdDataDirectory(dataDir)).rejects.toThrow(`process ${process.pid}`);
    await release();
    await expect(holdDataDirectory(dataDir)).resolves.toBeDefined();
  });

  it('is made with the folders above it', async () => {
    const release = await holdDataDirectory(join(parent, 'a', 'b', 'data'));
    expect((await stat(join(parent, 'a', 'b', 'data'))).isDirectory()).toBe(true);
    await release();
  });

  it('is refused, and not waited for, where the file system has no room for it', async () => {
    await expect(holdDataDirectory('/proc/moorage/data')).rejects.toMatchObject({
      code: 'data-dir.unusable',
    });
  });

  it.each(['file', 'file/data'])('is refused, with the name of its setting, where it is %s', async (path) => {
    await writeFile(join(parent, 'file'), '');
    await expect(holdDataDirectory(join(parent, path))).rejects.toMatchObject({
      code: 'data-dir.unusable',
      message: `MOORAGE_DATA_DIR: ${join(parent, path)} is not a directory`,
    });
  });
});
