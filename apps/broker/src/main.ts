import 'reflect-metadata';
import { setFlagsFromString } from 'node:v8';

import { NestFactory } from '@nestjs/core';

import { ConfigError, createLifecycle, createLogger, loadSecretKey, readSettings } from '#process';

import { BrokerModule } from './broker.module.js';
import { BrokerProcess } from './broker-process.js';

/**
 * V8 begins a full collection after every few dozen megabytes of memory outside its heap, which is where the bytes of messages
 * are: with payloads of 64 KiB, seven times a second, each through all that was loaded at the start, four threads helping.
 * Weighed together with the heap, that memory makes collections as rare as its growth allows: a quarter of the processor
 * time for such a message, 40 MB more in use under that load (bench/history.md). A V8 that does not know the flag says so
 * and goes on.
 */
const weighBytesWithHeap = '--external-memory-accounted-in-global-limit';

/**
 * V8 compiles a function in full once it has run as much as 3 000 calls to its end: at 5 000 messages a second, of which most calls
 * return early, the path of a message was not there after eight seconds. With 400 it is after two, and messages cost less from then
 * on; the first two seconds have more to compile (bench/history.md). Said once the broker listens, for what only its start runs is
 * not worth it. A V8 that does not know the flag says so and goes on.
 */
const compileSooner = '--invocation-count-for-turbofan=400';

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
    serverReference: settings.serverReference,
    tls: settings.tls,
    egress: { allowed: settings.egressAllow },
    apiUrl: settings.apiUrl,
    servesAlone: true,
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
    setFlagsFromString(compileSooner);
    process.on('SIGHUP', () => void broker.reloadCertificates());
    log.info('broker.listening', { bind: settings.bind, ...ports });
    process.send?.({ kind: 'listening', ports });
  } catch (err) {
    // A stop that was asked for during the start makes the start fail somewhere: that is no error.
    if (!lifecycle.isStopping) log.error('broker.cannot-start', { err });
    await lifecycle.stop('cannot start', 1);
  }
}

setFlagsFromString(weighBytesWithHeap);
try {
  await main();
} catch (err) {
  // Before there are settings there is no log level either.
  createLogger('broker', 'error').error('broker.cannot-start', { err });
  process.exitCode = 1;
}
