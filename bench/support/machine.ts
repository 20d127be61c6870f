/** What the numbers were measured on: said with them, without names of hosts or places. */
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

export function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${availableParallelism()} cores (${model}), ${gib} GiB, Linux ${release().replace(/-.*/, '')}, Node ${process.versions.node}`;
}

/** Runnable processes: over the number of cores, others are waiting too. */
export function load(): string {
  return (loadavg()[0] ?? NaN).toFixed(1);
}

export interface Disk {
  readonly type: string;
  readonly device: string;
}

/** The file system a directory is on. Throws where that is memory: fsync means nothing there. */
export async function diskOf(directory: string): Promise<Disk> {
  const mounts = await readFile('/proc/mounts', 'utf8').catch(() => '');
  let found = { type: 'unknown', device: 'unknown', path: '' };
  for (const line of mounts.split('\n')) {
    const [device = '', path = '', type = ''] = line.split(' ');
    const leads = path === '/' || directory === path || directory.startsWith(`${path}/`);
    if (path !== '' && leads && path.length >= found.path.length) found = { type, device, path };
  }
  if (/^(tmpfs|ramfs|devtmpfs)$/.test(found.type))
    throw new Error(`${directory} is on ${found.type}: fsync means nothing there; name another with --dir`);
  return found;
}
