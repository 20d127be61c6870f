import { once } from 'node:events';
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { writeDirectly } from './direct-writes.js';

const megabyte = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, index) => index % 251));

describe('a write past the stream', () => {
  let server: Server;
  let socket: Socket;
  let peer: Socket;
  let received: Buffer[];
  let told: (Error | undefined)[];
  let onTold: () => void;
  const writer = {
    written: (error: Error | undefined): void => {
      told.push(error);
      onTold();
    },
  };

  beforeEach(async () => {
    received = [];
    told = [];
    onTold = () => undefined;
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
    peer.on('data', (chunk: Buffer) => received.push(chunk)).on('error', () => undefined);
    [socket] = await connected;
    socket.on('error', () => undefined);
  });

  afterEach(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });

  /** Writes until the kernel leaves something; returns all that was written. */
  function fill(): Buffer[] {
    const written: Buffer[] = [];
    for (let isDone: boolean | undefined = true; isDone === true;) {
      isDone = writeDirectly(socket, [megabyte], writer);
      expect(isDone).toBeDefined();
      written.push(megabyte);
    }
    return written;
  }

  it('arrives, be it of one piece or of several, and nobody is told of it', async () => {
    expect(writeDirectly(socket, [Buffer.from('one')], writer)).toBe(true);
    expect(writeDirectly(socket, [Buffer.from(' two'), Buffer.from(' three')], writer)).toBe(true);
    socket.end(' end');
    await once(peer, 'end');
    expect(Buffer.concat(received).toString()).toBe('one two three end');
    expect(told).toEqual([]);
  });

  it('of which the kernel leaves something is finished later, before what the stream writes and its end', async () => {
    peer.pause();
    const written = fill();
    expect(socket.writableLength).toBe(0);
    socket.write('behind it');
    socket.end();
    const wasTold = new Promise<void>((resolve) => (onTold = resolve));
    peer.resume();
    await Promise.all([wasTold, once(peer, 'end')]);
    expect(Buffer.concat(received).equals(Buffer.concat([...written, Buffer.from('behind it')]))).toBe(true);
    expect(told).toEqual([undefined]);
  });

  it.each([
    ['the peer resets the connection', () => peer.resetAndDestroy()],
    ['the socket is destroyed', () => socket.destroy()],
  ])('that is under way is given up when %s', async (_what, cut) => {
    peer.pause();
    fill();
    const wasTold = new Promise<void>((resolve) => (onTold = resolve));
    cut();
    await wasTold;
    expect(told).toEqual([expect.objectContaining({ syscall: 'write', errno: expect.any(Number) })]);
  });

  it('to a peer that is gone destroys the socket with the error, as the stream would', async () => {
    const failed = once(socket, 'error');
    socket.pause();
    peer.resetAndDestroy();
    while (!socket.destroyed) {
      writeDirectly(socket, [Buffer.from('x')], writer);
      await new Promise(setImmediate);
    }
    const [error] = (await failed) as [NodeJS.ErrnoException];
    expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
  });

  it('is not possible where Node has no handle as it is known here', () => {
    expect(writeDirectly(new Socket(), [Buffer.from('x')], writer)).toBeUndefined();
  });
});
