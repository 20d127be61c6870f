/** The broker as it runs, behind a proxy that says whose connections it passes on. */
import { connect as connectSocket, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { connectBytes, readPackets } from '#mqtt/testing';

import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';

let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let device: TestDevice;
const sockets: Socket[] = [];

beforeAll(async () => {
  installation = await createInstallation();
  broker = await installation.startBroker({ proxyProtocolFrom: ['127.0.0.1'] });
  tenant = await createTestTenant(installation.store, installation.database.secretKey);
  device = await tenant.addDevice('pump-1');
});
afterAll(async () => {
  sockets.forEach((socket) => socket.destroy());
  await broker.stop();
  await installation.remove();
});

/** What comes back for these bytes, until a packet or the end. */
function answerTo(...bytes: readonly Buffer[]): Promise<Buffer> {
  const socket = connectSocket(broker.ports.mqtt, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.write(Buffer.concat(bytes));
  return new Promise((resolve) => {
    socket.once('data', resolve);
    socket.once('close', () => resolve(Buffer.alloc(0)));
  });
}

describe('the broker behind a proxy', () => {
  it('signs a client in, and presence has the address of the client', async () => {
    const { username, password } = device;
    const connect = connectBytes('pump-1', { version: 5, username, password });
    const answer = await answerTo(Buffer.from('PROXY TCP4 203.0.113.9 127.0.0.1 54321 1883\r\n'), connect);
    expect(readPackets(answer, 5).packets).toMatchObject([{ type: 'connack', code: 0 }]);
    for (;;) {
      const row = await installation.store.tenant(tenant.id, ({ db }) => db.presence.findFirst());
      if (row !== null) {
        expect(row).toMatchObject({ state: 'online', detail: { address: '203.0.113.9' } });
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

  it('answers nothing to a client that comes without a header', async () => {
    const { username, password } = device;
    expect(await answerTo(connectBytes('pump-1', { version: 5, username, password }))).toEqual(
      Buffer.alloc(0),
    );
  });
});
