import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { takeLock } from '#store';
import { hasCode, StartupError } from './startup-error.js';

/**
 * Makes the data directory, private, and takes it: one product per directory, whatever database it stands on. Rejects with
 * the number of the process that has it. Resolves to what gives it back.
 */
export async function holdDataDirectory(dataDir: string): Promise<() => Promise<void>> {
  try {
    await makeDirectory(dataDir);
    // Where root starts PostgreSQL as another user, that one is let through later, without a right to list.
    await chmod(dataDir, 0o700);
  } catch (cause) {
    throw new StartupError('data-dir.unusable', `MOORAGE_DATA_DIR: ${dataDir} ${whyUnusable(cause)}`, {
      cause,
    });
  }
  return takeLock(join(dataDir, 'moorage.lock'));
}

function whyUnusable(cause: unknown): string {
  if (hasCode(cause, 'EEXIST') || hasCode(cause, 'ENOTDIR')) return 'is not a directory';
  if (hasCode(cause, 'EACCES') || hasCode(cause, 'EPERM')) return 'is out of reach for this user';
  if (hasCode(cause, 'EROFS')) return 'is on a file system that is read-only';
  return 'cannot be made, or made private';
}

/**
 * With its parents, one by one: Node's own recursive mkdir never ends where the file system answers ENOENT for a directory
 * whose parent exists, as /proc does.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (hasCode(error, 'EEXIST') && (await isDirectory(path))) return;
    const parent = dirname(path);
    if (!hasCode(error, 'ENOENT') || parent === path || (await isDirectory(parent))) throw error;
    await makeDirectory(parent);
    await mkdir(path);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
