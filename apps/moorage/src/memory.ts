import { readdir, readFile } from 'node:fs/promises';

export interface MemoryInUse {
  readonly processes: number;
  readonly rssBytes: number;
  /** Pages that several processes share counted once; what the machine would get back. */
  readonly pssBytes: number;
}

/** Of this process and all its descendants. Undefined where the system has no /proc. */
export async function memoryInUse(): Promise<MemoryInUse | undefined> {
  const parents = await parentsByPid();
  if (parents.size === 0) return undefined;
  const family = [...parents.keys()].filter((pid) => descendsFromUs(pid, parents));
  const each = await Promise.all(family.map(memoryOf));
  const known = each.filter((memory) => memory !== undefined);
  return {
    processes: known.length,
    rssBytes: known.reduce((sum, { rss }) => sum + rss, 0),
    pssBytes: known.reduce((sum, { pss }) => sum + pss, 0),
  };
}

function descendsFromUs(pid: number, parents: ReadonlyMap<number, number>): boolean {
  for (let at: number | undefined = pid; at !== undefined; at = parents.get(at)) {
    if (at === process.pid) return true;
  }
  return false;
}

async function parentsByPid(): Promise<Map<number, number>> {
  const parents = new Map<number, number>();
  const names = await readdir('/proc').catch(() => []);
  for (const name of names.filter((entry) => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // After the command in brackets: state, parent (proc_pid_stat(5)).
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    if (Number.isInteger(parent)) parents.set(Number(name), parent);
  }
  return parents;
}

/** Undefined for a process that is gone by now, or that another user runs. */
async function memoryOf(pid: number): Promise<{ rss: number; pss: number } | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  const rss = kibibytes(text, 'Rss');
  const pss = kibibytes(text, 'Pss');
  return rss === undefined || pss === undefined ? undefined : { rss, pss };
}

function kibibytes(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
  return found === undefined ? undefined : Number(found) * 1024;
}
