import { once } from 'node:events';
import { connect, createServer, Socket, type AddressInfo } from 'node:net';

import { describe, expect, it } from '@jest/globals';

import type { Link } from '#mqtt';

import { megabyte, overSocket, type Recorded, useListeners } from '../../../../test/support/listeners.js';
import { isTcpHandle, streamBinding } from './stream-binding.js';

const h = useListeners();

describe.each(['tcp', 'tls'] as const)('a link over %s, by its handle,', (transport) => {
  it('reads what comes next to the place that it is told', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    const place = Buffer.alloc(10_000);
    let placed = 0;
    recorded.place = () => (placed < place.length ? place.subarray(placed) : undefined);
    recorded.onReceived = (chunk) => {
      if (chunk.buffer === place.buffer) placed += chunk.length;
    };
    client.send(Buffer.from('first'));
    await recorded.until(() => recorded.length === 5);
    expect(placed).toBe(0); // where it was to be read to was said before
    const sent = Buffer.from(Array.from({ length: 150_000 }, (_, index) => index % 251));
    client.send(sent);
    await recorded.until(() => recorded.length === 5 + sent.length);
    expect(place.equals(sent.subarray(0, place.length))).toBe(true);
    expect(recorded.bytes.subarray(5).equals(sent)).toBe(true);
  });

  it('reads nothing more over what it has handed on, once it is cut', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    const place = Buffer.alloc(1_000);
    recorded.place = () => place;
    recorded.onReceived = (chunk) => {
      if (chunk.buffer === place.buffer) recorded.link.destroy();
    };
    client.send(Buffer.from('first'));
    await recorded.until(() => recorded.length === 5);
    const sent = Buffer.from(Array.from({ length: 4_000 }, (_, index) => index % 251)); // over TLS all in one record
    client.send(sent);
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.length).toBe(5 + place.length);
    expect(place.equals(sent.subarray(0, place.length))).toBe(true);
  });

  it('uses the memory of a chunk again for other links', async () => {
    const listener = await h.listen(transport);
    const memory = new Set<ArrayBufferLike>();
    for (let index = 0; index < 3; index += 1) {
      const { client, recorded } = await h.open(transport, listener);
      recorded.onReceived = (chunk) => memory.add(chunk.buffer);
      client.send(Buffer.from('x'));
      await recorded.until(() => recorded.length === 1);
    }
    expect(memory.size).toBe(1);
  });

  /** Writes until the kernel leaves something; returns all that was written. */
  function fill(link: Link): Buffer[] {
    const written: Buffer[] = [];
    while (link.bufferedBytes === 0) {
      link.write([megabyte]);
      written.push(megabyte);
    }
    return written;
  }

  it('finishes later what the kernel has left, before what is written behind it and its end', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    client.pause();
    const written = fill(recorded.link);
    expect(recorded.link.write([Buffer.from('behind'), Buffer.from(' it')])).toBe(false);
    recorded.link.end();
    client.resume();
    expect((await client.ended).equals(Buffer.concat([...written, Buffer.from('behind it')]))).toBe(true);
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings).toEqual([undefined]);
  });

  it('is full only as long as much waits', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    client.pause();
    fill(recorded.link);
    expect(recorded.link.bufferedBytes).toBeLessThanOrEqual(megabyte.length);
    client.resume();
    await recorded.until(() => recorded.drains > 0);
    expect(recorded.link.write([Buffer.from('x')])).toBe(true);
  });

  it('gives up what is under way when it is destroyed', async () => {
    const { client, recorded } = await h.open(transport, await h.listen(transport));
    client.pause();
    fill(recorded.link);
    recorded.link.destroy();
    expect(recorded.link.bufferedBytes).toBe(0);
    await recorded.until(() => recorded.endings.length > 0);
    client.resume();
    await client.ended;
    expect(recorded.endings).toEqual([undefined]);
    expect(recorded.drains).toBe(0);
  });

  it.each([
    ['while something is under way', (link: Link) => void fill(link)],
    ['while it is read', () => undefined],
  ])('tells the core of a peer that resets the connection %s', async (_what, before) => {
    const { port } = await h.listen(transport);
    const accepting = h.arrival();
    const { raw, stream } = h.dial(transport, { port });
    stream.on('error', () => undefined);
    const recorded = await accepting;
    recorded.link.write([Buffer.from('x')]);
    await once(stream, 'data'); // of TLS too its handshake is behind it
    stream.pause();
    before(recorded.link);
    raw.resetAndDestroy();
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings).toEqual([expect.objectContaining({ code: 'ECONNRESET' })]);
  });

  it('ends with the error of the first write to a peer that is gone', async () => {
    const { port } = await h.listen(transport);
    const accepting = h.arrival();
    const { raw, stream } = h.dial(transport, { port });
    stream.on('error', () => undefined);
    const recorded = await accepting;
    recorded.link.write([Buffer.from('x')]);
    await once(stream, 'data'); // of TLS too its handshake is behind it
    recorded.link.pause();
    raw.resetAndDestroy();
    await once(raw, 'close');
    recorded.link.write([Buffer.from('x')]);
    await recorded.until(() => recorded.endings.length > 0);
    const [error] = recorded.endings as [NodeJS.ErrnoException];
    expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
  });

  it('is cut off where the client does not end too', async () => {
    const { port } = await h.listen(transport);
    const accepting = h.arrival();
    const { stream: peer } = h.dial(transport, { port, allowHalfOpen: true });
    const recorded = await accepting;
    recorded.link.end();
    recorded.link.end();
    peer.resume();
    await once(peer, 'end');
    peer.write('and another thing');
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.bytes).toHaveLength(0);
    peer.destroy();
  });

  it('may be ended while it is being accepted, or its last chunk handed over', async () => {
    const listener = await h.listen(transport);
    for (const atOnce of [true, false]) {
      const accepting = new Promise<Recorded>((resolve) => {
        h.accepted = (recorded) => {
          recorded.onReceived = () => recorded.link.destroy();
          if (atOnce) recorded.link.destroy();
          resolve(recorded);
        };
      });
      const client = overSocket(h.dial(transport, { port: listener.port }).stream);
      h.clients.push(client);
      client.send(Buffer.from('hello'));
      const recorded = await accepting;
      await recorded.until(() => recorded.endings.length > 0);
      expect(recorded.length).toBe(atOnce ? 0 : 5);
      await client.ended;
    }
  });
});

describe('a link over tcp', () => {
  it('is a socket where Node has no handles as they are known here', async () => {
    expect(streamBinding).toBeDefined();
    expect([undefined, null, {}, new Socket()].map(isTcpHandle)).toEqual([false, false, false, false]);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [Socket];
    const { _handle: handle } = socket as unknown as { readonly _handle: object };
    expect(isTcpHandle(handle)).toBe(true);
    expect(
      isTcpHandle(
        new Proxy(handle, {
          get: (target, name) => (name === 'reset' ? undefined : Reflect.get(target, name, target)),
        }),
      ),
    ).toBe(false);
    for (const one of [socket, peer]) one.destroy();
    server.close();
  });
});
