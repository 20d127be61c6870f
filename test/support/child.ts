/** Runs one of our TypeScript programs as a process of its own, without a build. */
import { fork, type ChildProcess, type ForkOptions } from 'node:child_process';
import { join } from 'node:path';

/** `program` is a file of this folder, of this clone or of another one. */
export function forkProgram(
  program: string,
  parameters: readonly string[],
  options: ForkOptions = {},
  root = join(import.meta.dirname, '..', '..'),
): ChildProcess {
  const here = join(root, 'test', 'support');
  return fork(join(here, program), parameters, {
    ...options,
    // Not Jest's own: the child is a plain Node process.
    execArgv: ['--no-warnings', '--import', join(here, 'typescript.js')],
    env: { PATH: process.env['PATH'], ...options.env },
  });
}

/** The next message from the child; rejects if it ends without one. */
export async function nextMessage<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code, signal) => reject(new Error(`the process ended: ${code ?? signal}`)));
  });
}

export async function ended(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
}
