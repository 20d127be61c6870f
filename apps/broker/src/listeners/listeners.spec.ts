import { once } from 'node:events';
import { connect, createServer, Socket, type AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { WebSocket } from 'ws';

import type { Link, LinkSink } from '#mqtt';

import { makeTestCertificates, type TestCertificates } from '../../../../test/support/certificates.js';
import { withTimeEnough } from '../../../../test/support/time-enough.js';
import { TokenBuckets } from '../token-buckets.js';
import { listenTcp, type Listener, type ListenOptions } from './accept.js';
import { Admission, maxConnectionsOf, plainAddress } from './admission.js';
import { isTcpHandle, streamBinding } from './stream-binding.js';
import { listenMqtt, openSocket } from './tcp.js';
import { tlsBindingFor } from './tls-binding.js';
import { listenMqtts, listenMqttsBySockets } from './tls.js';
import { listenSecureWebSocket, listenWebSocket } from './websocket.js';

/** The core's side of one link, remembered. */
class Recorded implements LinkSink {
  readonly link: Link;
  readonly chunks: Buffer[] = [];
  readonly endings: (Error | undefined)[] = [];
  drains = 0;
  length = 0;
  onReceived: (chunk: Buffer) => void = () => undefined;
  onFinished: () => void = () => this.link.end();
  place: () => Buffer | undefined = () => undefined;
  #changed: () => void = () => undefined;

  constructor(link: Link) {
    this.link = link;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  received(chunk: Buffer): void {
    this.chunks.push(Buffer.from(chunk));
    this.length += chunk.length;
    this.onReceived(chunk);
    this.#changed();
  }

  drained(): void {
    this.drains += 1;
    this.#changed();
  }

  finished(): void {
    this.onFinished();
  }

  closed(error?: Error): void {
    this.endings.push(error);
    this.#changed();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
}

const megabyte = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, index) => index % 251));

/** A client of one transport, reduced to bytes. */
interface Client {
  send(bytes: Buffer): void;
  /** All that came, once the connection has ended. */
  readonly ended: Promise<Buffer>;
  readonly received: () => Buffer;
  close(): void;
  pause(): void;
  resume(): void;
}

let certificates: TestCertificates;
const listeners: Listener[] = [];
const clients: Pick<Client, 'close'>[] = [];
const links: Recorded[] = [];
let admission: Admission;

beforeAll(async () => {
  certificates = await makeTestCertificates();
});

afterAll(async () => {
  await certificates.remove();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const { link } of links.splice(0)) link.destroy();
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
});

function options(handshakeMs?: number): ListenOptions {
  admission = new Admission(1_000);
  return {
    ...(handshakeMs === undefined ? {} : { handshakeMs }),
    host: '127.0.0.1',
    port: 0,
    admission,
    accept: (link) => {
      const recorded = new Recorded(link);
      links.push(recorded);
      accepted(recorded);
      return recorded;
    },
  };
}

let accepted: (recorded: Recorded) => void = () => undefined;

/** `socket` and `tls-socket`: TCP and TLS where handles are not as they are known here. */
const transports = ['tcp', 'socket', 'tls', 'tls-socket', 'ws', 'wss'] as const;

async function listen(transport: (typeof transports)[number], handshakeMs?: number): Promise<Listener> {
  const identity = { cert: certificates.cert, key: certificates.key };
  const given = options(handshakeMs);
  const open = {
    tcp: () => listenMqtt(given),
    socket: () => listenTcp(given, (socket, source) => openSocket(socket, source, given.accept)),
    tls: () => listenMqtts({ ...given, identity }),
    'tls-socket': () => listenMqttsBySockets({ ...given, identity }),
    ws: () => listenWebSocket(given),
    wss: () => listenSecureWebSocket({ ...given, identity }),
  };
  const listener = await open[transport]();
  listeners.push(listener);
  return listener;
}

