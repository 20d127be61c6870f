// A process that runs the embedded PostgreSQL until it is told to stop: killed, crowded and starved by the tests. It answers on the
// channel to its parent, or on its output where there is none.
import { startEmbeddedPostgres } from '#store';

function answer(message: object): void {
  if (process.send === undefined) process.stdout.write(JSON.stringify(message));
  else process.send(message);
}

const [dataDir = '', port] = process.argv.slice(2);
try {
  const postgres = await startEmbeddedPostgres({
    dataDir,
    ...(port === undefined ? {} : { port: Number(port) }),
  });
  process.once('message', () => {
    void postgres.stop().then(() => process.disconnect());
  });
  answer({ url: postgres.url, port: postgres.port, pid: postgres.pid });
} catch (error) {
  answer({ code: Reflect.get(Object(error), 'code'), message: String(error) });
}
