import 'reflect-metadata';
import { ConfigError, createLifecycle, createLogger, loadSecretKey, readSettings } from '#process';
import { createApi } from './api.js';

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLogger('api', settings.logLevel);
  if (settings.databaseUrl === undefined) {
    throw new ConfigError('config.invalid', 'DATABASE_URL', 'is needed where the api is started by itself');
  }
  const lifecycle = createLifecycle({ log });
  lifecycle.handleSignals();
  const api = await createApi({
    databaseUrl: settings.databaseUrl.reveal(),
    secretKey: await loadSecretKey(settings),
    log,
    egress: { allowed: settings.egressAllow },
    endpoints: { mqttsPort: settings.mqttsPort, wssPort: settings.wssPort },
  });
  lifecycle.onStop('api', () => api.close());
  const url = await api.listen(settings.bind, settings.httpPort);
  log.info('api.listening', { url });
  process.send?.({ kind: 'listening', url });
}

try {
  await main();
} catch (err) {
  // Before there are settings there is no log level either.
  createLogger('api', 'error').error('api.cannot-start', { err });
  process.exitCode = 1;
}
