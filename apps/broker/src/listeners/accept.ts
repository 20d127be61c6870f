import {
  createServer,
  type AddressInfo,
  type ListenOptions as Place,
  type Server,
  type Socket,
} from 'node:net';

import type { Link, LinkSink } from '#mqtt';

import { type Admission, type Denied, plainAddress } from './admission.js';
import { ownSource, readProxyHeader, type Source, type TrustedProxies } from './proxy-protocol.js';
import { isTcpHandle, type StreamBinding, streamBinding, type TcpHandle } from './stream-binding.js';

/** Hands a new link to the core, which from now on answers through the sink. */
export type Accept = (link: Link) => LinkSink;

export interface ListenOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly admission: Admission;
  readonly accept: Accept;
  /** Connections come from these alone, each with a header of the PROXY protocol. */
  readonly proxies?: TrustedProxies | undefined;
  /** Milliseconds in which a TLS handshake is done, and again a request to upgrade: no client needs as long. */
  readonly handshakeMs?: number;
  /** Told about what never became a link. */
  readonly refused?: (why: Denied | 'handshake' | 'not-a-proxy' | 'proxy-header', address: string) => void;
}

/** A port that is listened on. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Takes no new connections; those that are there stay. */
  close(): Promise<void>;
}

export const defaultHandshakeMs = 10_000;

/** Milliseconds after `end` in which a client may read what was sent and close; then the connection is cut. */
export const lingerMs = 3_000;

/** Seconds of silence after which the kernel asks whether the peer is still there. */
const keepAliveAfterS = 60;

/** Connections waiting to be accepted: a fleet that comes back at once must not be turned away by the kernel. */
const backlog = 4_096;

type Connected = (socket: Socket, source: Source) => void;

type AcceptBare = (node: StreamBinding, handle: TcpHandle) => void;

/** `left` is to be called when the connection is closed. */
type ConnectedBare = (node: StreamBinding, handle: TcpHandle, source: Source, left: () => void) => void;

/**
 * Every listener starts here: TCP connections that are admitted, whatever is spoken on them. So limits hold before a TLS
 * handshake or an HTTP request costs anything. `connectedBare`: for whoever needs no socket of Node's, where it can be had without.
 */
export async function listenTcp(
  options: ListenOptions,
  connected: Connected,
  connectedBare?: ConnectedBare,
): Promise<Listener> {
  const { host, port, admission } = options;
  const leave = (): void => admission.leave();
  const accepted = (socket: Socket): void => {
    if (socket.remoteAddress === undefined) return void socket.destroy(); // gone before it was accepted
    if (options.proxies !== undefined) return acceptProxied(socket, options.proxies, options, connected);
    const source = ownSource(socket);
    const denied = admission.enter(source.address);
    if (denied !== undefined) {
      options.refused?.(denied, source.address);
      return void socket.resetAndDestroy();
    }
    socket.on('close', leave);
    connected(socket, source);
  };
  const acceptedBare: AcceptBare = (node, handle) => {
    const source = sourceOf(handle);
    if (source === undefined) return handle.close(); // gone before it was accepted
    const denied = admission.enter(source.address);
    if (denied === undefined) return connectedBare?.(node, handle, source, leave);
    options.refused?.(denied, source.address);
    handle.reset();
  };
  const isBare = connectedBare !== undefined && options.proxies === undefined; // what a proxy says is read from a socket
  const servers = await serversOn(host, port, accepted, isBare ? acceptedBare : undefined);
  return {
    host,
    port: portOf(servers[0]),
    close: () => {
      // Resolves at once for the port; the connections that stay are the core's to end.
      for (const server of servers) server.close();
      return Promise.resolve();
    },
  };
}

function acceptProxied(
  socket: Socket,
  proxies: TrustedProxies,
  { admission, refused }: ListenOptions,
  connected: Connected,
): void {
  const proxy = ownSource(socket);
  const denied = proxies.includes(proxy.address) ? admission.enterProxied() : 'not-a-proxy';
  if (denied !== undefined) {
    refused?.(denied, proxy.address);
    return void socket.resetAndDestroy();
  }
  socket.once('close', () => admission.leave());
  readProxyHeader(
    socket,
    (source) => {
      if (admission.isInRate(source.address)) return connected(socket, source);
      refused?.('rate', source.address);
      socket.resetAndDestroy();
    },
    () => refused?.('proxy-header', proxy.address),
  );
}

/**
 * libuv takes one connection a turn of the loop from a socket that listens, so that in a crowd each newcomer is charged a turn of its own,
 * while the others wait in the kernel. With two on the port, among which Linux shares newcomers out, a turn takes two: more sign-ins a
 * second by an eighth to a third. With four a turn of a storm takes longer than its neighbours should wait (bench/history.md).
 */
const socketsOnPort = process.platform === 'linux' ? 2 : 1;

async function serversOn(
  host: string,
  port: number,
  accepted: (socket: Socket) => void,
  acceptBare: AcceptBare | undefined,
): Promise<readonly [Server, ...Server[]]> {
  // Who shares a port shares it with any process of the same user. So whether it is free is found out by one that does not.
  const alone = createServer();
  if (port !== 0) {
    await listening(alone, { host, port });
    await new Promise((resolve) => alone.close(resolve));
  }
  const listenAt = async (place: number): Promise<Server> => {
    // noDelay: acknowledgements are small and somebody waits for them. keepAlive: a peer that vanished is noticed by the kernel.
    const server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveAfterS * 1_000 },
      accepted,
    );
    await listening(server, { host, port: place, reusePort: socketsOnPort > 1 });
    if (acceptBare !== undefined) takeHandles(server, acceptBare);
    return server;
  };
  const first = await listenAt(port);
  const others: Server[] = [];
  while (others.length + 1 < socketsOnPort) others.push(await listenAt(portOf(first)));
  return [first, ...others];
}

interface ServerHandle {
  onconnection?: (this: ServerHandle, status: number, handle: unknown) => void;
}

/** Connections are taken before the server makes sockets of them; it goes on to, where handles are not as they are known here. */
function takeHandles(server: Server, accept: AcceptBare): void {
  const { _handle: handle } = server as unknown as { readonly _handle?: ServerHandle | null };
  const bySocket = handle?.onconnection;
  const node = streamBinding;
  if (handle === undefined || handle === null || bySocket === undefined || node === undefined) return;
  handle.onconnection = function (status, accepted) {
    if (status !== 0 || !isTcpHandle(accepted)) return bySocket.call(this, status, accepted);
    accepted.setNoDelay(true);
    accepted.setKeepAlive(true, keepAliveAfterS);
    accept(node, accepted);
  };
}

function sourceOf(handle: TcpHandle): Source | undefined {
  const peer: { address?: string; port?: number } = {};
  if (handle.getpeername(peer) !== 0) return undefined;
  return { address: plainAddress(peer.address ?? ''), port: peer.port ?? 0 };
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function listening(server: Server, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...place, backlog }, () => {
      server.off('error', reject);
      // Later errors are of single accepts (out of files, for instance): the server goes on, the peer sees a reset.
      server.on('error', () => undefined);
      resolve();
    });
  });
}
