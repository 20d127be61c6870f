import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

import { type WebSocket, WebSocketServer } from 'ws';

import { defaultHandshakeMs, listenTcp, type Listener, type ListenOptions } from './accept.js';
import { Sources } from './proxy-protocol.js';
import { tlsCrowd } from './tls-crowd.js';
import {
  followIdentity,
  readNothingBehindLeave,
  secureOptions,
  type SecureListenOptions,
  tlsPeer,
} from './tls.js';
import { WebSocketLink } from './websocket-link.js';

export const webSocketPath = '/mqtt';

/** How large a message may be is the tenant's to say, and the link sees to it while it is collected. */
const noLimitOfItsOwn = 0;

/**
 * MQTT over WebSocket (MQTT 5.0, section 6). Pages of any origin may connect: a sign-in carries its credential in the CONNECT
 * packet, there is no cookie or other ambient authority that a foreign page could borrow.
 */
export function listenWebSocket(options: ListenOptions): Promise<Listener> {
  return listenOn(createServer(httpLimits, upgradeRequired), 'connection', options);
}

export function listenSecureWebSocket(options: SecureListenOptions): Promise<Listener> {
  const server = createSecureServer({ ...httpLimits, ...secureOptions(options) }, upgradeRequired);
  server.on('secureConnection', readNothingBehindLeave);
  server.on('secureConnection', () => tlsCrowd.came());
  followIdentity(server, options);
  return listenOn(server, 'secureConnection', options);
}

/** The request that asks for the upgrade is small, or never becomes a link. */
const httpLimits = { maxHeaderSize: 8 * 1024 };

/** `arrival`: the server's event for a connection on which it waits for a request. */
async function listenOn(
  server: Server,
  arrival: 'connection' | 'secureConnection',
  options: ListenOptions,
): Promise<Listener> {
  const sources = new Sources();
  const waiting = new Waiting(options.handshakeMs ?? defaultHandshakeMs);
  server.on(arrival, (socket: Socket) => waiting.add(socket));
  server.on('tlsClientError', (_, socket: TLSSocket) =>
    options.refused?.('handshake', sources.of(socket).address),
  );
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compression costs memory per connection and invites bombs; MQTT packets are small.
    perMessageDeflate: false,
    maxPayload: noLimitOfItsOwn,
    handleProtocols: chooseProtocol,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const refusal = refusalOf(request);
    if (refusal !== undefined) {
      options.refused?.('handshake', sources.of(request.socket).address);
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      waiting.delete(request.socket);
      open(webSocket, request, sources, options);
    });
  });
  const listener = await listenTcp(options, (socket, source) => {
    sources.note(socket, source);
    server.emit('connection', socket);
  });
  return {
    ...listener,
    close: async () => {
      await listener.close();
      waiting.destroyAll();
    },
  };
}

/**
 * Connections that are no WebSocket yet: each becomes one in time, or is cut, whatever it has been answered. Node's own limits
 * for requests hold only for connections that an HTTP server has accepted itself, and these were accepted for it.
 */
class Waiting {
  readonly #ms: number;
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(socket: Socket): void {
    this.#timers.set(
      socket,
      setTimeout(() => socket.destroy(), this.#ms),
    );
    socket.once('close', () => this.delete(socket));
  }

  delete(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  destroyAll(): void {
    for (const socket of this.#timers.keys()) socket.destroy();
  }
}

function open(
  webSocket: WebSocket,
  request: IncomingMessage,
  sources: Sources,
  options: ListenOptions,
): void {
  const { socket } = request;
  const { address: remoteAddress, port: remotePort } = sources.of(socket);
  const secure = socket instanceof TLSSocket;
  WebSocketLink.open(
    webSocket,
    socket,
    {
      transport: secure ? 'wss' : 'ws',
      remoteAddress,
      remotePort,
      ...(secure ? tlsPeer(socket) : { serverName: undefined, peerCertificate: undefined }),
    },
    options.accept,
  );
}

function refusalOf(request: IncomingMessage): string | undefined {
  const path = request.url?.split('?', 1)[0];
  if (path !== webSocketPath) return '404 Not Found';
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  // A client that does not offer MQTT does not speak it (MQTT-6.0.0-3).
  return chooseProtocol(new Set(offered)) === false ? '400 Bad Request' : undefined;
}

/** `mqttv3.1` is what clients of MQTT 3.1 were told to ask for, before there was a standard. */
function chooseProtocol(offered: ReadonlySet<string>): string | false {
  if (offered.has('mqtt')) return 'mqtt'; // MQTT-6.0.0-4
  return offered.has('mqttv3.1') ? 'mqttv3.1' : false;
}

const upgradeRequired: RequestListener = (_, response) => {
  response.writeHead(426, { Upgrade: 'websocket', Connection: 'close' }).end();
};
