/** Who is remembered with rights that are of before, as far as this process has read, is not refused by them: a real broker, over TCP. */
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import mqtt from 'mqtt';

import type { Rule } from '#access';
import { silentLogger } from '#process';
import { type ControlStore, type Directory, openControlStore, openDirectory } from '#store';

import { type GatedBroker, startGatedBroker } from '../../../test/support/gated-broker.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import {
  createTestTenant,
  type TestDevice,
  type TestPolicy,
  type TestTenant,
} from '../../../test/support/tenant.js';
import { systemClock } from './clock.js';
import { Following } from './gate/following.js';
import { StoreGate } from './gate/gate.js';
import { RememberingGate } from './gate/remembering-gate.js';

const base: Rule = { effect: 'allow', actions: ['publish'], topics: ['data'] };
const wills: Rule = { effect: 'allow', actions: ['publish'], topics: ['wills/#'] };
const will = { topic: 'wills/meter', payload: Buffer.from('gone'), qos: 0, retain: false } as const;

let database: TestDatabase;
let store: ControlStore;
let directory: Directory;
let following: Following;
let storeGate: StoreGate;
let gate: RememberingGate;
let running: GatedBroker;

let tenant: TestTenant;
let device: TestDevice;
let policy: TestPolicy;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 2 });
  directory = openDirectory({ url: database.brokerUrl });
  const now = (): number => systemClock.now();
  following = new Following(now);
  storeGate = new StoreGate({
    directory,
    following,
    secretKey: database.secretKey,
    now,
    log: silentLogger(),
  });
  gate = new RememberingGate({ gate: storeGate, following, now, isFull: () => false });
  running = await startGatedBroker(gate);
});

afterAll(async () => {
  await running.stop();
  await directory.close();
  await store.close();
  await database.drop();
});

beforeEach(async () => {
  tenant = await createTestTenant(store, database.secretKey);
  device = await tenant.addDevice('meter', { clientIdRule: { kind: 'any' } });
  policy = await tenant.addPolicy('basic', [base], { targetKind: 'tenant', targetId: tenant.id });
});

/** CONNACK's reason code. Of changes this process hears nothing; it takes itself to know of all. */
async function codeFor(clientId: string, options: mqtt.IClientOptions = {}): Promise<number> {
  following.heard(0);
  const { username, password } = device;
  const client = mqtt.connect(running.url, {
    clientId,
    username,
    password,
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  });
  const code = await new Promise<number>((resolve) => {
    client.once('connect', () => resolve(0));
    client.once('error', (error) => resolve('code' in error ? error.code : NaN));
  });
  await client.endAsync(true);
  while (running.broker.stats.connections > 0) await sleep(2);
  return code;
}

describe('before a change has reached this process, who is remembered', () => {
  it.each([
    ['with its identifier', 'meter'],
    ['by its password, under another identifier', 'other'],
  ])('%s is let in with a will that the rights of now allow', async (_, clientId) => {
    expect(await codeFor('meter')).toBe(0);
    expect(await codeFor('meter', { will })).toBe(0x87);
    expect(await codeFor('meter')).toBe(0);
    await policy.setRules([base, wills]);
    const remembered = gate.readmitted + storeGate.recognised;
    expect(await codeFor(clientId, { will })).toBe(0);
    expect(gate.readmitted + storeGate.recognised).toBe(remembered + 1);
  });

  it('is let in where the tenant may have more connections now', async () => {
    await tenant.set({ limits: { maxConnections: 1 } });
    expect(await codeFor('meter')).toBe(0);
    const { username, password } = device;
    const { url } = running;
    const first = await mqtt.connectAsync(url, {
      clientId: 'first',
      username,
      password,
      reconnectPeriod: 0,
    });
    const second = await mqtt
      .connectAsync(url, { clientId: 'meter', username, password, protocolVersion: 5, reconnectPeriod: 0 })
      .catch((error: unknown) => error);
    expect(second).toMatchObject({ code: 0x97 });
    await tenant.set({ limits: { maxConnections: 2 } });
    following.heard(0);
    const now = await mqtt.connectAsync(url, { clientId: 'meter', username, password, reconnectPeriod: 0 });
    await Promise.all([first, now].map((client) => client.endAsync(true)));
  });

  it('is refused by the rights of now, where they are no wider', async () => {
    expect(await codeFor('meter')).toBe(0);
    await policy.setRules([wills]);
    expect(await codeFor('meter', { will: { ...will, topic: 'elsewhere' } })).toBe(0x87);
    await tenant.set({ status: 'suspended' });
    expect(await codeFor('meter', { will: { ...will, topic: 'elsewhere' } })).toBe(0x87);
  });
});
