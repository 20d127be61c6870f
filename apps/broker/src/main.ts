import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';

import { ConfigError, createLifecycle, createLogger, loadSecretKey, readSettings } from '#process';

import { BrokerModule } from './broker.module.js';
import { BrokerProcess } from './broker-process.js';

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLogger('broker', settings.logLevel);
  if (settings.databaseUrl === undefined) {
    throw new ConfigError(
      'config.invalid',
      'DATABASE_URL',
      'is needed where the broker is started by itself',
    );
  }
  const lifecycle = createLifecycle({ log });
  lifecycle.handleSignals();
  const { mqttPort: mqtt, mqttsPort: mqtts, wsPort: ws, wssPort: wss, opsPort: ops } = settings;
  const module = BrokerModule.with({
    databaseUrl: settings.databaseUrl.reveal(),
    secretKey: await loadSecretKey(settings),
    bind: settings.bind,
    ports: { mqtt, mqtts, ws, wss, ops },
    proxyProtocolFrom: settings.proxyProtocolFrom,
    tls: settings.tls,
    log,
    onLost: (why) => void lifecycle.stop(why, 1),
  });
  try {
    const context = await NestFactory.createApplicationContext(module, {
      logger: false,
      abortOnError: false,
    });
    const broker = context.get(BrokerProcess);
    lifecycle.onStop('broker', () => broker.stop());
    const ports = await broker.start();
    log.info('broker.listening', { bind: settings.bind, ...ports });
    process.send?.({ kind: 'listening', ports });
  } catch (err) {
    // A stop that was asked for during the start makes the start fail somewhere: that is no error.
    if (!lifecycle.isStopping) log.error('broker.cannot-start', { err });
    await lifecycle.stop('cannot start', 1);
  }
}

try {
  await main();
} catch (err) {
  // Before there are settings there is no log level either.
  createLogger('broker', 'error').error('broker.cannot-start', { err });
  process.exitCode = 1;
}
