// What the real product sends with DUP 1 to a client that was away, or connected, when it ended.
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { Connection } from './crash/clients.js';
import { eventually, startProduct, type Bootstrap, type Product } from './support/product.js';

const topic = 'restart/messages';

let dataDir: string;
let product: Product;
let bootstrap: Bootstrap;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'moorage-restart-'));
  product = startProduct(dataDir);
  bootstrap = await product.ready;
});

afterAll(async () => {
  await product.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** A connection, and what it has been sent. */
interface Client {
  readonly connection: Connection;
  readonly packets: Packet[];
}

async function connect(clientId: string, isDurable: boolean): Promise<Client> {
  const hello = { clientId, ...bootstrap.open, version: 5, isDurable } as const;
  const connection = await eventually(
    () => Connection.open(bootstrap.mqtt, hello),
    (opened) => opened !== undefined,
  );
  const packets: Packet[] = [];
  connection!.listen((packet) => packets.push(packet));
  return { connection: connection!, packets };
}

async function answer({ packets }: Client, cmd: Packet['cmd']): Promise<void> {
  await eventually(
    () => Promise.resolve(packets.map((packet) => packet.cmd)),
    (found) => found.includes(cmd),
  );
}

/** Stored, when it returns. */
async function publish(payload: string): Promise<void> {
  const client = await connect('speaker', false);
  client.connection.send({
    cmd: 'publish',
    topic,
    payload,
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  });
  await answer(client, 'puback');
  await client.connection.goodbye();
}

async function deliveries({ packets }: Client, count: number): Promise<string[]> {
  const published = (): IPublishPacket[] => packets.filter((packet) => packet.cmd === 'publish');
  await eventually(
    () => Promise.resolve(published().map(({ payload }) => String(payload))),
    ({ length }) => length >= count,
  );
  return published().map(({ payload, dup }) => `${String(payload)}${dup ? ' again' : ''}`);
}

async function killBroker(): Promise<void> {
  const pid = product.childPid('broker');
  process.kill(pid, 'SIGKILL');
  await eventually(
    () => Promise.resolve(product.childPid('broker')),
    (now) => now !== pid,
  );
}

it('says DUP for what it had sent, and not for what it had not: after SIGTERM, and after kill -9 with the client here or away', async () => {
  const [first, stayer] = [await connect('listener', true), await connect('stayer', true)];
  for (const client of [first, stayer]) {
    client.connection.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    await answer(client, 'suback');
  }
  await publish('sent');
  expect(await deliveries(first, 1)).toEqual(['sent']);
  await first.connection.goodbye();
  await publish('away');
  expect(await deliveries(stayer, 2)).toEqual(['sent', 'away']);

  process.kill(product.pid, 'SIGTERM');
  expect(await product.ended).toBe(0);
  product = startProduct(dataDir);
  bootstrap = await product.ready;
  await publish('since');
  const second = await connect('listener', true);
  expect(await deliveries(second, 3)).toEqual(['sent again', 'away', 'since']);
  const stayed = await connect('stayer', true);
  expect(await deliveries(stayed, 3)).toEqual(['sent again', 'away again', 'since']);
  await stayed.connection.goodbye();

  await killBroker();
  await publish('killed');
  const third = await connect('listener', true);
  const all = ['sent again', 'away again', 'since again'];
  expect(await deliveries(third, 4)).toEqual([...all, 'killed']);

  await third.connection.goodbye();
  await publish('last');
  await killBroker();
  const fourth = await connect('listener', true);
  expect(await deliveries(fourth, 5)).toEqual([...all, 'killed again', 'last']);
  fourth.connection.cut();
});
