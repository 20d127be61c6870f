/** What is done to the server: its processes are killed with SIGKILL, PostgreSQL is stopped and let go on, memory is watched. */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAlive, startProduct, type Bootstrap, type Product } from '../support/product.js';
import { pause } from './clients.js';

export type Target = 'broker' | 'api' | 'postgres';

/** One thing that was done, until the server was whole again. */
interface Disturbance {
  readonly target: Target;
  readonly isKill: boolean;
  readonly at: number;
  until: number;
}

/** Since the server was last disturbed: while its PostgreSQL dies every few seconds, the api cannot become ready. */
const wholeWithinMs = 60_000;

export class Chaos {
  readonly #product: Product;
  readonly #ready: readonly string[];
  readonly disturbances: Disturbance[] = [];
  /** Infinity while PostgreSQL stands still. */
  #lastDisturbedAt = Date.now();
  /** Largest resident set of any broker process, in MiB. */
  brokerMiB = 0;
  readonly #watching: NodeJS.Timeout;

  constructor(product: Product, { api }: Bootstrap, opsPort: number) {
    this.#product = product;
    this.#ready = [`${api}/readyz`, `http://127.0.0.1:${opsPort}/readyz`];
    this.#watching = setInterval(() => this.#watch(), 200);
  }

  get kills(): Record<Target, number> {
    const of = (name: Target) =>
      this.disturbances.filter(({ target, isKill }) => isKill && target === name).length;
    return { broker: of('broker'), api: of('api'), postgres: of('postgres') };
  }

  /** False: it is dead already, and not back yet. */
  async kill(target: Target): Promise<boolean> {
    const pid = this.#product.childPid(target);
    if (!isAlive(pid)) return false;
    const done = this.#begin(target, true);
    process.kill(pid, 'SIGKILL');
    while (this.#product.childPid(target) === pid) await pause(20);
    void (target === 'api' ? this.whole() : this.serving()).finally(done);
    return true;
  }

  /** PostgreSQL stands still, every process of it. */
  async freeze(): Promise<() => void> {
    const postmaster = this.#product.childPid('postgres');
    const done = this.#begin('postgres', false);
    this.#lastDisturbedAt = Infinity;
    process.kill(postmaster, 'SIGSTOP'); // first: no new ones from here on
    const pids = [postmaster, ...(await childrenOf(postmaster))];
    for (const pid of pids.slice(1)) signal(pid, 'SIGSTOP');
    return () => {
      for (const pid of pids) signal(pid, 'SIGCONT');
      this.#lastDisturbedAt = Date.now();
      void this.serving().finally(done);
    };
  }

  /** Resolves when api and broker say that they are ready. */
  whole(): Promise<void> {
    return this.#untilReady(this.#ready);
  }

  /** Resolves when the broker says that it is ready. */
  serving(): Promise<void> {
    return this.#untilReady(this.#ready.slice(1));
  }

  async #untilReady(urls: readonly string[]): Promise<void> {
    for (const url of urls) {
      while (!(await isReady(url))) {
        if (Date.now() > this.#lastDisturbedAt + wholeWithinMs)
          throw new Error(`${url} is not ready; the server said:\n${this.#product.output()}`);
        await pause(100);
      }
    }
  }

  /** The api's deaths do not count: no message passes it. */
  disturbedBetween(from: number, to: number): boolean {
    return this.disturbances.some(({ target, at, until }) => target !== 'api' && at <= to && until >= from);
  }

  /** Since then, for so long without a break until now. */
  hasBeenCalm(since: number, ms: number): boolean {
    const now = Date.now();
    return now - since >= ms && !this.disturbedBetween(now - ms, now);
  }

  brokerDiedBetween(from: number, to: number): boolean {
    return this.disturbances.some(
      (one) => one.isKill && one.target === 'broker' && one.at <= to && one.at >= from,
    );
  }

  end(): void {
    clearInterval(this.#watching);
  }

  #begin(target: Target, isKill: boolean): () => void {
    const disturbance: Disturbance = { target, isKill, at: Date.now(), until: Infinity };
    this.disturbances.push(disturbance);
    this.#lastDisturbedAt = Math.max(this.#lastDisturbedAt, disturbance.at);
    return () => {
      disturbance.until = Date.now();
    };
  }

  #watch(): void {
    try {
      const status = readFileSync(`/proc/${this.#product.childPid('broker')}/status`, 'utf8');
      this.brokerMiB = Math.max(this.brokerMiB, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // Between two of them; or this system has no /proc, and the bound is not checked.
    }
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) found.push(Number(pid));
  }
  return found;
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

// ---------------------------------------------------------------------------------------------------- an installation

/** The package this file belongs to, compiled or not. */
const packageRoot = (() => {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
})();

/** A copy of what is built, so that nobody's next build changes what runs here, and so that it can be broken on purpose. */
export async function installCopy(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await cp(join(packageRoot, 'package.json'), join(directory, 'package.json'));
  await cp(join(packageRoot, 'dist'), join(directory, 'dist'), { recursive: true });
  for (const name of ['node_modules', 'prisma'])
    await symlink(join(packageRoot, name), join(directory, name));
}

/**
 * The mistake that all this is about: the writer says "stored" when it is asked to store. Throws where the place is not found,
 * so that a changed writer cannot make the proof an empty one.
 */
export async function acknowledgeBeforeCommit(directory: string): Promise<void> {
  const file = join(directory, 'dist/libs/store/broker/writer.js');
  const text = await readFile(file, 'utf8');
  const place = 'this.#queue.push(operation);';
  if (text.split(place).length !== 2) throw new Error(`${place} is not, or not once, in ${file}`);
  const early = `if (['append', 'telemetry', 'retain', 'forget', 'receive'].includes(operation.kind)) {
      const { stored } = operation;
      operation = { ...operation, stored: undefined };
      setImmediate(() => stored?.());
    }
    ${place}`;
  await writeFile(file, text.replace(place, early));
}

export async function startInstalled(
  directory: string,
  dataDir: string,
): Promise<[Product, Bootstrap, number]> {
  const product = startProduct(dataDir, {}, directory);
  const bootstrap = await product.ready;
  const opsPort = Number(/broker\.listening.*\bops=(\d+)/.exec(product.output())?.[1]);
  return [product, bootstrap, opsPort];
}
