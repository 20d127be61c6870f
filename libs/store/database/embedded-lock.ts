/** One process at a time may make, start and stop the cluster of a data directory. */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { EmbeddedPostgresError } from './embedded-error.js';
import { hasCode } from './error-code.js';

/**
 * Takes the lock or rejects with `postgres.in-use`. Node has no flock, so the lock is a file that names its holder: made whole under
 * another name and linked (the first link wins), void when its holder is no more. Resolves to what gives it back.
 */
export async function takeLock(file: string): Promise<() => Promise<void>> {
  const mine = `${process.pid} ${await startOf(process.pid)} ${randomBytes(8).toString('hex')}\n`;
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    while (!(await tryLink(draft, file))) {
      const held = await read(file);
      if (held === undefined) continue;
      const [pid, start] = held.trim().split(' ');
      if (await isHeldBy(Number(pid), start ?? ''))
        throw new EmbeddedPostgresError(
          'postgres.in-use',
          `another Moorage (process ${pid}) runs on this data directory; stop it first, or use another MOORAGE_DATA_DIR (${file})`,
        );
      await removeStale(file, held);
    }
  } finally {
    await rm(draft, { force: true });
  }
  return async () => {
    if ((await read(file)) === mine) await rm(file, { force: true });
  };
}

/** Two may find the same stale file: it is moved aside first, and put back should it turn out to be somebody's new one. */
async function removeStale(file: string, expected: string): Promise<void> {
  const aside = `${file}.stale.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  if ((await read(aside)) !== expected) await tryLink(aside, file);
  await rm(aside, { force: true });
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

async function isHeldBy(pid: number, start: string): Promise<boolean> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (!hasCode(error, 'EPERM')) return false;
  }
  return (await startOf(pid)) === start;
}

/** When the process started, where /proc tells: a process number alone is given out again. */
async function startOf(pid: number): Promise<string> {
  const status = await read(`/proc/${pid}/stat`);
  // The name in parentheses may hold spaces; field 22 of the whole is the 20th after it.
  return status?.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}
