import type { Logger } from './logger.js';
import type { Readiness } from './readiness.js';

export interface LifecycleOptions {
  readonly log: Logger;
  readonly readiness?: Readiness;
  /** Milliseconds for all hooks together; what is not done by then is given up. Default 10 000, what container engines wait. */
  readonly deadlineMs?: number;
  /** Ends the process; for tests. */
  readonly exit?: (code: number) => void;
}

/**
 * The end of a process, in one place. A signal (SIGTERM, SIGINT), or the death of the supervisor that started it, runs the
 * stop hooks one after another in the order they were added and exits with 0; a hook that fails does not keep the others
 * from running, and makes it 1. Past the deadline, or at a second signal, the process exits at once with 1. An exception
 * nobody caught is logged and stops the same way: state after it is not to be trusted, so no new work is taken.
 */
export interface Lifecycle {
  onStop(name: string, hook: () => void | Promise<void>): void;
  /** From now on signals and uncaught exceptions lead here. */
  handleSignals(): void;
  /** Resolves once the hooks have run, before the exit. Asked again, it is the same stop. */
  stop(why: string, exitCode?: number): Promise<void>;
  readonly isStopping: boolean;
}

const sameSignalMs = 500;

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { log, readiness, deadlineMs = 10_000, exit = (code: number) => process.exit(code) } = options;
  const hooks: { readonly name: string; readonly run: () => void | Promise<void> }[] = [];
  let stopping: Promise<void> | undefined;
  let stoppingSince = 0;

  async function runHooks(why: string, exitCode: number): Promise<void> {
    stoppingSince = performance.now();
    log.info('process.stopping', { why });
    readiness?.notReady('process', 'stopping');
    const deadline = setTimeout(() => {
      log.error('process.stop-deadline-passed', { deadlineMs });
      exit(1);
    }, deadlineMs);
    let code = exitCode;
    for (const { name, run } of hooks) {
      try {
        await run();
      } catch (err) {
        code = 1;
        log.error('process.stop-hook-failed', { hook: name, err });
      }
    }
    clearTimeout(deadline);
    log.info('process.stopped', { tookMs: Math.round(performance.now() - stoppingSince), exitCode: code });
    exit(code);
  }

  function stop(why: string, exitCode = 0): Promise<void> {
    stopping ??= runHooks(why, exitCode);
    return stopping;
  }

  function signalled(why: string): void {
    if (stopping !== undefined) {
      // Ctrl-C reaches us twice under npm: from the terminal, and passed on by npm a moment later. That is one wish to stop.
      if (performance.now() - stoppingSince < sameSignalMs) return;
      log.warn('process.stop-forced', { why });
      exit(1);
      return;
    }
    void stop(why);
  }

  function crashed(err: unknown): void {
    log.error('process.crashed', { err });
    void stop('crash', 1);
  }

  return {
    onStop: (name, run) => void hooks.push({ name, run }),
    stop,
    handleSignals() {
      process.on('SIGTERM', () => signalled('SIGTERM'));
      process.on('SIGINT', () => signalled('SIGINT'));
      process.on('uncaughtException', crashed);
      process.on('unhandledRejection', crashed);
      // Under the supervisor there is a channel to it; it closes when the supervisor dies, even of SIGKILL.
      if (process.connected) {
        process.once('disconnect', () => void stop('supervisor gone'));
        process.channel?.unref();
      }
    },
    get isStopping() {
      return stopping !== undefined;
    },
  };
}
