/** Listeners of each transport on free ports, clients of theirs that are reduced to bytes, and the core's side of each link, remembered. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { WebSocket } from 'ws';

import type { Link, LinkSink } from '#mqtt';

import { listenTcp, type Listener, type ListenOptions } from '../../apps/broker/src/listeners/accept.js';
import { Admission } from '../../apps/broker/src/listeners/admission.js';
import { listenMqtt, openSocket } from '../../apps/broker/src/listeners/tcp.js';
import { listenMqtts, listenMqttsBySockets } from '../../apps/broker/src/listeners/tls.js';
import { listenSecureWebSocket, listenWebSocket } from '../../apps/broker/src/listeners/websocket.js';
import { makeTestCertificates, type TestCertificates } from './certificates.js';

/** `socket` and `tls-socket`: TCP and TLS where handles are not as they are known here. */
export const transports = ['tcp', 'socket', 'tls', 'tls-socket', 'ws', 'wss'] as const;
type Transport = (typeof transports)[number];

export const megabyte = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, index) => index % 251));

/** What a client asks a WebSocket listener for. */
export const upgrade =
  'GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n';

/** The core's side of one link. */
export class Recorded implements LinkSink {
  readonly link: Link;
  readonly chunks: Buffer[] = [];
  readonly endings: (Error | undefined)[] = [];
  drains = 0;
  comings = 0;
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

  coming(): void {
    this.comings += 1;
    this.#changed();
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

/** A client of one transport. */
export interface Client {
  send(bytes: Buffer): void;
  /** All that came, once the connection has ended. */
  readonly ended: Promise<Buffer>;
  close(): void;
  pause(): void;
  resume(): void;
}

/** For the tests of one file, which calls it once: what they open is closed after each. */
export function useListeners(): ListenersHarness {
  const harness = new ListenersHarness();
  beforeAll(() => harness.prepare());
  afterEach(() => harness.clear());
  afterAll(() => harness.certificates.remove());
  return harness;
}

class ListenersHarness {
  certificates!: TestCertificates;
  /** Of the listener that was opened last. */
  admission = new Admission(1_000);
  readonly listeners: Listener[] = [];
  readonly clients: Pick<Client, 'close'>[] = [];
  readonly links: Recorded[] = [];
  /** Told of each link. */
  accepted: (recorded: Recorded) => void = () => undefined;

  async prepare(): Promise<void> {
    this.certificates = await makeTestCertificates();
  }

  async clear(): Promise<void> {
    for (const client of this.clients.splice(0)) client.close();
    for (const { link } of this.links.splice(0)) link.destroy();
    await Promise.all(this.listeners.splice(0).map((listener) => listener.close()));
  }

  options(handshakeMs?: number): ListenOptions {
    this.admission = new Admission(1_000);
    return {
      ...(handshakeMs === undefined ? {} : { handshakeMs }),
      host: '127.0.0.1',
      port: 0,
      admission: this.admission,
      accept: (link) => {
        const recorded = new Recorded(link);
        this.links.push(recorded);
        this.accepted(recorded);
        return recorded;
      },
    };
  }

  async listen(transport: Transport, handshakeMs?: number): Promise<Listener> {
    const { cert, key } = this.certificates;
    const given = this.options(handshakeMs);
    const secure = { ...given, identity: { cert, key } };
    const open = {
      tcp: () => listenMqtt(given),
      socket: () => listenTcp(given, (socket, source) => openSocket(socket, source, given.accept)),
      tls: () => listenMqtts(secure),
      'tls-socket': () => listenMqttsBySockets(secure),
      ws: () => listenWebSocket(given),
      wss: () => listenSecureWebSocket(secure),
    };
    const listener = await open[transport]();
    this.listeners.push(listener);
    return listener;
  }

  /** The next link. */
  arrival(): Promise<Recorded> {
    return new Promise((resolve) => (this.accepted = resolve));
  }

  async open(transport: Transport, { port }: Listener): Promise<{ client: Client; recorded: Recorded }> {
    const arrival = this.arrival();
    const { ca } = this.certificates;
    const client =
      transport === 'ws' || transport === 'wss'
        ? await overWebSocket(new WebSocket(`${transport}://127.0.0.1:${port}/mqtt`, 'mqtt', { ca }))
        : overSocket(this.dial(transport, { port }).stream);
    this.clients.push(client);
    return { client, recorded: await arrival };
  }

  /** `raw`: the TCP connection; `stream`: what is said on it. */
  dial(
    transport: Exclude<Transport, 'ws' | 'wss'>,
    { allowHalfOpen = false, ...tls }: { port: number; allowHalfOpen?: boolean } & ConnectionOptions,
  ): { raw: Socket; stream: Socket } {
    const raw = connect({ port: tls.port, host: '127.0.0.1', allowHalfOpen });
    if (!isTls(transport)) return { raw, stream: raw };
    const { ca } = this.certificates;
    return { raw, stream: connectTls({ ca, servername: 'localhost', ...tls, socket: raw }) };
  }
}

export function isTls(transport: Transport): transport is 'tls' | 'tls-socket' {
  return transport === 'tls' || transport === 'tls-socket';
}

export function overSocket(socket: Socket): Client {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  return {
    send: (bytes) => socket.write(bytes),
    ended: once(socket, 'close').then(() => Buffer.concat(chunks)),
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
    close: () => webSocket.terminate(),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
  };
}

/** Resolves once it is, properly or not. */
export function closed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  return new Promise((resolve) => socket.resume().once('close', () => resolve()));
}
