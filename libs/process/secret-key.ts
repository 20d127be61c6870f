import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, decodeKey, type Settings } from './settings.js';

/**
 * The key under which generated secrets are hashed: MOORAGE_SECRET_KEY, else `<data dir>/secret.key`, made on the first call
 * (mode 0600). Losing it makes every stored credential useless, so a file that cannot be read is an error and never replaced.
 */
export async function loadSecretKey(settings: Pick<Settings, 'dataDir' | 'secretKey'>): Promise<Buffer> {
  if (settings.secretKey !== undefined) return settings.secretKey.reveal();
  const file = join(settings.dataDir, 'secret.key');
  const existing = await readKeyFile(file);
  if (existing !== undefined) return existing;
  await mkdir(settings.dataDir, { recursive: true, mode: 0o700 });
  await createKeyFile(file);
  const made = await readKeyFile(file);
  if (made === undefined) throw new Error(`${file} vanished while it was being made`);
  return made;
}

/** Several processes may get here at once: each writes its own file whole, and the first link decides. */
async function createKeyFile(file: string): Promise<void> {
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flush: true });
  try {
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function readKeyFile(file: string): Promise<Buffer | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const key = decodeKey(text.trim());
  if (key !== undefined) return key;
  throw new ConfigError('config.invalid', 'MOORAGE_DATA_DIR', `${file} does not hold a key of 32 bytes`);
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
