import type { Socket } from 'node:net';

import type { Link, LinkSink, PeerCertificate, Transport } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { writeDirectly } from './direct-writes.js';
import { lendReads } from './lent-reads.js';

export interface Peer {
  readonly transport: Transport;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly serverName: string | undefined;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly tlsVersion?: string | undefined;
}

const linkOf = Symbol('link');
interface LinkedSocket extends Socket {
  [linkOf]: SocketLink;
}

/** A TCP or TLS socket as a Link. */
export class SocketLink implements Link {
  readonly transport: Transport;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly serverName: string | undefined;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly tlsVersion?: string | undefined;
  #socket: Socket;
  #sink: LinkSink | undefined;
  #error: Error | undefined;
  /** Its handle is known: it is written to past its stream as long as nothing waits there. */
  #isDirect = false;
  /** Of what was written past the stream, and the kernel has not taken at once. */
  #waitingBytes = 0;
  #isEnding = false;
  /** The peer has sent its last. */
  #hasFinished = false;
  #linger: NodeJS.Timeout | undefined;

  private constructor(socket: Socket, peer: Peer) {
    this.#socket = socket;
    this.transport = peer.transport;
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.serverName = peer.serverName;
    this.peerCertificate = peer.peerCertificate;
    this.tlsVersion = peer.tlsVersion;
  }

  static open(socket: Socket, peer: Peer, accept: Accept): void {
    const link = new SocketLink(socket, peer);
    link.#sink = accept(link);
    link.#readByStream();
    link.#listen();
  }

  /** A socket that has just been accepted. Returns the one that the link has made of it. */
  static take(accepted: Socket, peer: Peer, accept: Accept): Socket {
    const link = new SocketLink(accepted, peer);
    const socket = lendReads(accepted, link);
    if (socket === undefined) link.#readByStream();
    else {
      link.#socket = socket;
      link.#isDirect = true;
    }
    link.#sink = accept(link);
    link.#listen();
    return link.#socket;
  }

  #readByStream(): void {
    this.#socket.on('data', onData);
  }

  #listen(): void {
    const socket = this.#socket as LinkedSocket;
    socket[linkOf] = this;
    socket.allowHalfOpen = true; // who has sent its last may still read what it is answered
    socket.on('drain', onDrain);
    socket.on('error', onError);
    socket.on('end', onEnd);
    socket.on('close', onClose);
  }

  received(bytes: Buffer): void {
    if (!this.#isEnding) this.#sink?.received(bytes);
  }

  drained(): void {
    this.#sink?.drained();
  }

  failed(error: Error): void {
    this.#error = error;
  }

  place(): Buffer | undefined {
    return this.#sink?.place?.();
  }

  write(chunks: readonly Buffer[]): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true; // it is ending: `closed` comes or has come
    if (this.#isDirect && this.bufferedBytes === 0) {
      const isDone = writeDirectly(socket, chunks, this);
      if (isDone === true) return true;
      if (isDone === false) return this.#waitFor(chunks);
    }
    if (chunks.length === 1 && chunks[0] !== undefined) return socket.write(chunks[0]);
    let flowing = true;
    socket.cork(); // one system call for all of them
    for (const chunk of chunks) flowing = socket.write(chunk);
    socket.uncork();
    return flowing;
  }

  /** Node does not say how much of it waits: all of it counts, which its buffers do too. */
  #waitFor(chunks: readonly Buffer[]): boolean {
    for (const { length } of chunks) this.#waitingBytes += length;
    return !this.#isFull;
  }

  get #isFull(): boolean {
    return this.#waitingBytes >= this.#socket.writableHighWaterMark;
  }

  written(error: Error | undefined): void {
    const wasFull = this.#isFull;
    this.#waitingBytes = 0;
    if (error !== undefined) this.#socket.destroy(error); // which does nothing where it is destroyed already
    else if (wasFull) this.drained();
  }

  get bufferedBytes(): number {
    return this.#waitingBytes + this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /**
   * A socket that is closed with unread bytes in its receive buffer is reset, and a reset may overtake the last packet. So
   * sending ends first, what still arrives is read and thrown away, and the socket closes when the peer does.
   */
  end(): void {
    this.#isEnding = true;
    // Nor is there anything to wait for, or to say, once the peer has sent its last and was sent everything: closing says it. (Not TLS,
    // which takes leave in words of its own.)
    if (this.#hasFinished && this.transport === 'tcp' && this.bufferedBytes === 0) return this.destroy();
    this.#socket.end();
    this.#socket.resume();
    this.#cutLater();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  finished(): void {
    this.#hasFinished = true;
    this.#sink?.finished();
    if (!this.#socket.destroyed) this.#cutLater();
  }

  closed(): void {
    clearTimeout(this.#linger);
    this.#tellClosed();
  }

  #tellClosed(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.closed(this.#error);
  }

  #cutLater(): void {
    this.#linger ??= setTimeout(() => this.#socket.destroy(), lingerMs).unref();
  }
}

// One function for all sockets, which are `this` in it: closures of its own were a twelfth of what an idle connection holds.

function onData(this: LinkedSocket, chunk: Buffer): void {
  this[linkOf].received(chunk);
}

function onDrain(this: LinkedSocket): void {
  this[linkOf].drained();
}

function onError(this: LinkedSocket, error: Error): void {
  this[linkOf].failed(error);
}

function onEnd(this: LinkedSocket): void {
  this[linkOf].finished();
}

function onClose(this: LinkedSocket): void {
  this[linkOf].closed();
}
