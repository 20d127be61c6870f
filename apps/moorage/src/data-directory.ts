import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, StartupError } from './startup-error.js';

/** Holds the data directory for this process until `release`. */
export interface HeldDirectory {
  release(): Promise<void>;
}

/**
 * Makes the data directory, private, and takes it: one product per directory. Who holds it stands in `moorage.pid`, with the
 * time that process started, so that a number which the system has given to somebody else since does not count.
 */
export async function holdDataDirectory(dataDir: string): Promise<HeldDirectory> {
  await makePrivate(dataDir);
  const file = join(dataDir, 'moorage.pid');
  const ours = `${process.pid} ${await startTimeOf(process.pid)}\n`;
  // Twice at most: once to find what a crash left behind, once after it is out of the way.
  for (let attempt = 0; attempt < 2; attempt += 1) {
    if (await createWhole(file, ours)) return { release: () => removeIfStill(file, ours) };
    const holder = await readIfThere(file);
    if (holder !== undefined && (await isAlive(holder))) throw alreadyHeld(dataDir, holder);
    if (holder !== undefined) await removeIfStill(file, holder);
  }
  throw alreadyHeld(dataDir, (await readIfThere(file)) ?? '?');
}

async function makePrivate(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true });
    // Root runs PostgreSQL as another user, who has to get through to a directory of its own; nobody can list this one.
    await chmod(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
  } catch (cause) {
    throw new StartupError('data-dir.unusable', `MOORAGE_DATA_DIR: ${dataDir} cannot be made private`, {
      cause,
    });
  }
}

function alreadyHeld(dataDir: string, holder: string): StartupError {
  const pid = holder.split(' ')[0];
  return new StartupError(
    'data-dir.in-use',
    `${dataDir} is in use by another Moorage (process ${pid}); stop it, or set MOORAGE_DATA_DIR to another directory`,
  );
}

/** False where the file exists. Written beside it and linked, so that nobody ever reads half of it. */
async function createWhole(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, text, { mode: 0o600 });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Moved away first and looked at then: two starts at once must not remove each other's fresh file for the stale one. */
async function removeIfStill(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  const moved = await readFile(aside, 'utf8');
  if (moved !== text) await createWhole(file, moved);
  await rm(aside, { force: true });
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function isAlive(holder: string): Promise<boolean> {
  const [pid = '', startTime = ''] = holder.trim().split(' ');
  if (!/^\d+$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    // EPERM: there is such a process, and it is another user's.
    return hasCode(error, 'EPERM');
  }
  return startTime === '-' || startTime === (await startTimeOf(Number(pid)));
}

/** In clock ticks since the machine started, from Linux's /proc; '-' where there is none. */
async function startTimeOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command, in brackets, may hold spaces; starttime is the 20th field after it (proc_pid_stat(5), field 22).
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
  } catch {
    return '-';
  }
}
