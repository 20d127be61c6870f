import type { Socket } from 'node:net';
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
import { peerCertificate } from './peer-certificate.js';
import type { Source } from './proxy-protocol.js';
import { SocketLink } from './socket-link.js';
import { tlsBindingFor } from './tls-binding.js';
import { tlsCrowd } from './tls-crowd.js';
import { type HandshakeOptions, TlsHandshake } from './tls-handshake.js';

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
    peerCertificate: peerCertificate(
      socket.getPeerX509Certificate(),
      (certificate) => certificate.raw,
      (certificate) => certificate.issuerCertificate,
    ),
    tlsVersion: socket.getProtocol() ?? undefined,
  };
}

/** MQTT over TLS: by handles where they are as they are known here (`tls-handshake.ts`), and by sockets of Node's where not. */
export function listenMqtts(options: SecureListenOptions): Promise<Listener> {
  const { identity } = options;
  const node = tlsBindingFor(identity.cert);
  if (node === undefined) return listenMqttsBySockets(options);
  let handshake = handshakeOptions(options);
  identity.onRenewed?.(() => (handshake = handshakeOptions(options)));
  return listenTcp(options, bySocket(options), (stream, handle, source, left) => {
    tlsCrowd.came();
    TlsHandshake.begin(stream, node, handle, handshake, source, left);
  });
}

export function listenMqttsBySockets(options: SecureListenOptions): Promise<Listener> {
  return listenTcp(options, bySocket(options));
}

function handshakeOptions({
  identity,
  handshakeMs = defaultHandshakeMs,
  accept,
  refused,
}: SecureListenOptions): HandshakeOptions {
  const { hasHosts = false } = identity;
  return {
    context: contextOf(identity),
    // To ask for the certificate of a host name stops a handshake and goes on with it: only where any has its own.
    contextFor: hasHosts ? (name) => identity.contextFor?.(name) : undefined,
    timeoutMs: handshakeMs,
    accept,
    failed: ({ address }) => refused?.('handshake', address),
  };
}

function contextOf({ cert, key }: ServerIdentity): SecureContext {
  return createSecureContext({ cert, key, ...contextOptions });
}

/**
 * Sockets are wrapped here, as Node's own TLS server wraps them: that one, having asked for a certificate, makes an error
 * with its stack for every client that has none. Nobody reads it, and it was a part of what a sign-in with a password costs, the collector's
 * work included (bench/results.md). `secure` and `_tlsError` are what it goes by; they are not documented.
 */
function bySocket({
  identity,
  handshakeMs = defaultHandshakeMs,
  accept,
  refused,
}: SecureListenOptions): (raw: Socket, source: Source) => void {
  let handshake = socketOptions(identity);
  identity.onRenewed?.(() => (handshake = socketOptions(identity)));
  return (raw, source) => {
    tlsCrowd.came();
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
    readNothingBehindLeave(socket);
  };
}

function socketOptions(identity: ServerIdentity): TLSSocketOptions {
  return {
    isServer: true,
    secureContext: contextOf(identity),
    ...certificateRequest,
    ...(identity.hasHosts === true ? { SNICallback: hostsCallback(identity) } : {}),
  };
}

/**
 * A client that has taken its leave in TLS's words may send on all the same, and Node would keep that, for nobody. `end` would be too late: it
 * waits until all that came before is asked for. The handle is not documented.
 */
export function readNothingBehindLeave(socket: TLSSocket): void {
  socket.push = pushUntilLeave;
}

function pushUntilLeave(this: TLSSocket, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk === null) (this as { readonly _handle?: { readStop?(): number } | null })._handle?.readStop?.();
  return TLSSocket.prototype.push.call(this, chunk, encoding);
}

function onLate(this: TLSSocket): void {
  this.destroy();
}

/** Before the end of the handshake and after it: Node tells only, and leaves the socket as it is. */
function onTlsError(this: TLSSocket, error: Error): void {
  this.destroy(error);
}
