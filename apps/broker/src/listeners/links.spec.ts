// What holds for every link, whatever carries it.
import { once } from 'node:events';
import { connect } from 'node:net';

import { describe, expect, it } from '@jest/globals';

import {
  type Client,
  isTls,
  overSocket,
  type Recorded,
  transports,
  useListeners,
} from '../../../../test/support/listeners.js';

const h = useListeners();

describe.each(transports)('a link over %s', (transport) => {
  it('says where it comes from', async () => {
    const { recorded } = await h.open(transport, await h.listen(transport));
    const { link } = recorded;
    expect(link.transport).toBe(transport === 'socket' ? 'tcp' : isTls(transport) ? 'tls' : transport);
    expect(link.remoteAddress).toBe('127.0.0.1');
    expect(link.remotePort).toBeGreaterThan(0);
    expect(link.serverName).toBe(isTls(transport) ? 'localhost' : undefined);
    expect(link.tlsVersion).toBe(isTls(transport) || transport === 'wss' ? 'TLSv1.3' : undefined);
    expect(link.peerCertificate).toBeUndefined();
  });

  it('carries bytes both ways, in order, however they are cut', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    for (let at = 0; at < sent.length; at += 999) client.send(sent.subarray(at, at + 999));
    await recorded.until(() => recorded.length === sent.length);
    expect(recorded.bytes.equals(sent)).toBe(true);
    recorded.link.write([sent.subarray(0, 10), sent.subarray(10, 90_000), sent.subarray(90_000)]);
    recorded.link.write([sent.subarray(0, 1), sent.subarray(1, 2)]);
    recorded.link.end();
    expect((await client.ended).equals(Buffer.concat([sent, sent.subarray(0, 2)]))).toBe(true);
  });

  it('leaves the last packet readable when it ends while the client is still sending', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    recorded.onReceived = () => {
      recorded.link.write([Buffer.from('goodbye')]);
      recorded.link.end();
      recorded.onReceived = () => undefined;
    };
    for (let index = 0; index < 50; index += 1) client.send(Buffer.alloc(1_000));
    expect((await client.ended).toString()).toBe('goodbye');
  });

  it('says that it is full, and when it has drained', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    client.pause();
    const chunk = Buffer.alloc(256 * 1024);
    let flowing = true;
    while (flowing || recorded.link.bufferedBytes === 0) flowing = recorded.link.write([chunk]);
    client.resume();
    await recorded.until(() => recorded.drains > 0);
    expect(recorded.link.bufferedBytes).toBe(0);
  });

  it('delivers nothing more than what was under way while it is paused', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    recorded.link.takePackets?.(1024 * 1024);
    recorded.link.write([Buffer.from('signed in')]);
    recorded.link.pause();
    const megabyte = Buffer.alloc(1024 * 1024);
    for (let index = 0; index < 8; index += 1) client.send(megabyte);
    // Another link of the same listener makes progress meanwhile: the paused one has had its turns.
    const listener = h.listeners[0]!;
    const other = await h.open(transport, listener);
    other.client.send(Buffer.from('x'));
    await other.recorded.until(() => other.recorded.length === 1);
    expect(recorded.length).toBeLessThan(2 * megabyte.length);
    recorded.link.resume();
    await recorded.until(() => recorded.length === 8 * megabyte.length);
  });

  it('tells the core once that the client is gone, and counts the connection no more', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    expect(h.admission.open).toBe(1);
    client.close();
    await recorded.until(() => recorded.endings.length > 0);
    recorded.link.write([Buffer.from('too late')]);
    recorded.link.end();
    recorded.link.destroy();
    while (h.admission.open > 0) await new Promise(setImmediate);
    expect(recorded.endings).toHaveLength(1);
  });

  it('is cut by destroy', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    recorded.link.destroy();
    await client.ended;
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings).toEqual([undefined]);
  });

  it('stays when the listener closes, and no other comes', async () => {
    const listener = await h.listen(transport);
    const { client, recorded } = await h.open(transport, listener);
    await listener.close();
    client.send(Buffer.from('still here'));
    await recorded.until(() => recorded.bytes.toString() === 'still here');
    const late = connect({ port: listener.port, host: '127.0.0.1' });
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
  });
});

const streams = ['tcp', 'socket', 'tls', 'tls-socket'] as const;

describe.each(streams)('a client over %s that has sent its last', (transport) => {
  async function finishing(): Promise<{ client: Client; recorded: Recorded }> {
    const { port } = await h.listen(transport);
    const accepting = h.arrival();
    const { stream: socket } = h.dial(transport, { port, allowHalfOpen: true });
    const client = overSocket(socket);
    h.clients.push(client);
    const recorded = await accepting;
    recorded.onFinished = () => recorded.drained();
    const finished = recorded.until(() => recorded.drains > 0);
    socket.end('the last');
    await finished;
    expect(recorded.bytes.toString()).toBe('the last');
    return { client, recorded };
  }

  it('still reads what it is answered', async () => {
    const { client, recorded } = await finishing();
    recorded.link.write([Buffer.from('the answer')]);
    recorded.link.end();
    expect((await client.ended).toString()).toBe('the answer');
    await recorded.until(() => recorded.endings.length > 0);
  });

  it('is cut off where there is no answer', async () => {
    const { client, recorded } = await finishing();
    expect((await client.ended).toString()).toBe('');
    await recorded.until(() => recorded.endings.length > 0);
  });
});
