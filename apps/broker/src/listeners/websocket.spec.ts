import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';

import { closed, megabyte, upgrade, useListeners } from '../../../../test/support/listeners.js';

const h = useListeners();

describe('a WebSocket listener', () => {
  async function refusalOf(path: string, protocols: string[]): Promise<string> {
    const { port } = await h.listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
    const [error] = (await once(webSocket, 'error')) as [Error];
    return error.message;
  }

  it('answers on its own path only, and only to clients that offer MQTT', async () => {
    expect(await refusalOf('/', ['mqtt'])).toContain('404');
    expect(await refusalOf('/mqtt', [])).toContain('400');
    expect(await refusalOf('/mqtt', ['soap'])).toContain('400');
    expect(h.links).toHaveLength(0);
  });

  it.each([
    [['soap', 'mqtt'], 'mqtt'],
    [['mqttv3.1'], 'mqttv3.1'],
    [['mqttv3.1', 'mqtt'], 'mqtt'],
  ])('chooses of %j %s', async (offered, chosen) => {
    const { port } = await h.listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt?x=1`, offered);
    await once(webSocket, 'open');
    expect(webSocket.protocol).toBe(chosen);
    webSocket.terminate();
  });

  it('asks whoever speaks plain HTTP to upgrade', async () => {
    const { port } = await h.listen('ws');
    expect((await fetch(`http://127.0.0.1:${port}/mqtt`)).status).toBe(426);
  });

  it('closes on a text message, and hands nothing more to the core', async () => {
    const { port } = await h.listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
    await once(webSocket, 'open');
    webSocket.send('text');
    webSocket.send(Buffer.from('binary'));
    const [code] = (await once(webSocket, 'close')) as [number];
    expect(code).toBe(1003);
    expect(h.links[0]!.chunks).toEqual([]);
    expect(h.links[0]!.endings).toHaveLength(1);
  });

  /** Speaks frames, keeps its socket when the other side has ended its own, and goes on whatever it is told. */
  async function openBare(transport: 'ws' | 'wss') {
    const { port } = await h.listen(transport);
    const arrived = h.arrival();
    const halfOpen = { port, host: '127.0.0.1', allowHalfOpen: true };
    const { ca } = h.certificates;
    const socket =
      transport === 'ws' ? connect(halfOpen) : connectTls({ ...halfOpen, ca, servername: 'localhost' });
    h.clients.push({ close: () => void socket.destroy() });
    socket.on('error', () => undefined).write(upgrade);
    const recorded = await arrived;
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    return { socket, recorded, received };
  }

  /** Masked by zeros, so that the payload is what it is. */
  const frame = (opcode: number, payload: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
  const [continuation, text, binary, reserved, ping, pong] = [0, 1, 2, 3, 9, 10];

  it.each(['ws', 'wss'] as const)(
    '(%s) tells the core of a close frame at once, though the client keeps its socket',
    async (transport) => {
      const { socket, recorded } = await openBare(transport);
      socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
      await recorded.until(() => recorded.endings.length > 0);
      expect(recorded.endings).toEqual([undefined]);
      expect(socket.writable).toBe(true);
    },
  );

  it.each([
    ['ws', 'a reserved opcode', frame(reserved, Buffer.from('x')), 1002],
    ['wss', 'a reserved opcode', frame(reserved, Buffer.from('x')), 1002],
    ['ws', 'an unmasked frame', Buffer.from([0x82, 1, 0]), 1002],
    ['ws', 'a text message', frame(text, Buffer.from('x')), 1003],
  ] as const)(
    '(%s) reads nothing more of who has sent %s, tells the core at once, and cuts the client off in about a second',
    async (transport, _, fault, code) => {
      const { socket, recorded, received } = await openBare(transport);
      const begun = performance.now();
      socket.write(Buffer.concat([fault, frame(binary, Buffer.from('after'))]));
      await recorded.until(() => recorded.endings.length > 0);
      const sending = setInterval(() => socket.write(frame(binary, Buffer.from('still here'))), 20);
      await closed(socket);
      clearInterval(sending);
      expect(performance.now() - begun).toBeLessThan(2_500);
      expect(recorded.bytes).toHaveLength(0);
      expect(recorded.endings).toEqual([expect.any(Error)]);
      const closing = Buffer.from([0x88, 2, code >> 8, code & 0xff]);
      expect(Buffer.concat(received).includes(closing)).toBe(true);
    },
  );

  it('keeps little of a large message that somebody goes on with after the end', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const { socket, recorded } = await openBare('ws');
    recorded.link.takePackets?.(16 * 1024 * 1024);
    recorded.link.write([Buffer.from('welcome')]);
    recorded.link.end();
    const [chunk, chunks] = [Buffer.alloc(64 * 1024), 128];
    const header = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(chunks * chunk.length + 1, 6);
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    socket.write(header);
    for (let sent = 0; sent < chunks; sent += 1) {
      await new Promise((resolve) => socket.write(chunk, resolve));
    }
    // Buffers are swept beside what runs: not always by the first look. All of them go when the client is cut off, after three seconds.
    const kept = (): number => process.memoryUsage().arrayBuffers - before;
    for (let look = 0; look < 20 && kept() > 2 * 1024 * 1024; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      collectGarbage();
    }
    expect(kept()).toBeLessThan(2 * 1024 * 1024);
    expect(recorded.bytes).toHaveLength(0);
  });

  it('answers a ping', async () => {
    const { port } = await h.listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
    await once(webSocket, 'open');
    webSocket.ping('are you there');
    const [data] = (await once(webSocket, 'pong')) as [Buffer];
    expect(data.toString()).toBe('are you there');
    webSocket.terminate();
  });

  it.each(['ping', 'pong'] as const)(
    'hands on a %s as nothing, and does not count it as part of a message',
    async (control) => {
      const { port } = await h.listen('ws');
      const arriving = h.arrival();
      const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
      await once(webSocket, 'open');
      const recorded = await arriving;
      const { link } = recorded;
      link.write([Buffer.from('signed in')]);
      link.takePackets?.(1_000);
      const payload = Buffer.alloc(125);
      let answer = '';
      webSocket.on('pong', (data: Buffer) => (answer = data.toString()));
      // Not more at a time than ws answers.
      for (let sent = 0; sent < 2_000 && webSocket.readyState === WebSocket.OPEN; sent += 50) {
        for (let n = 1; n < 50; n++) webSocket[control](payload);
        webSocket.ping(String(sent));
        while (answer !== String(sent) && webSocket.readyState === WebSocket.OPEN) {
          await new Promise(setImmediate);
        }
      }
      expect(webSocket.readyState).toBe(WebSocket.OPEN);
      expect([recorded.chunks.length, recorded.length]).toEqual([2_000, 0]);
      webSocket.terminate();
    },
  );

  it('tells the core while a large message is coming, but not of pings between its parts', async () => {
    const { socket, recorded } = await openBare('ws');
    recorded.link.takePackets?.(megabyte.length);
    recorded.link.write([Buffer.from('welcome')]);
    const { chunks } = recorded;
    const send = async (bytes: Buffer, isThere: () => boolean): Promise<number> => {
      socket.write(bytes);
      await recorded.until(isThere);
      await new Promise(setImmediate);
      return recorded.comings;
    };
    const aPing = frame(ping, Buffer.from('a'));
    const part = frame(binary, Buffer.alloc(100));
    part[0] = binary; // more of it follows
    expect(await send(frame(binary, Buffer.alloc(1)), () => chunks.length === 1)).toBe(0);
    expect(await send(aPing, () => chunks.length === 2)).toBe(0);
    expect(await send(part, () => recorded.comings > 0)).toBe(1);
    expect(await send(aPing, () => chunks.length === 3)).toBe(1);
    expect(await send(frame(continuation, Buffer.alloc(10)), () => chunks.length === 4)).toBe(1);
    expect(await send(aPing, () => chunks.length === 5)).toBe(1);
    expect(recorded.length).toBe(111);
  });

  it('takes no more pongs than bytes of a CONNECT of somebody it has not answered yet', async () => {
    const { socket, recorded } = await openBare('ws');
    const pongs = Buffer.concat(Array.from({ length: 64 }, () => frame(pong, Buffer.alloc(125))));
    let sent = 0;
    while (recorded.endings.length === 0 && sent < 4 * megabyte.length) {
      await new Promise((resolve) => socket.write(pongs, resolve));
      sent += pongs.length;
    }
    await recorded.until(() => recorded.endings.length > 0);
    await closed(socket);
    expect(recorded.endings[0]?.message).toContain('larger');
  });

  it('does not collect a large message of somebody it has not answered yet', async () => {
    const { client, recorded } = await h.open('ws', await h.listen('ws'));
    client.send(Buffer.alloc(1024 * 1024));
    await client.ended;
    expect(recorded.bytes).toHaveLength(0);
  });

  it.each([1, 17])('takes messages of %i MiB where a packet may be as large', async (mebibytes) => {
    const { client, recorded } = await h.open('ws', await h.listen('ws'));
    const bytes = mebibytes * 1024 * 1024;
    recorded.link.takePackets?.(bytes);
    recorded.link.write([Buffer.from('welcome')]);
    for (let n = 1; n <= 3; n++) {
      client.send(Buffer.alloc(bytes));
      await recorded.until(() => recorded.length === n * bytes);
    }
    expect(recorded.endings).toEqual([]);
  });

  it('does not collect a message that is larger than any packet of the client may be', async () => {
    const { client, recorded } = await h.open('ws', await h.listen('ws'));
    recorded.link.takePackets?.(256 * 1024);
    recorded.link.write([Buffer.from('welcome')]);
    client.send(Buffer.alloc(8 * 1024 * 1024));
    await client.ended;
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.bytes).toHaveLength(0);
    expect(recorded.endings[0]?.message).toContain('larger');
  });
});
