import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Logger } from '#process';
import { StartupError } from './startup-error.js';

export interface ChildOptions {
  readonly name: string;
  /** The script Node runs. */
  readonly entry: string;
  readonly env: NodeJS.ProcessEnv;
  /** Of Node's own, e.g. how much memory it may hold. */
  readonly flags?: readonly string[];
  /** Answers 200 when the child may be used. */
  readonly readyUrl: string;
  readonly log: Logger;
  /** Takes the child's lines. */
  readonly print: (line: string) => void;
}

/** A process of ours that is started again whenever it ends by itself. */
export interface Child {
  readonly pid: number | undefined;
  /** Resolves when it is ready for the first time; rejects where it cannot be started at all. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

// First restart after a tenth of a second: devices notice little. Doubled up to ten seconds, so that a child which cannot
// start does not eat the machine; up to one where it was ready, for whoever is killed time and again is waited for each time.
const firstBackOffMs = 100;
const longestBackOffMs = 10_000;
const longestBackOffOnceReadyMs = 1_000;
// Having run this long, it starts from the beginning again.
const stableAfterMs = 30_000;
// How often a child may fail before its first readiness until the whole start is given up.
const firstStartAttempts = 3;
const readinessPollMs = 50;
const readinessDeadlineMs = 30_000;
// Longer than the ten seconds a child gives its own hooks.
const killAfterMs = 12_000;

export function superviseChild(options: ChildOptions): Child {
  const { name, log } = options;
  let current: ChildProcess | undefined;
  let restartTimer: NodeJS.Timeout | undefined;
  let stopping = false;
  let wasReady = false;
  /** The child that runs now. */
  let isReady = false;
  let failures = 0;
  /** In a row, before it was ready. */
  let failedStarts = 0;
  let failStart: (error: Error) => void = () => {};
  const waiting = new AbortController();
  let watching = new AbortController();

  function launch(): void {
    const launchedAt = performance.now();
    const child = spawn(process.execPath, ['--enable-source-maps', ...(options.flags ?? []), options.entry], {
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A session of its own: Ctrl-C goes to the supervisor alone, which stops its children in order. Should the
      // supervisor die, the closed IPC channel tells them.
      detached: true,
    });
    current = child;
    child.once('error', (err) => log.error('child.spawn-failed', { child: name, err }));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', options.print);
    }
    child.once('close', (code, signal) => {
      current = undefined;
      if (!stopping) ended(code, signal, performance.now() - launchedAt);
    });
    log.info('child.started', { child: name, pid: child.pid });
  }

  function launchAgain(): void {
    launch();
    watching = new AbortController();
    untilReady(name, options.readyUrl, watching.signal).then(
      isBack,
      () => undefined, // it has ended, or takes its time: that is for /readyz to say
    );
  }

  function isBack(): void {
    isReady = true;
    log.info('child.ready', { child: name });
  }

  function ended(code: number | null, signal: string | null, ranMs: number): void {
    failures = ranMs > stableAfterMs ? 1 : failures + 1;
    log.error('child.ended', { child: name, exitCode: code, signal, ranMs: Math.round(ranMs) });
    failedStarts = isReady ? 0 : failedStarts + 1;
    if (!wasReady && failedStarts >= firstStartAttempts) {
      const problem = `${name} ended ${failedStarts} times before it was ready; its last lines above say why`;
      failStart(new StartupError('child.cannot-start', problem));
      return;
    }
    watching.abort();
    const backOffMs = isReady
      ? Math.min(firstBackOffMs * 2 ** (failures - 1), longestBackOffOnceReadyMs)
      : Math.min(firstBackOffMs * 2 ** (failedStarts - 1), longestBackOffMs);
    isReady = false;
    log.info('child.restarting', { child: name, inMs: backOffMs });
    restartTimer = setTimeout(launchAgain, backOffMs);
  }

  return {
    get pid() {
      return current?.pid;
    },
    async start() {
      const failed = new Promise<never>((_, reject) => {
        failStart = reject;
      });
      launch();
      try {
        await Promise.race([untilReady(name, options.readyUrl, waiting.signal), failed]);
        wasReady = true;
        isReady = true;
      } finally {
        waiting.abort();
      }
    },
    async stop() {
      stopping = true;
      waiting.abort();
      watching.abort();
      clearTimeout(restartTimer);
      const child = current;
      if (child === undefined) return;
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      const kill = setTimeout(() => {
        log.error('child.killed', { child: name, afterMs: killAfterMs });
        child.kill('SIGKILL');
      }, killAfterMs);
      await closed;
      clearTimeout(kill);
    },
  };
}

async function untilReady(name: string, url: string, abandoned: AbortSignal): Promise<void> {
  const deadline = performance.now() + readinessDeadlineMs;
  let last = 'no answer';
  while (performance.now() < deadline && !abandoned.aborted) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
      const body = await response.text();
      if (response.ok) return;
      last = `${response.status} ${body}`;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, readinessPollMs));
  }
  throw new StartupError(
    'child.not-ready',
    `${name} was not ready within ${readinessDeadlineMs / 1000} s: ${last}`,
  );
}
