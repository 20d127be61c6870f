import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

import { type WebSocket, WebSocketServer } from 'ws';

import { listenTcp, type Listener, type ListenOptions } from './accept.js';
import { Sources } from './proxy-protocol.js';
import { type ServerIdentity, tlsOptions, tlsPeer } from './tls.js';
import { WebSocketLink } from './websocket-link.js';

export const webSocketPath = '/mqtt';

/** Of one WebSocket message. A bigger MQTT packet is legal, split over several. */
const maxMessageBytes = 16 * 1024 * 1024;

/**
 * MQTT over WebSocket (MQTT 5.0, section 6). Pages of any origin may connect: a sign-in carries its credential in the CONNECT
 * packet, there is no cookie or other ambient authority that a foreign page could borrow.
 */
export function listenWebSocket(options: ListenOptions): Promise<Listener> {
  return listenOn(createServer(httpLimits, upgradeRequired), options);
}

export function listenSecureWebSocket(
  options: ListenOptions & { readonly identity: ServerIdentity },
): Promise<Listener> {
  const server = createSecureServer({ ...httpLimits, ...tlsOptions(options.identity) }, upgradeRequired);
  return listenOn(server, options);
}

/** The request that asks for the upgrade arrives quickly and is small, or never becomes a link. Times in milliseconds. */
const httpLimits = {
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 1_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 * 1024,
};

async function listenOn(server: Server, options: ListenOptions): Promise<Listener> {
  const sources = new Sources();
  server.on('tlsClientError', (_, socket: TLSSocket) =>
    options.refused?.('handshake', sources.of(socket).address),
  );
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compression costs memory per connection and invites bombs; MQTT packets are small.
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
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
    webSockets.handleUpgrade(request, socket, head, (webSocket) =>
      open(webSocket, request, sources, options),
    );
  });
  const listener = await listenTcp(options, (socket, source) => {
    sources.note(socket, source);
    server.emit('connection', socket);
  });
  return {
    ...listener,
    close: async () => {
      await listener.close();
      // Requests that have not become WebSockets; those that have are no longer the HTTP server's.
      server.closeAllConnections();
      server.close();
    },
  };
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
