import type { Socket } from 'node:net';

import type { Link, LinkSink } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { LinkToPeer, type Peer } from './peer.js';

const linkOf = Symbol('link');
interface LinkedSocket extends Socket {
  [linkOf]: SocketLink;
}

/** A TCP or TLS connection as a Link, where it is not taken by its handle (`handle-link.ts`): behind a proxy, for one. */
export class SocketLink extends LinkToPeer implements Link {
  readonly #socket: Socket;
  #sink: LinkSink | undefined;
  #error: Error | undefined;
  #isEnding = false;
  /** The peer has sent its last. */
  #hasFinished = false;
  #linger: NodeJS.Timeout | undefined;

  private constructor(socket: Socket, peer: Peer) {
    super(peer);
    this.#socket = socket;
  }

  static open(socket: Socket, peer: Peer, accept: Accept): void {
    const link = new SocketLink(socket, peer);
    link.#sink = accept(link);
    link.#listen();
  }

  #listen(): void {
    const socket = this.#socket as LinkedSocket;
    socket[linkOf] = this;
    socket.allowHalfOpen = true; // who has sent its last may still read what it is answered
    socket.on('data', onData);
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

  write(chunks: readonly Buffer[]): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true; // it is ending: `closed` comes or has come
    if (chunks.length === 1 && chunks[0] !== undefined) return socket.write(chunks[0]);
    let flowing = true;
    socket.cork(); // one system call for all of them
    for (const chunk of chunks) flowing = socket.write(chunk);
    socket.uncork();
    return flowing;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
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