async function open(
  transport: (typeof transports)[number],
  listener: Listener,
): Promise<{ client: Client; recorded: Recorded }> {
  const recorded = new Promise<Recorded>((resolve) => (accepted = resolve));
  const { port } = listener;
  const { ca } = certificates;
  const client =
    transport === 'tcp' || transport === 'socket'
      ? overSocket(connect({ port, host: '127.0.0.1' }))
      : isTls(transport)
        ? overSocket(connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost' }))
        : await overWebSocket(new WebSocket(`${transport}://127.0.0.1:${port}/mqtt`, 'mqtt', { ca }));
  clients.push(client);
  return { client, recorded: await recorded };
}

function isTls(transport: (typeof transports)[number]): transport is 'tls' | 'tls-socket' {
  return transport === 'tls' || transport === 'tls-socket';
}

/** `raw`: the TCP connection; `stream`: what is said on it. */
function dial(
  transport: 'tcp' | 'socket' | 'tls' | 'tls-socket',
  { allowHalfOpen = false, ...tls }: { port: number; allowHalfOpen?: boolean } & ConnectionOptions,
): { raw: Socket; stream: Socket } {
  const raw = connect({ port: tls.port, host: '127.0.0.1', allowHalfOpen });
  if (!isTls(transport)) return { raw, stream: raw };
  const { ca } = certificates;
  return { raw, stream: connectTls({ ca, servername: 'localhost', ...tls, socket: raw }) };
}

function overSocket(socket: Socket): Client {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  return {
    send: (bytes) => socket.write(bytes),
    ended: once(socket, 'close').then(() => Buffer.concat(chunks)),
    received: () => Buffer.concat(chunks),
    close: () => socket.destroy(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}

async function overWebSocket(webSocket: WebSocket): Promise<Client> {
  const chunks: Buffer[] = [];
  webSocket.on('message', (data: Buffer) => chunks.push(data));
  webSocket.on('error', () => undefined);
  const ended = once(webSocket, 'close').then(() => Buffer.concat(chunks));
  await once(webSocket, 'open');
  return {
    send: (bytes) => webSocket.send(bytes),
    ended,
    received: () => Buffer.concat(chunks),
    close: () => webSocket.terminate(),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
  };
}

describe.each(transports)('a link over %s', (transport) => {
  it('says where it comes from', async () => {
    const { recorded } = await open(transport, await listen(transport));
    const { link } = recorded;
    expect(link.transport).toBe(transport === 'socket' ? 'tcp' : isTls(transport) ? 'tls' : transport);
    expect(link.remoteAddress).toBe('127.0.0.1');
    expect(link.remotePort).toBeGreaterThan(0);
    expect(link.serverName).toBe(isTls(transport) ? 'localhost' : undefined);
    expect(link.tlsVersion).toBe(isTls(transport) || transport === 'wss' ? 'TLSv1.3' : undefined);
    expect(link.peerCertificate).toBeUndefined();
  });

  it('carries bytes both ways, in order, however they are cut', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
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
    const { client, recorded } = await open(transport, await listen(transport));
    recorded.onReceived = () => {
      recorded.link.write([Buffer.from('goodbye')]);
      recorded.link.end();
      recorded.onReceived = () => undefined;
    };
    for (let index = 0; index < 50; index += 1) client.send(Buffer.alloc(1_000));
    expect((await client.ended).toString()).toBe('goodbye');
  });

  it('says that it is full, and when it has drained', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
    client.pause();
    const chunk = Buffer.alloc(256 * 1024);
    let flowing = true;
    while (flowing || recorded.link.bufferedBytes === 0) flowing = recorded.link.write([chunk]);
    client.resume();
    await recorded.until(() => recorded.drains > 0);
    expect(recorded.link.bufferedBytes).toBe(0);
  });

  it('delivers nothing more than what was under way while it is paused', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
    recorded.link.takePackets?.(1024 * 1024);
    recorded.link.write([Buffer.from('signed in')]);
    recorded.link.pause();
    const megabyte = Buffer.alloc(1024 * 1024);
    for (let index = 0; index < 8; index += 1) client.send(megabyte);
    // Another link of the same listener makes progress meanwhile: the paused one has had its turns.
    const listener = listeners[0]!;
    const other = await open(transport, listener);
    other.client.send(Buffer.from('x'));
    await other.recorded.until(() => other.recorded.length === 1);
    expect(recorded.length).toBeLessThan(2 * megabyte.length);
    recorded.link.resume();
    await recorded.until(() => recorded.length === 8 * megabyte.length);
  });

  it('tells the core once that the client is gone, and counts the connection no more', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
    expect(admission.open).toBe(1);
    client.close();
    await recorded.until(() => recorded.endings.length > 0);
    recorded.link.write([Buffer.from('too late')]);
    recorded.link.end();
    recorded.link.destroy();
    while (admission.open > 0) await new Promise(setImmediate);
    expect(recorded.endings).toHaveLength(1);
  });

  it('is cut by destroy', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
    recorded.link.destroy();
    await client.ended;
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings).toEqual([undefined]);
  });

  it('stays when the listener closes, and no other comes', async () => {
    const listener = await listen(transport);
    const { client, recorded } = await open(transport, listener);
    await listener.close();
    client.send(Buffer.from('still here'));
    await recorded.until(() => recorded.bytes.toString() === 'still here');
    const late = connect({ port: listener.port, host: '127.0.0.1' });
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
  });
});

