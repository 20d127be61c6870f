import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt from 'mqtt';

import type { Rule } from '#access';
import type { Broker, TenantId } from '#mqtt';
import { silentLogger } from '#process';
import {
  openControlStore,
  openDirectory,
  StoreError,
  type Change,
  type ControlStore,
  type Directory,
} from '#store';

import { type GatedBroker, overheard, startGatedBroker } from '../../../test/support/gated-broker.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../test/support/tenant.js';
import { applyChange, UnansweredReviewError } from './changes.js';
import { systemClock } from './clock.js';
import { StoreGate } from './gate/gate.js';

const own: Rule = { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] };

let database: TestDatabase;
let store: ControlStore;
let directory: Directory;
let gate: StoreGate;
let running: GatedBroker;
let broker: Broker;
/** What was read of a sign-in is held back until then; `noteRead` is called when there is something. */
let hold: Promise<void> | undefined;
let noteRead: () => void = () => undefined;
let isDown = false;
let tenant: TestTenant;
let device: TestDevice;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 2 });
  directory = overheard(openDirectory({ url: database.brokerUrl }), async ({ name, answer }) => {
    if (name === 'findByCredential' && isDown)
      throw new StoreError('store.unavailable', 'down', undefined, undefined);
    const read = await answer();
    if (name !== 'findByName') return read;
    noteRead();
    await hold;
    return read;
  });
  gate = new StoreGate({
    directory,
    secretKey: database.secretKey,
    now: () => systemClock.now(),
    log: silentLogger(),
  });
  running = await startGatedBroker(gate);
  ({ broker } = running);
  tenant = await createTestTenant(store, database.secretKey);
  await tenant.addPolicy('basic', [own], { targetKind: 'tenant', targetId: tenant.id });
  device = await tenant.addDevice('pump-1');
});

afterAll(async () => {
  await running.stop();
  await directory.close();
  await store.close();
  await database.drop();
});

function change(kind: Change['kind'], subject: Change['subject']): Change {
  return { number: 1n, tenantId: tenant.id as TenantId, kind, subject, recordedAt: new Date() };
}

function connect(of: TestDevice) {
  const { username, password, name: clientId } = of;
  const { url } = running;
  const client = mqtt.connect(url, { clientId, username, password, protocolVersion: 5, reconnectPeriod: 0 });
  client.on('error', () => undefined);
  return client;
}

async function signedIn(of: TestDevice) {
  const client = connect(of);
  await new Promise((resolve) => client.once('connect', resolve));
  return client;
}

describe('a change of rights', () => {
  it('concerns a credential, a device, or everybody of the tenant', async () => {
    const other = await tenant.addDevice('pump-2');
    const clients = await Promise.all([signedIn(device), signedIn(other)]);
    const touched = async (kind: Change['kind'], subject: Change['subject']) =>
      (await applyChange(broker, gate, change(kind, subject))).sessionsTouched;
    expect(await touched('credential', { credentialId: device.credentialId, deviceId: device.id })).toBe(1);
    expect(await touched('device', { deviceId: other.id })).toBe(1);
    expect(await touched('device', { deviceId: tenant.id })).toBe(0);
    expect(await touched('policy', { policyId: tenant.id })).toBe(2);
    expect(await touched('session', { clientId: 'nobody' })).toBe(0);
    expect(await touched('session', { clientId: 'pump-2' })).toBe(1);
    await Promise.all(clients.map((client) => client.endAsync(true)));
  });

  it('is not confirmed while the store cannot be asked, and nobody loses anything by that', async () => {
    const client = await signedIn(device);
    isDown = true;
    await expect(applyChange(broker, gate, change('policy', {}))).rejects.toBeInstanceOf(
      UnansweredReviewError,
    );
    isDown = false;
    expect((await applyChange(broker, gate, change('policy', {}))).connectionsClosed).toBe(0);
    expect(client.connected).toBe(true);
    await client.endAsync(true);
  });

  it('reaches a client whose sign-in had read the rights of before', async () => {
    const late = await tenant.addDevice('late');
    let release: () => void = () => undefined;
    hold = new Promise((resolve) => (release = resolve));
    const read = new Promise<void>((resolve) => (noteRead = resolve));
    const client = connect(late);
    const refused = new Promise<unknown>((resolve) => client.once('error', resolve));
    await read;
    await tenant.change('device', { deviceId: late.id }, ({ db }) =>
      db.device.deleteMany({ where: { id: late.id } }),
    );
    await applyChange(broker, gate, change('device', { deviceId: late.id }));
    release();
    expect(await refused).toMatchObject({ code: 0x87 });
    hold = undefined;
    await client.endAsync(true);
  });
});
