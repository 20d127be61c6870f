import type { Socket } from 'node:net';

import { type Accept, listenTcp, type Listener, type ListenOptions } from './accept.js';
import type { Source } from './proxy-protocol.js';
import { SocketLink } from './socket-link.js';
import { TcpLink } from './tcp-link.js';

/** MQTT over TCP. */
export function listenMqtt(options: ListenOptions): Promise<Listener> {
  const { accept } = options;
  return listenTcp(
    options,
    (socket, source) => openSocket(socket, source, accept),
    (node, handle, source, left) => TcpLink.open(node, handle, source, accept, left),
  );
}

/** Where the connection is Node's already. */
export function openSocket(socket: Socket, { address, port }: Source, accept: Accept): void {
  const peer = {
    remoteAddress: address,
    remotePort: port,
    serverName: undefined,
    peerCertificate: undefined,
  };
  SocketLink.open(socket, { transport: 'tcp', ...peer }, accept);
}
