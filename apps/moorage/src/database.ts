import type { Logger, Settings } from '#process';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '#store';

/** The PostgreSQL this installation stands on: its own, kept running, or somebody else's, only pointed at. */
export interface Database {
  /** With the rights of the owner: for migrations. */
  readonly ownerUrl: string;
  stop(): Promise<void>;
}

// Between attempts to bring a server back that cannot start, e.g. for want of disk.
const restartPauseMs = 1_000;

export async function openDatabase(settings: Settings, port: number, log: Logger): Promise<Database> {
  if (settings.databaseUrl !== undefined) {
    return { ownerUrl: settings.databaseUrl.reveal(), stop: () => Promise.resolve() };
  }
  let restarting = Promise.resolve();
  const stopping = new AbortController();

  async function start(): Promise<EmbeddedPostgres> {
    const started = await startEmbeddedPostgres({
      dataDir: settings.dataDir,
      port,
      onCrash: (end) => {
        log.error('postgres.ended', { exitCode: end.code, signal: end.signal });
        if (!stopping.signal.aborted) restarting = restart();
      },
    });
    log.info('postgres.started', { pid: started.pid, port });
    return started;
  }

  /** On the same port: the api and the broker say "unavailable" meanwhile, and go on by themselves. */
  async function restart(): Promise<void> {
    await running.stop();
    while (!stopping.signal.aborted) {
      try {
        running = await start();
        return;
      } catch (err) {
        // There is nobody to hand this to: it is tried until it works or we are stopped.
        log.error('postgres.cannot-restart', { err });
        await new Promise((resolve) => setTimeout(resolve, restartPauseMs));
      }
    }
  }

  let running = await start();
  return {
    ownerUrl: running.url,
    async stop() {
      stopping.abort();
      await restarting;
      await running.stop();
    },
  };
}
