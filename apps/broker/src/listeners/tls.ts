import { constants } from 'node:crypto';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';

import type { PeerCertificate } from '#mqtt';

import { defaultHandshakeMs, listenTcp, type Listener, type ListenOptions } from './accept.js';
import { Sources } from './proxy-protocol.js';
import { SocketLink } from './socket-link.js';

/** The server's certificate chain and private key, PEM. */
export interface ServerIdentity {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export type SecureListenOptions = ListenOptions & { readonly identity: ServerIdentity };

/** What every TLS listener of ours asks for. */
export function secureOptions({
  identity,
  handshakeMs = defaultHandshakeMs,
}: SecureListenOptions): TlsOptions {
  return {
    cert: identity.cert,
    key: identity.key,
    minVersion: 'TLSv1.2',
    // Asked for and accepted whatever it is: it belongs to a tenant, and only the gate knows whose anchors to hold it against.
    // Until the gate has, it proves nothing.
    requestCert: true,
    rejectUnauthorized: false,
    // No session is resumed, in TLS 1.2 or 1.3. A resumed one carries the client's certificate as it was, without the chain that came
    // with it: a device behind an intermediate authority would be let in the first time and refused the second.
    secureOptions: constants.SSL_OP_NO_TICKET,
    handshakeTimeout: handshakeMs, // a link has its sign-in deadline only from the end of the handshake on
  };
}

/** What a finished handshake says about the client. */
export function tlsPeer(socket: TLSSocket): {
  serverName: string | undefined;
  peerCertificate: PeerCertificate | undefined;
} {
  const { servername } = socket as { servername?: string | false };
  return { serverName: servername || undefined, peerCertificate: peerCertificate(socket) };
}

/** A chain that is longer than any that is accepted; the gate refuses it for its length. */
const maxIntermediates = 8;

function peerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  const own = socket.getPeerX509Certificate();
  if (own === undefined) return undefined;
  const intermediates: Buffer[] = [];
  // Of what the client sent, each the issuer of the one before.
  for (let next = own.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    if (intermediates.push(next.raw) === maxIntermediates) break;
  }
  return { leaf: own.raw, intermediates };
}

/** MQTT over TLS. */
export function listenMqtts(options: SecureListenOptions): Promise<Listener> {
  const sources = new Sources();
  const handshakes = createServer(secureOptions(options));
  handshakes.on('secureConnection', (socket) => {
    const { address: remoteAddress, port: remotePort } = sources.of(socket);
    const peer = { transport: 'tls', remoteAddress, remotePort, ...tlsPeer(socket) } as const;
    SocketLink.open(socket, peer, options.accept);
  });
  handshakes.on('tlsClientError', (_, socket) => {
    options.refused?.('handshake', sources.of(socket).address);
    socket.destroy(); // a handshake that takes too long is only told, not ended
  });
  return listenTcp(options, (socket, source) => {
    sources.note(socket, source);
    handshakes.emit('connection', socket);
  });
}
