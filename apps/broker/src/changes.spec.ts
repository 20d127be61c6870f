import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mqtt from 'mqtt';

import type { Rule } from '#access';
import { type Broker, createBroker, type TenantId } from '#mqtt';
import { MemoryJournal, MemoryStore, MemoryVault } from '#mqtt/testing';
import { silentLogger } from '#process';
import {
  openControlStore,
  openDirectory,
  StoreError,
  type Change,
  type ControlStore,
  type Directory,
} from '#store';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../test/support/tenant.js';
import { applyChange, UnansweredReviewError } from './changes.js';
import { systemClock } from './clock.js';
import { StoreGate } from './gate/gate.js';
import type { Listener } from './listeners/accept.js';
import { Admission } from './listeners/admission.js';
import { listenMqtt } from './listeners/tcp.js';

const own: Rule = { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] };

/** A directory whose answers can be held back, or fail, after they were read. */
class HeldDirectory implements Directory {
  readonly #real: Directory;
  readonly findByCredential: Directory['findByCredential'];
  readonly findTenant: Directory['findTenant'];
  readonly tenantOfHost: Directory['tenantOfHost'];
  readonly findTokenIssuer: Directory['findTokenIssuer'];
  readonly findAuthenticator: Directory['findAuthenticator'];
  readonly anchorsOf: Directory['anchorsOf'];
  readonly anchorsBy: Directory['anchorsBy'];
  readonly findByCertificate: Directory['findByCertificate'];
  readonly revocation: Directory['revocation'];
  readonly noteListPlace: Directory['noteListPlace'];
  readonly findBan: Directory['findBan'];
  readonly bansOf: Directory['bansOf'];
  readonly documents: Directory['documents'];
  readonly activeVersion: Directory['activeVersion'];
  readonly isActive: Directory['isActive'];
  readonly noteUse: Directory['noteUse'];
  readonly noteObservation: Directory['noteObservation'];
  readonly verifyFences: Directory['verifyFences'];
  hold: Promise<void> | undefined;
  read: () => void = () => undefined;
  isDown = false;

  constructor(real: Directory) {
    this.#real = real;
    this.findTenant = (slug) => real.findTenant(slug);
    this.tenantOfHost = (host) => real.tenantOfHost(host);
    this.findTokenIssuer = (...asked) => real.findTokenIssuer(...asked);
    this.findAuthenticator = (tenantId) => real.findAuthenticator(tenantId);
    this.anchorsOf = (tenantId) => real.anchorsOf(tenantId);
    this.anchorsBy = (query) => real.anchorsBy(query);
    this.findByCertificate = (query) => real.findByCertificate(query);
    this.revocation = (...asked) => real.revocation(...asked);
    this.noteListPlace = (...place) => real.noteListPlace(...place);
    this.findBan = (query) => real.findBan(query);
    this.bansOf = (tenantId) => real.bansOf(tenantId);
    this.documents = (versions) => real.documents(versions);
    this.activeVersion = (...asked) => real.activeVersion(...asked);
    this.noteObservation = (observation) => real.noteObservation(observation);
    this.isActive = (tenantId) => real.isActive(tenantId);
    this.noteUse = (...use) => real.noteUse(...use);
    this.verifyFences = () => real.verifyFences();
    this.findByCredential = (tenantId, credentialId) =>
      this.isDown
        ? Promise.reject(new StoreError('store.unavailable', 'down', undefined, undefined))
        : real.findByCredential(tenantId, credentialId);
  }

  async findByName(slug: string, authId: string): ReturnType<Directory['findByName']> {
    const found = await this.#real.findByName(slug, authId);
    this.read();
    await this.hold;
    return found;
  }

  close(): Promise<void> {
    return this.#real.close();
  }
}

let database: TestDatabase;
let store: ControlStore;
let directory: HeldDirectory;
let gate: StoreGate;
let broker: Broker;
let listener: Listener;
let tenant: TestTenant;
let device: TestDevice;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 2 });
  directory = new HeldDirectory(openDirectory({ url: database.brokerUrl }));
  gate = new StoreGate({
    directory,
    secretKey: database.secretKey,
    now: () => systemClock.now(),
    log: silentLogger(),
  });
  const memory = new MemoryStore();
  broker = createBroker({
    gate,
    vault: new MemoryVault(memory),
    journal: new MemoryJournal(memory),
    clock: systemClock,
  });
  const accept = (link: Parameters<Broker['accept']>[0]) => broker.accept(link);
  listener = await listenMqtt({ host: '127.0.0.1', port: 0, admission: new Admission(100), accept });
  tenant = await createTestTenant(store, database.secretKey);
  await tenant.addPolicy('basic', [own], { targetKind: 'tenant', targetId: tenant.id });
  device = await tenant.addDevice('pump-1');
});

afterAll(async () => {
  await listener.close();
  await broker.stop();
  await directory.close();
  await store.close();
  await database.drop();
});

function change(kind: Change['kind'], subject: Change['subject']): Change {
  return { number: 1n, tenantId: tenant.id as TenantId, kind, subject, recordedAt: new Date() };
}

function connect(of: TestDevice) {
  const { username, password, name: clientId } = of;
  const url = `mqtt://127.0.0.1:${listener.port}`;
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
    directory.isDown = true;
    await expect(applyChange(broker, gate, change('policy', {}))).rejects.toBeInstanceOf(
      UnansweredReviewError,
    );
    directory.isDown = false;
    expect((await applyChange(broker, gate, change('policy', {}))).connectionsClosed).toBe(0);
    expect(client.connected).toBe(true);
    await client.endAsync(true);
  });

  it('reaches a client whose sign-in had read the rights of before', async () => {
    const late = await tenant.addDevice('late');
    let release: () => void = () => undefined;
    directory.hold = new Promise((resolve) => (release = resolve));
    const read = new Promise<void>((resolve) => (directory.read = resolve));
    const client = connect(late);
    const ended = new Promise<number | undefined>((resolve) => {
      client.once('disconnect', (packet) => resolve(packet.reasonCode));
    });
    await read;
    await tenant.change('device', { deviceId: late.id }, ({ db }) =>
      db.device.deleteMany({ where: { id: late.id } }),
    );
    await applyChange(broker, gate, change('device', { deviceId: late.id }));
    release();
    expect(await ended).toBe(0x87);
    directory.hold = undefined;
    await client.endAsync(true);
  });
});
