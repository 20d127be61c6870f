// A process that runs the embedded PostgreSQL until it is told to stop: killed, crowded and starved by the tests.
import { startEmbeddedPostgres } from '#store';

const [dataDir = '', port] = process.argv.slice(2);
try {
  const postgres = await startEmbeddedPostgres({
    dataDir,
    ...(port === undefined ? {} : { port: Number(port) }),
  });
  process.send?.({ url: postgres.url, port: postgres.port, pid: postgres.pid });
  process.on('message', () => {
    void postgres.stop().then(() => process.disconnect());
  });
} catch (error) {
  process.send?.({ code: Reflect.get(Object(error), 'code'), message: String(error) });
  process.disconnect?.();
}