describe('a port', () => {
  it('that somebody else listens on is not shared', async () => {
    const { port } = await listen('tcp');
    await expect(listenMqtt({ ...options(), port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('takes a crowd, each of them once', async () => {
    const { port } = await listen('tcp');
    const links = new Set<Link>();
    const all = new Promise<void>((resolve) => {
      const take = (recorded: Recorded): void => {
        accepted = take;
        if (links.add(recorded.link).size === 100) resolve();
      };
      accepted = take;
    });
    for (let i = 0; i < 100; i += 1) clients.push(overSocket(connect({ port, host: '127.0.0.1' })));
    await all;
    expect(new Set([...links].map(({ remotePort }) => remotePort)).size).toBe(100);
    expect(admission.open).toBe(100);
  });
});

const streams = ['tcp', 'socket', 'tls', 'tls-socket'] as const;

describe.each(streams)('a client over %s that has sent its last', (transport) => {
  async function finishing(): Promise<{ client: Client; recorded: Recorded }> {
    const { port } = await listen(transport);
    const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
    const { stream: socket } = dial(transport, { port, allowHalfOpen: true });
    const client = overSocket(socket);
    clients.push(client);
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

describe.each(['tcp', 'tls'] as const)('a link over %s, by its handle,', (transport) => {
  it('reads what comes next to the place that it is told', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
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
    const { client, recorded } = await open(transport, await listen(transport));
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
    const listener = await listen(transport);
    const memory = new Set<ArrayBufferLike>();
    for (let index = 0; index < 3; index += 1) {
      const { client, recorded } = await open(transport, listener);
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
    const { client, recorded } = await open(transport, await listen(transport));
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
    const { client, recorded } = await open(transport, await listen(transport));
    client.pause();
    fill(recorded.link);
    expect(recorded.link.bufferedBytes).toBeLessThanOrEqual(megabyte.length);
    client.resume();
    await recorded.until(() => recorded.drains > 0);
    expect(recorded.link.write([Buffer.from('x')])).toBe(true);
  });

  it('gives up what is under way when it is destroyed', async () => {
    const { client, recorded } = await open(transport, await listen(transport));
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
    const { port } = await listen(transport);
    const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
    const { raw, stream } = dial(transport, { port });
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

  it('ends with the error of a write to a peer that is gone', async () => {
    const { port } = await listen(transport);
    const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
    const { raw, stream } = dial(transport, { port });
    stream.on('error', () => undefined);
    const recorded = await accepting;
    recorded.link.pause();
    raw.resetAndDestroy();
    while (recorded.endings.length === 0) {
      recorded.link.write([Buffer.from('x')]);
      await new Promise(setImmediate);
    }
    const [error] = recorded.endings as [NodeJS.ErrnoException];
    expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
  });

  it('is cut off where the client does not end too', async () => {
    const { port } = await listen(transport);
    const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
    const { stream: peer } = dial(transport, { port, allowHalfOpen: true });
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
    const listener = await listen(transport);
    for (const atOnce of [true, false]) {
      const accepting = new Promise<Recorded>((resolve) => {
        accepted = (recorded) => {
          recorded.onReceived = () => recorded.link.destroy();
          if (atOnce) recorded.link.destroy();
          resolve(recorded);
        };
      });
      const client = overSocket(dial(transport, { port: listener.port }).stream);
      clients.push(client);
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

describe.each(['tls', 'tls-socket'] as const)('TLS 1.2 over %s', (transport) => {
  async function older(): Promise<{ socket: TLSSocket; recorded: Recorded }> {
    const { port } = await listen(transport);
    const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
    const socket = dial(transport, { port, maxVersion: 'TLSv1.2' }).stream as TLSSocket;
    clients.push(overSocket(socket));
    const recorded = await accepting;
    expect(recorded.link.tlsVersion).toBe('TLSv1.2');
    recorded.link.write([Buffer.from('x')]);
    await once(socket, 'data'); // its first handshake is behind it
    return { socket, recorded };
  }

  function anew(socket: TLSSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.once('close', () => reject(new Error('cut')));
      socket.renegotiate({}, (error) => (error ? reject(error) : resolve()));
    });
  }

  it('lets a client do its handshake anew, and goes on with the link that there is', async () => {
    const { socket, recorded } = await older();
    await anew(socket);
    socket.write('still here');
    await recorded.until(() => recorded.length === 10);
    expect(links).toHaveLength(1);
  });

  it('cuts off a client that does its handshake anew again and again', async () => {
    const { socket, recorded } = await older();
    for (let n = 1; n <= 3; n++) await anew(socket);
    expect(recorded.endings).toEqual([]);
    await anew(socket).catch(() => undefined); // whichever it hears of first
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings[0]).toMatchObject({ code: 'ERR_TLS_SESSION_ATTACK' });
  });
});

const upgrade =
  'GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n';

describe.each(['tls', 'tls-socket', 'wss'] as const)(
  'a client over %s that has taken its leave',
  (transport) => {
    it('has nothing kept of what it sends behind that', async () => {
      const { port } = await listen(transport);
      const accepting = new Promise<Recorded>((resolve) => (accepted = resolve));
      const raw = connect({ port, host: '127.0.0.1' });
      raw.on('error', () => undefined);
      // The words of leave go out; the end of sending, which would follow them, does not.
      const below = new Duplex({
        read: () => undefined,
        write: (bytes: Buffer, _encoding, done) => void raw.write(bytes, () => done()),
        final: (done) => done(),
      });
      raw.on('data', (bytes) => below.push(bytes));
      const client = connectTls({ socket: below, ca: certificates.ca, servername: 'localhost' });
      client.on('error', () => undefined);
      if (transport === 'wss') client.write(upgrade);
      const { link } = await accepting;
      raw.pause();
      link.write([Buffer.alloc(16 * megabyte.length)]); // it waits for somebody to read that
      client.end();
      for (let sent = 0; sent < 64; sent += 1) raw.write(megabyte);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(raw.destroyed).toBe(false);
      expect(raw.writableLength).toBeGreaterThan(32 * megabyte.length); // more than that the kernels do not hold
      raw.destroy();
    });
  },
);

describe('a TLS listener', () => {
  it('takes a client certificate without asking whose it is, for the gate to judge', async () => {
    const listener = await listen('tls');
    const recorded = new Promise<Recorded>((resolve) => (accepted = resolve));
    const { ca, cert, key } = certificates;
    clients.push(overSocket(connectTls({ port: listener.port, host: '127.0.0.1', ca, cert, key })));
    const der = (await recorded).link.peerCertificate?.leaf;
    expect(der?.toString('base64')).toBe(
      certificates.cert.toString().split('-----')[2]?.replaceAll('\n', ''),
    );
  });

  it('goes by the handles that are known here, and by none for a certificate that cannot be read', () => {
    expect(tlsBindingFor(certificates.cert)).toBeDefined();
    expect(tlsBindingFor('no certificate')).toBeUndefined();
  });

  it('ends a connection on which something else than its TLS comes after the handshake', async () => {
    const listener = await listen('tls');
    const recorded = new Promise<Recorded>((resolve) => (accepted = resolve));
    const raw = connect({ port: listener.port, host: '127.0.0.1' });
    const client = connectTls({ socket: raw, ca: certificates.ca, servername: 'localhost' });
    await once(client, 'secureConnect');
    client.on('error', () => undefined); // it is told why
    const server = await recorded;
    raw.write(Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32)])); // a record by another key
    await server.until(() => server.endings.length === 1);
    expect(server.endings[0]).toMatchObject({ code: 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC' });
  });

  it.each([
    ['what is no TLS', (socket: Socket) => socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['one that goes', (socket: Socket) => socket.destroy()],
    ['one that says nothing', () => undefined],
  ])('tells once of a handshake that came to nothing: %s', async (_, begin) => {
    const told: string[][] = [];
    const listener = await listenMqtts({
      ...options(100),
      identity: certificates,
      refused: (...refusal) => told.push(refusal),
    });
    listeners.push(listener);
    const socket = connect({ port: listener.port, host: '127.0.0.1' });
    clients.push(overSocket(socket));
    await once(socket, 'connect');
    begin(socket);
    while (admission.open === 0) await new Promise(setImmediate);
    while (admission.open > 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(told).toEqual([['handshake', '127.0.0.1']]);
  });

  it.each(['tls', 'wss'] as const)(
    '(%s) refuses TLS below 1.2 and what is no TLS, and forgets them',
    async (transport) => {
      const listener = await listen(transport);
      const { ca } = certificates;
      const old = connectTls({
        port: listener.port,
        host: '127.0.0.1',
        ca,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
      });
      await once(old, 'error');
      const plain = overSocket(connect({ port: listener.port, host: '127.0.0.1' }));
      plain.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      await plain.ended;
      while (admission.open > 0) await new Promise(setImmediate);
      expect(links).toHaveLength(0);
    },
  );
});

describe.each(['tls', 'wss'] as const)('a listener of TLS 1.2 (%s)', (transport) => {
  it.each([
    ['ECDHE-ECDSA-AES256-GCM-SHA384', 'welcome'],
    ['ECDHE-ECDSA-AES128-SHA', 'refusal'],
    ['ECDHE-ECDSA-AES128-SHA256', 'refusal'],
  ])('meets a client of %s with %s', async (ciphers, outcome) => {
    const { port } = await listen(transport);
    const { ca } = certificates;
    const socket = connectTls({ port, host: '127.0.0.1', ca, maxVersion: 'TLSv1.2', ciphers });
    const met = once(socket, 'secureConnect').then(
      () => 'welcome',
      () => 'refusal',
    );
    expect(await met).toBe(outcome);
    socket.destroy();
  });
});

describe('a WebSocket listener', () => {
  async function refusalOf(path: string, protocols: string[]): Promise<string> {
    const { port } = await listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
    const [error] = (await once(webSocket, 'error')) as [Error];
    return error.message;
  }

  it('answers on its own path only, and only to clients that offer MQTT', async () => {
    expect(await refusalOf('/', ['mqtt'])).toContain('404');
    expect(await refusalOf('/mqtt', [])).toContain('400');
    expect(await refusalOf('/mqtt', ['soap'])).toContain('400');
    expect(links).toHaveLength(0);
  });

  it.each([
    [['soap', 'mqtt'], 'mqtt'],
    [['mqttv3.1'], 'mqttv3.1'],
    [['mqttv3.1', 'mqtt'], 'mqtt'],
  ])('chooses of %j %s', async (offered, chosen) => {
    const { port } = await listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt?x=1`, offered);
    await once(webSocket, 'open');
    expect(webSocket.protocol).toBe(chosen);
    webSocket.terminate();
  });

  it('asks whoever speaks plain HTTP to upgrade', async () => {
    const { port } = await listen('ws');
    expect((await fetch(`http://127.0.0.1:${port}/mqtt`)).status).toBe(426);
  });

  it('closes on a text message, and hands nothing more to the core', async () => {
    const { port } = await listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
    await once(webSocket, 'open');
    webSocket.send('text');
    webSocket.send(Buffer.from('binary'));
    const [code] = (await once(webSocket, 'close')) as [number];
    expect(code).toBe(1003);
    expect(links[0]!.chunks).toEqual([]);
    expect(links[0]!.endings).toHaveLength(1);
  });

  /** Speaks frames, keeps its socket when the other side has ended its own, and goes on whatever it is told. */
  async function openBare(transport: 'ws' | 'wss') {
    const { port } = await listen(transport);
    const arrived = new Promise<Recorded>((resolve) => (accepted = resolve));
    const halfOpen = { port, host: '127.0.0.1', allowHalfOpen: true };
    const { ca } = certificates;
    const socket =
      transport === 'ws' ? connect(halfOpen) : connectTls({ ...halfOpen, ca, servername: 'localhost' });
    clients.push({ close: () => void socket.destroy() });
    socket.on('error', () => undefined).write(upgrade);
    const recorded = await arrived;
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    return { socket, recorded, received };
  }

  /** Masked by zeros, so that the payload is what it is. */
  const frame = (opcode: number, payload: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
  const [text, binary, reserved] = [1, 2, 3];

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
    const { port } = await listen('ws');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
    await once(webSocket, 'open');
    webSocket.ping('are you there');
    const [data] = (await once(webSocket, 'pong')) as [Buffer];
    expect(data.toString()).toBe('are you there');
    webSocket.terminate();
  });

  it.each(['ping', 'pong'] as const)('does not count a %s as part of a message', async (control) => {
    const { port } = await listen('ws');
    const recorded = new Promise<Recorded>((resolve) => (accepted = resolve));
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
    await once(webSocket, 'open');
    const { link } = await recorded;
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
    webSocket.terminate();
  });

  it('does not collect a large message of somebody it has not answered yet', async () => {
    const { client, recorded } = await open('ws', await listen('ws'));
    client.send(Buffer.alloc(1024 * 1024));
    await client.ended;
    expect(recorded.bytes).toHaveLength(0);
  });

  it.each([1, 17])('takes messages of %i MiB where a packet may be as large', async (mebibytes) => {
    const { client, recorded } = await open('ws', await listen('ws'));
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
    const { client, recorded } = await open('ws', await listen('ws'));
    recorded.link.takePackets?.(256 * 1024);
    recorded.link.write([Buffer.from('welcome')]);
    client.send(Buffer.alloc(8 * 1024 * 1024));
    await client.ended;
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.bytes).toHaveLength(0);
    expect(recorded.endings[0]?.message).toContain('larger');
  });
});

/** Resolves once it has, properly or not. */
function closed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  return new Promise((resolve) => socket.resume().once('close', () => resolve()));
}

describe('a connection that does not become a link', () => {
  const unfinished = [
    ['tls', 'nothing', ''],
    ['tls', 'half a hello', '\x16\x03\x01\x02\x00\x01'],
    ['ws', 'nothing', ''],
    ['ws', 'half a request', 'GET /mqtt HTTP/1.1\r\nHost: x\r\n'],
    ['ws', 'half a body', 'POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1'],
    ['wss', 'nothing', ''],
  ] as const;

  it.each(unfinished)('is cut in time: %s, %s', async (transport, _what, bytes) => {
    const { port } = await listen(transport, 50);
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write(bytes, 'latin1');
    await closed(socket);
    expect(links).toEqual([]);
  });

  it('is cut in time: wss, half a request', async () => {
    const { port } = await listen('wss', 50);
    const socket = connectTls({ port, host: '127.0.0.1', ca: certificates.ca, servername: 'localhost' });
    socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n');
    await closed(socket);
    expect(links).toEqual([]);
  });

  it('is cut when the listener closes', async () => {
    const listener = await listen('ws');
    const socket = connect({ port: listener.port, host: '127.0.0.1' });
    const ending = closed(socket);
    socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n');
    while (admission.open === 0) await new Promise((resolve) => setImmediate(resolve));
    await listener.close();
    await ending;
    expect(links).toEqual([]);
  });

  it('leaves a link alone that came in time', async () => {
    await withTimeEnough(200, async (ms) => {
      const listener = await listen('ws', ms);
      const { client, recorded } = await open('ws', listener);
      const late = connect({ port: listener.port, host: '127.0.0.1' });
      await closed(late); // the deadline of a younger one is over
      client.send(Buffer.from('still here'));
      await recorded.until(() => recorded.length === 10);
      expect(recorded.endings).toEqual([]);
    });
  });
});

describe('admission', () => {
  it('lets no more connections in than the process can hold, and lets another in when one leaves', () => {
    const door = new Admission(2);
    expect([door.enter('10.0.0.1'), door.enter('10.0.0.2')]).toEqual([undefined, undefined]);
    expect(door.enter('10.0.0.3')).toBe('too-many-connections');
    door.leave();
    expect(door.enter('10.0.0.3')).toBeUndefined();
  });

  it('slows one address down and no other, and is generous on loopback', () => {
    let now = 0;
    const door = new Admission(1_000_000, new TokenBuckets(() => now));
    const burst = Array.from({ length: 1_001 }, () => door.enter('10.0.0.1'));
    expect(burst.filter((denied) => denied === 'rate')).toHaveLength(1);
    expect(door.enter('10.0.0.2')).toBeUndefined();
    now += 1_000;
    const second = Array.from({ length: 201 }, () => door.enter('10.0.0.1'));
    expect(second.filter((denied) => denied === 'rate')).toHaveLength(1);
    const loopback = Array.from({ length: 50_000 }, () => door.enter('127.0.0.1'));
    expect(loopback.filter((denied) => denied !== undefined)).toHaveLength(0);
  });

  it('sizes itself by the files that the process may open', () => {
    expect(maxConnectionsOf(20_000)).toBe(19_744);
    expect(maxConnectionsOf('unlimited')).toBe(1_000_000);
    expect(maxConnectionsOf(undefined)).toBe(1_000_000);
    expect(maxConnectionsOf(64)).toBe(16);
  });

  it('takes an IPv4 client of a dual-stack listener for what it is', () => {
    expect(plainAddress('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(plainAddress('2001:db8::1')).toBe('2001:db8::1');
  });
});
