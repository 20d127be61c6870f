/** The real product, as `npm start` runs it, on free ports in a data directory of the test's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface Place {
  readonly host: string;
  readonly port: number;
  readonly ca?: string;
}

export interface Bootstrap {
  readonly api: string;
  readonly adminKey: string;
  readonly tenant: string;
  readonly tenantId: string;
  readonly mqtt: Place;
  readonly mqtts: Place;
  readonly ws: Place;
  readonly wss: Place;
  readonly devices: readonly { id: string; clientId: string; username: string; password: string }[];
  readonly open: { readonly username: string; readonly password: string };
}

export interface Product {
  readonly pid: number;
  /** Everything it has printed. */
  output(): string;
  /** Resolves when it runs and everything is filled in; rejects when it ends before. */
  readonly ready: Promise<Bootstrap>;
  /** Resolves to the exit code. */
  readonly ended: Promise<number | null>;
  stop(): Promise<number | null>;
  /** The number of the latest process of this name. */
  childPid(name: 'api' | 'broker' | 'postgres'): number;
}

export const freePorts = Object.fromEntries(
  ['HTTP', 'MQTT', 'MQTTS', 'WS', 'WSS', 'OPS', 'POSTGRES'].map((name) => [`MOORAGE_${name}_PORT`, '0']),
);

/** `installation`: where `dist` is, if it is another than this repository's. */
export function startProduct(
  dataDir: string,
  environment: Record<string, string> = {},
  installation = root,
): Product {
  const child = spawn(process.execPath, [join(installation, 'dist/apps/moorage/src/main.js')], {
    env: { PATH: process.env['PATH'], ...freePorts, MOORAGE_DATA_DIR: dataDir, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ready = new Promise<Bootstrap>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      output += chunk.toString();
      if (!output.includes('Moorage is running.')) return;
      readFile(join(dataDir, 'bootstrap.json'), 'utf8').then(
        (text) => resolve(JSON.parse(text) as Bootstrap),
        reject,
      );
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.once('close', () => reject(new Error(`it ended before it was ready:\n${output}`)));
  });
  // Who only wants to see it end does not wait for it.
  ready.catch(() => undefined);
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ready,
    ended,
    async stop() {
      child.kill('SIGINT');
      return ended;
    },
    childPid(name) {
      const started =
        name === 'postgres' ? /postgres\.started pid=(\d+)/g : new RegExp(`child=${name} pid=(\\d+)`, 'g');
      return Number([...output.matchAll(started)].at(-1)?.[1]);
    },
  };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks until the answer is as wished; fails with the last answer when it never is. */
export async function eventually<T>(ask: () => Promise<T>, isWished: (answer: T) => boolean): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (isWished(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
