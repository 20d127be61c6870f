/** SCRAM against the broker as it runs, by a client of a few lines: over a socket, from verifiers in PostgreSQL. */
import { connect as connectSocket, type Socket } from 'node:net';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { type ScramMethod, scramMethods } from '#access';
import { connectBytes, frame, properties, property, readPackets, type ServerPacket } from '#mqtt/testing';

import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { ScramClient } from './support/scram-client.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';

let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let device: TestDevice;
let sockets: Socket[];

beforeAll(async () => {
  installation = await createInstallation();
  broker = await installation.startBroker();
});
afterAll(async () => {
  await broker.stop();
  await installation.remove();
});
beforeEach(async () => {
  sockets = [];
  tenant = await createTestTenant(installation.store, installation.database.secretKey);
  device = await tenant.addDevice('pump-1');
  await tenant.addPolicy('all', [{ effect: 'allow', actions: ['publish', 'subscribe'], topics: ['#'] }], {
    targetKind: 'tenant',
    targetId: tenant.id,
  });
});
afterEach(() => sockets.forEach((socket) => socket.destroy()));

/** A connection that gives one packet at a time. */
class Wire {
  readonly #socket = connectSocket(broker.ports.mqtt, '127.0.0.1');
  #bytes = Buffer.alloc(0);
  #wake = (): void => undefined;

  constructor() {
    sockets.push(this.#socket);
    this.#socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  async next(): Promise<ServerPacket> {
    for (;;) {
      const { packets } = readPackets(this.#bytes, 5);
      const [first] = packets;
      if (first !== undefined) {
        this.#bytes = this.#bytes.subarray(first.bytes.length);
        return first;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

const auth = (code: number, method: ScramMethod, data: Buffer): Buffer =>
  frame(
    0xf0,
    Buffer.from([code]),
    properties([
      ['authenticationMethod', method],
      ['authenticationData', data],
    ]),
  );

function dataOf(packet: ServerPacket): Buffer {
  return property(packet, 'authenticationData') as Buffer;
}

async function signIn(wire: Wire, method: ScramMethod, client: ScramClient): Promise<ServerPacket> {
  wire.send(
    connectBytes('pump-1', {
      version: 5,
      properties: [
        ['authenticationMethod', method],
        ['authenticationData', client.first()],
      ],
    }),
  );
  const challenge = await wire.next();
  expect([challenge.type, challenge.code]).toEqual(['auth', 0x18]);
  wire.send(auth(0x18, method, client.final(dataOf(challenge))));
  return wire.next();
}

describe.each(scramMethods)('%s on the running broker', (method) => {
  it('signs a device in, and the server proves itself in CONNACK', async () => {
    const client = new ScramClient(method, device.username, device.password);
    const connack = await signIn(new Wire(), method, client);
    expect([connack.type, connack.code]).toEqual(['connack', 0]);
    expect(client.trusts(dataOf(connack))).toBe(true);
  });

  it('signs it in again on the same connection', async () => {
    const wire = new Wire();
    await signIn(wire, method, new ScramClient(method, device.username, device.password));
    const client = new ScramClient(method, device.username, device.password);
    wire.send(auth(0x19, method, client.first()));
    wire.send(auth(0x18, method, client.final(dataOf(await wire.next()))));
    const done = await wire.next();
    expect([done.type, done.code, client.trusts(dataOf(done))]).toEqual(['auth', 0, true]);
    wire.send(frame(0xc0));
    expect((await wire.next()).type).toBe('pingresp');
  });

  it('refuses to go on as another device', async () => {
    const other = await tenant.addDevice('pump-2', { clientIdRule: { kind: 'any' } });
    const wire = new Wire();
    await signIn(wire, method, new ScramClient(method, device.username, device.password));
    const client = new ScramClient(method, other.username, other.password);
    wire.send(auth(0x19, method, client.first()));
    wire.send(auth(0x18, method, client.final(dataOf(await wire.next()))));
    const goodbye = await wire.next();
    expect([goodbye.type, goodbye.code]).toEqual(['disconnect', 0x87]);
  });

  it('refuses a wrong password, and the tenant can read why', async () => {
    const connack = await signIn(new Wire(), method, new ScramClient(method, device.username, 'wrong'));
    expect([connack.type, connack.code]).toEqual(['connack', 0x86]);
    for (;;) {
      const [row] = await installation.store.tenant(tenant.id, ({ db }) => db.denial.findMany());
      if (row !== undefined) {
        expect(row).toMatchObject({
          action: 'connect',
          detail: `${method} as ${device.username}: wrong password`,
        });
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
});
