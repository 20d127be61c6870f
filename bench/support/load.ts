/** Load on a broker by a client in a process of its own: the C program that MQTTBENCH names, or ours beside this file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What the client prints; only what a mode measures is there. Rates a second, times in ms. */
export type Figures = Readonly<Record<string, number>> & { readonly faults: number };

/** Where, and as whom. */
export interface Target {
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  /** The processes whose processor time and memory are counted. */
  readonly pids: readonly number[];
}

const cClient = process.env['MQTTBENCH'];

/** For the heading: which client it was. */
export const clientName = cClient === undefined ? 'the client of bench/support (Node)' : 'a client in C';

/** `options` as on a command line: `--pubs 50 --qos-pub 1`. */
export async function runLoad(mode: 'pubsub' | 'connect', target: Target, options: string): Promise<Figures> {
  const [program, ...before] =
    cClient === undefined ? [process.execPath, join(import.meta.dirname, 'client.js')] : [cClient];
  const login =
    target.username === undefined ? [] : ['--user', target.username, '--pass', target.password ?? ''];
  const child = spawn(
    program,
    [
      ...before,
      mode,
      ...options.split(/\s+/),
      '--port',
      String(target.port),
      '--broker-pid',
      target.pids.join(','),
      ...login,
      '--json',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  let trouble = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (trouble += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  const line = output.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{'))
    throw new Error(`the client failed (${code ?? 'killed'}): ${trouble.slice(-500)}`);
  return { ...(JSON.parse(line) as Record<string, number>), faults: code === 0 ? 0 : 1 };
}
