import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Secret } from './secret.js';
import { loadSecretKey } from './secret-key.js';

describe('the secret key', () => {
  let dataDir: string;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'moorage-key-'));
  });

  afterEach(async () => {
    await rm(dataDir, { recursive: true, force: true });
  });

  it('is made once, whoever comes first, readable by its owner only', async () => {
    const callers = Array.from({ length: 8 }, () => loadSecretKey({ dataDir, secretKey: undefined }));
    const keys = await Promise.all(callers);
    expect(keys[0]).toHaveLength(32);
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
    expect((await stat(join(dataDir, 'secret.key'))).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['secret.key']);
  });

  it('comes from the setting where there is one, and then leaves no file', async () => {
    const given = Buffer.alloc(32, 1);
    expect(await loadSecretKey({ dataDir, secretKey: new Secret(given) })).toEqual(given);
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('is never replaced when its file is damaged', async () => {
    await writeFile(join(dataDir, 'secret.key'), 'half a k');
    await expect(loadSecretKey({ dataDir, secretKey: undefined })).rejects.toMatchObject({
      code: 'config.invalid',
    });
  });
});
