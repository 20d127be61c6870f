import { readFileSync } from 'node:fs';

/**
 * When the command that led here was given, in milliseconds since the epoch: the start of the `npm` above us where there is
 * one, so that the build it runs first is counted, else our own. To a hundredth of a second (the kernel's clock tick).
 */
export function commandStartedAt(): number {
  const own = performance.timeOrigin;
  try {
    const bootedAt = Date.now() - Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
    // npm → sh → node; more layers than that are somebody else's.
    for (let pid = process.ppid, layer = 0; pid > 1 && layer < 3; layer += 1) {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // USER_HZ is 100 on every Linux that Node runs on.
      if (stat.includes('(npm')) return Math.min(own, bootedAt + Number(fields[19]) * 10);
      pid = Number(fields[1]);
    }
  } catch {
    // No /proc: our own start is what there is.
  }
  return own;
}
