import { createServer, type SecureContext, type TLSSocket, type TlsOptions } from 'node:tls';

import type { PeerCertificate } from '#mqtt';

import { defaultHandshakeMs, listenTcp, type Listener, type ListenOptions } from './accept.js';
import { contextOptions } from './identities.js';
import { Sources } from './proxy-protocol.js';
import { SocketLink } from './socket-link.js';

/** The server's certificate chain and private key, PEM. */
export interface ServerIdentity {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Of a host name that has a certificate of its own. */
  contextFor?(serverName: string): SecureContext | undefined;
  /** Calls back whenever `cert` and `key` have become others. */
  onRenewed?(renewed: () => void): void;
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
    ...contextOptions,
    ...(identity.contextFor === undefined
      ? {}
      : { SNICallback: (name, done) => done(null, identity.contextFor?.(name)) }),
    // Asked for and accepted whatever it is: it belongs to a tenant, and only the gate knows whose anchors to hold it against.
    // Until the gate has, it proves nothing.
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMs, // a link has its sign-in deadline only from the end of the handshake on
  };
}

/** Handshakes from now on are done with the certificates of now; connections that are there go on. */
export function followIdentity(
  server: { setSecureContext(options: TlsOptions): void },
  options: SecureListenOptions,
): void {
  options.identity.onRenewed?.(() => server.setSecureContext(secureOptions(options)));
}

/** What a finished handshake says about the client. */
export function tlsPeer(socket: TLSSocket): {
  serverName: string | undefined;
  peerCertificate: PeerCertificate | undefined;
  tlsVersion: string | undefined;
} {
  const { servername } = socket as { servername?: string | false };
  return {
    serverName: servername || undefined,
    peerCertificate: peerCertificate(socket),
    tlsVersion: socket.getProtocol() ?? undefined,
  };
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
  followIdentity(handshakes, options);
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
