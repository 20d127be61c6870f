/** The broker application, in this process, on free ports, over a database of the test's own. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

import { silentLogger } from '#process';
import { openControlStore, type ControlStore } from '#store';

import { BrokerModule } from '../../apps/broker/src/broker.module.js';
import { BrokerProcess, type Ports } from '../../apps/broker/src/broker-process.js';
import type { BrokerOptions } from '../../apps/broker/src/options.js';
import { makeTestCertificates, type TestCertificates } from './certificates.js';
import { createTestDatabase, type TestDatabase } from './postgres.js';
import type { TestDevice } from './tenant.js';

export type ClientTransport = 'mqtt' | 'mqtts' | 'ws' | 'wss';

export interface TestBroker {
  readonly ports: Ports;
  readonly certificates: TestCertificates;
  url(transport: ClientTransport): string;
  /** Connects as a device and waits for CONNACK; rejects when it is refused. */
  connect(
    device: TestDevice,
    options?: IClientOptions & { transport?: ClientTransport },
  ): Promise<MqttClient>;
  stop(): Promise<void>;
}

type GivenOptions = Pick<BrokerOptions, 'proxyProtocolFrom' | 'egress' | 'apiUrl' | 'servesAlone'>;

export interface TestInstallation {
  readonly database: TestDatabase;
  readonly store: ControlStore;
  readonly certificates: TestCertificates;
  startBroker(options?: GivenOptions): Promise<TestBroker>;
  remove(): Promise<void>;
}

/** On a database of its own of the test run's PostgreSQL, if it is given none. */
export async function createInstallation(given?: TestDatabase): Promise<TestInstallation> {
  const [database, certificates] = await Promise.all([given ?? createTestDatabase(), makeTestCertificates()]);
  const store = openControlStore({ url: database.appUrl, poolSize: 3 });
  return {
    database,
    store,
    certificates,
    startBroker: (options = {}) => startBroker(database, certificates, options),
    async remove() {
      await store.close();
      await Promise.all([database.drop(), certificates.remove()]);
    },
  };
}

async function startBroker(
  database: TestDatabase,
  certificates: TestCertificates,
  options: GivenOptions,
): Promise<TestBroker> {
  const module = BrokerModule.with({
    ...options,
    databaseUrl: database.brokerUrl,
    secretKey: database.secretKey,
    bind: '127.0.0.1',
    ports: { mqtt: 0, mqtts: 0, ws: 0, wss: 0, ops: 0 },
    tls: certificates,
    log: silentLogger(),
    onLost: () => undefined,
  });
  const context = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
  const process = context.get(BrokerProcess);
  const ports = await process.start();
  const clients: MqttClient[] = [];
  const url = (transport: ClientTransport): string =>
    `${transport}://127.0.0.1:${ports[transport]}${transport.startsWith('ws') ? '/mqtt' : ''}`;
  return {
    ports,
    certificates,
    url,
    async connect(device, { transport = 'mqtt', ...options } = {}) {
      const { username, password, name: clientId } = device;
      const client = await mqtt.connectAsync(url(transport), {
        clientId,
        username,
        password,
        protocolVersion: 5,
        ca: certificates.ca,
        reconnectPeriod: 0,
        ...options,
      });
      client.on('error', () => undefined); // what the broker ended is seen by 'disconnect' and 'close'
      clients.push(client);
      return client;
    },
    async stop() {
      await process.stop();
      await Promise.all(clients.map((client) => client.endAsync(true)));
    },
  };
}
