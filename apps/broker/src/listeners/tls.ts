import {
  createSecureContext,
  type SecureContext,
  TLSSocket,
  type TLSSocketOptions,
  type TlsOptions,
} from 'node:tls';

import type { PeerCertificate } from '#mqtt';

import { defaultHandshakeMs, listenTcp, type Listener, type ListenOptions } from './accept.js';
import { contextOptions, type ServerIdentity } from './identities.js';
import { SocketLink } from './socket-link.js';

export type SecureListenOptions = ListenOptions & { readonly identity: ServerIdentity };

// Asked for and accepted whatever it is: it belongs to a tenant, and only the gate knows whose anchors to hold it against.
// Until the gate has, it proves nothing.
const certificateRequest = { requestCert: true, rejectUnauthorized: false } as const;

type HostsCallback = (name: string, done: (error: null, context: SecureContext | undefined) => void) => void;

function hostsCallback(identity: ServerIdentity): HostsCallback {
  return (name, done) => done(null, identity.contextFor?.(name));
}

/** What a TLS listener of Node's is to ask for. */
export function secureOptions({
  identity,
  handshakeMs = defaultHandshakeMs,
}: SecureListenOptions): TlsOptions {
  return {
    cert: identity.cert,
    key: identity.key,
    ...contextOptions,
    ...certificateRequest,
    SNICallback: hostsCallback(identity), // always: it may be renewed, and this may not
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

/**
 * MQTT over TLS. Sockets are wrapped here, as Node's own TLS server wraps them: that one, having asked for a certificate, makes an error
 * with its stack for every client that has none. Nobody reads it, and it was a part of what a sign-in with a password costs, the collector's
 * work included (bench/results.md). `secure` and `_tlsError` are what it goes by; they are not documented.
 */
export function listenMqtts(options: SecureListenOptions): Promise<Listener> {
  const { identity, handshakeMs = defaultHandshakeMs, accept, refused } = options;
  let handshake = handshakeOf(identity);
  identity.onRenewed?.(() => (handshake = handshakeOf(identity)));
  return listenTcp(options, (raw, source) => {
    const socket = new TLSSocket(raw, handshake);
    const fail = (): void => refused?.('handshake', source.address);
    socket.once('close', fail); // it came to nothing, whatever the reason
    socket.setTimeout(handshakeMs, onLate);
    socket.once('secure', () => {
      socket.off('close', fail);
      socket.setTimeout(0, onLate);
      const { address: remoteAddress, port: remotePort } = source;
      SocketLink.open(socket, { transport: 'tls', remoteAddress, remotePort, ...tlsPeer(socket) }, accept);
    });
    socket.on('_tlsError', onTlsError);
  });
}

/** To ask for the certificate of a host name stops a handshake and goes on with it: only where any has its own. */
function handshakeOf(identity: ServerIdentity): TLSSocketOptions {
  const { cert, key, hasHosts = false } = identity;
  return {
    isServer: true,
    secureContext: createSecureContext({ cert, key, ...contextOptions }),
    ...certificateRequest,
    ...(hasHosts ? { SNICallback: hostsCallback(identity) } : {}),
  };
}

function onLate(this: TLSSocket): void {
  this.destroy();
}

/** Before the end of the handshake and after it: Node tells only, and leaves the socket as it is. */
function onTlsError(this: TLSSocket, error: Error): void {
  this.destroy(error);
}
