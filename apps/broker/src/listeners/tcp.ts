import { listenTcp, type Listener, type ListenOptions } from './accept.js';
import { SocketLink } from './socket-link.js';

/** MQTT over TCP. */
export function listenMqtt(options: ListenOptions): Promise<Listener> {
  return listenTcp(options, (socket, { address, port }) =>
    SocketLink.take(
      socket,
      {
        transport: 'tcp',
        remoteAddress: address,
        remotePort: port,
        serverName: undefined,
        peerCertificate: undefined,
      },
      options.accept,
    ),
  );
}
