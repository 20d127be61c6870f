/** What a broker costs, by the kernel's own count. Linux: it is read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

// USER_HZ and the page size, which every Linux that Node runs on shows to programs as these.
const ticksPerSecond = 100;
const pageBytes = 4096;

/** Processor time, user and system, that these processes have used so far. One that has ended counts no more. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statOf(pid);
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks / ticksPerSecond;
}

/** Until the processes have next to nothing to do, for a while; or until it has lasted too long. */
export async function quiet(pids: readonly number[], longestMs = 60_000): Promise<void> {
  const deadline = performance.now() + longestMs;
  for (let last = NaN; performance.now() < deadline;) {
    const now = cpuSeconds(pids);
    if (now - last < 0.1) return;
    last = now;
    await sleep(500);
  }
}

/** How long these processes' main threads ran: the kernel's own nanoseconds, for what is shorter than its ticks. */
export function ranSeconds(pids: readonly number[]): number {
  return scheduled(pids, 0);
}

/** From now on: how long the main threads ran of all processes that there are when it is asked. */
export function ranSecondsSince(pidsNow: () => readonly number[]): () => number {
  const before = new Map(pidsNow().map((pid) => [pid, ranSeconds([pid])]));
  return () => pidsNow().reduce((seconds, pid) => seconds + ranSeconds([pid]) - (before.get(pid) ?? 0), 0);
}

/** How long these processes' main threads could have run and had no core: time that is the machine's load, not their own. */
export function waitedSeconds(pids: readonly number[]): number {
  return scheduled(pids, 1);
}

function scheduled(pids: readonly number[], field: number): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[field] ?? 0);
    } catch {
      // it has ended
    }
  }
  return nanoseconds / 1e9;
}

/** Resident memory, of each process on its own: what several share is counted for each. */
export function residentBytes(pids: readonly number[]): number {
  let pages = 0;
  for (const pid of pids) pages += Number(statOf(pid)[21] ?? 0);
  return pages * pageBytes;
}

/** The process, its children and theirs. */
export function treeOf(pid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(statOf(Number(name))[1] ?? 0);
    const siblings = childrenOf.get(parent);
    if (siblings === undefined) childrenOf.set(parent, [Number(name)]);
    else siblings.push(Number(name));
  }
  const tree = [pid];
  for (let at = 0; at < tree.length; at++) tree.push(...(childrenOf.get(tree[at] ?? 0) ?? []));
  return tree;
}

/** The fields of /proc/PID/stat from the third on: the second, a name in parentheses, may hold anything. */
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // it has ended
  }
}
