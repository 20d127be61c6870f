// The PostgreSQL servers of test runs: each in its own directory, named for the process that ran the tests.
import { readFileSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export async function endAbandonedServers() {
  for (const name of readdirSync(tmpdir())) {
    const runner = /^moorage-test-(\d+)-/.exec(name)?.[1];
    if (runner === undefined || isAlive(Number(runner))) continue;
    // Another user's is that user's to clear away.
    if (isOurs(join(tmpdir(), name))) await endServer(join(tmpdir(), name));
  }
}

/** Stops the server in the directory, if there is one, and removes the directory. */
export async function endServer(directory) {
  const pid = Number(read(join(directory, 'postgres', 'postmaster.pid'))?.split('\n')[0]);
  if (pid > 0 && isServerOf(pid, directory)) {
    process.kill(pid, 'SIGINT');
    for (let waits = 0; isAlive(pid); waits += 1) {
      if (waits === 500) process.kill(pid, 'SIGQUIT');
      await sleep(20);
    }
  }
  rmSync(directory, { recursive: true, force: true });
}

/** PostgreSQL works in its data directory; the number alone may be another program's by now. */
function isServerOf(pid, directory) {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === join(directory, 'postgres');
  } catch (error) {
    return error.code === 'ENOENT' && process.platform !== 'linux' && isAlive(pid);
  }
}

function isOurs(directory) {
  const owner = statSync(directory, { throwIfNoEntry: false })?.uid;
  return owner !== undefined && owner === process.getuid?.();
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
