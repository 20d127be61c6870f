import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import type { TransportName } from './options.js';

export interface Endpoint {
  readonly transport: TransportName;
  readonly host: string;
  readonly port: number;
  /** For TLS; shared by the fleet, because every context holds a copy of the trusted certificates. */
  readonly secureContext: SecureContext | undefined;
  readonly ca: Buffer | undefined;
}

/** An MQTT 5.0 connection over any transport: packets in, packets out. What they mean is the device's business. */
export interface Connection {
  send(packet: Packet): void;
  /** Closes the socket without a DISCONNECT, as a lost network does. */
  cut(): void;
  /** Sends what is written, then closes. */
  end(): void;
}

export interface ConnectionEvents {
  packet(packet: Packet): void;
  /** Once, however it ended. */
  closed(error: Error | undefined): void;
}

export function openConnection(
  endpoint: Endpoint,
  hello: IConnectPacket,
  events: ConnectionEvents,
): Connection {
  const stream = openStream(endpoint);
  const incoming = parser({ protocolVersion: 5 });
  let failure: Error | undefined;
  incoming.on('packet', (packet) => events.packet(packet));
  incoming.on('error', (error: Error) => stream.destroy(error));
  stream.on('data', (chunk: Buffer) => incoming.parse(chunk));
  stream.on('error', (error) => {
    failure = error;
  });
  stream.once('end', () => stream.end());
  stream.once('close', () => events.closed(failure));
  const send = (packet: Packet): void => void stream.write(generate(packet, { protocolVersion: 5 }));
  send(hello);
  return { send, cut: () => void stream.destroy(), end: () => void stream.end() };
}

function openStream({ transport, host, port, secureContext, ca }: Endpoint): Duplex {
  switch (transport) {
    case 'tcp':
      return connectTcp({ host, port, noDelay: true });
    case 'tls':
      return connectTls({ host, port, secureContext, servername: serverName(host) });
    case 'ws':
    case 'wss': {
      const url = `${transport}://${host.includes(':') ? `[${host}]` : host}:${port}/mqtt`;
      const socket = new WebSocket(url, 'mqtt', {
        ...(ca === undefined ? {} : { ca }),
        perMessageDeflate: false,
      });
      return createWebSocketStream(socket);
    }
  }
}

/** An address is no server name (RFC 6066, 3); the certificate names it all the same. */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host;
}
