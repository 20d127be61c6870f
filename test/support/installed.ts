/** Programs that may be installed, and a line for the reader of a test run where one is not. */
import { spawnSync } from 'node:child_process';

/** Whether the program can be started. */
export function isInstalled(program: string, parameters: readonly string[] = ['--help']): boolean {
  const { error, status } = spawnSync(program, parameters, { stdio: 'ignore' });
  return error === undefined && status !== null;
}

/** Jest says only how many tests it skips, not which and why. */
export function tellSkipped(what: string): void {
  process.stderr.write(`skipped: ${what}\n`);
}
