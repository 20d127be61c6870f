import type { Socket } from 'node:net';

import { type Accept, listenTcp, type Listener, type ListenOptions } from './accept.js';
import { HandleLink } from './handle-link.js';
import { lent } from './lent-memory.js';
import type { Source } from './proxy-protocol.js';
import type { Peer } from './peer.js';
import { SocketLink } from './socket-link.js';

/** MQTT over TCP. */
export function listenMqtt(options: ListenOptions): Promise<Listener> {
  const { accept } = options;
  return listenTcp(
    options,
    (socket, source) => openSocket(socket, source, accept),
    (node, tcp, source, left) => {
      tcp.useUserBuffer(lent);
      new HandleLink(node, { tcp, tls: undefined }, tcpPeer(source), left).open(accept);
    },
  );
}

/** Where the connection is Node's already. */
export function openSocket(socket: Socket, source: Source, accept: Accept): void {
  SocketLink.open(socket, tcpPeer(source), accept);
}

function tcpPeer({ address, port }: Source): Peer {
  return {
    transport: 'tcp',
    remoteAddress: address,
    remotePort: port,
    serverName: undefined,
    peerCertificate: undefined,
  };
}
