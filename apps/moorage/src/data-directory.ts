import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { takeLock } from '#store';
import { StartupError } from './startup-error.js';

/**
 * Makes the data directory, private, and takes it: one product per directory, whatever database it stands on. Rejects with
 * the number of the process that has it. Resolves to what gives it back.
 */
export async function holdDataDirectory(dataDir: string): Promise<() => Promise<void>> {
  try {
    await mkdir(dataDir, { recursive: true });
    // Where root starts PostgreSQL as another user, that one is let through later, without a right to list.
    await chmod(dataDir, 0o700);
  } catch (cause) {
    throw new StartupError('data-dir.unusable', `MOORAGE_DATA_DIR: ${dataDir} cannot be made private`, {
      cause,
    });
  }
  return takeLock(join(dataDir, 'moorage.lock'));
}
