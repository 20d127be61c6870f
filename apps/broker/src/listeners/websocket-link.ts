import type { Socket } from 'node:net';

import type { WebSocket } from 'ws';

import { defaultPreAuthLimits, type Link, type LinkSink } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { LinkToPeer, type Peer } from './peer.js';

/**
 * Bytes a client may send before it is answered. ws hands over whole messages, so until somebody has signed in it must not be
 * given a large one to collect. The first answer is CONNACK: what comes after it is under the tenant's limits.
 */
const maxUnansweredBytes = 2 * defaultPreAuthLimits.maxConnectBytes;

/** Of a message, beside one packet of the largest size: others that share the message with it, and what the next one begins with. */
const roomBeside = 64 * 1024;

/**
 * Milliseconds in which somebody who has broken the protocol of WebSocket may close: nothing is read of it any more, and what it is told
 * is a close frame and nothing else.
 */
const lingerAfterErrorMs = 1_000;

/** Under it, chunks are copied into one frame; above it, copying costs more than a few frames. */
const joinBytes = 64 * 1024;

/** Of a masked ping or pong. */
const controlHeaderBytes = 6;

const normalClosure = 1000;
const unsupportedData = 1003;

/** A WebSocket as a Link: MQTT's bytes, in binary messages whose borders mean nothing (MQTT-6.0.0-2). */
export class WebSocketLink extends LinkToPeer implements Link {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  #sink: LinkSink | undefined;
  #error: Error | undefined;
  #linger: NodeJS.Timeout | undefined;
  #cutOffAt = Infinity;
  #isAnswered = false;
  /** What has come since the last whole message, and how much that may be. */
  #collectedBytes = 0;
  /** That, when it was last looked at: pings do not add to it, and what comes with the end of a message may all be of that. */
  #reachedBytes = 0;
  #maxCollectedBytes = maxUnansweredBytes;

  private constructor(webSocket: WebSocket, socket: Socket, peer: Peer) {
    super(peer);
    this.#webSocket = webSocket;
    this.#socket = socket;
  }

  static open(webSocket: WebSocket, socket: Socket, peer: Peer, accept: Accept): void {
    const link = new WebSocketLink(webSocket, socket, peer);
    link.#sink = accept(link);
    webSocket.binaryType = 'nodebuffer';
    webSocket.on('message', (data: Buffer, isBinary) => {
      if (link.#isAnswered) link.#collectedBytes = 0;
      link.#reachedBytes = Infinity;
      if (isBinary) link.#sink?.received(data);
      else link.#refuseText(); // MQTT-6.0.0-1
    });
    // Between two messages, or in the middle of one: not what is collected. But nobody is kept alive who has not signed in: then all counts.
    for (const control of ['ping', 'pong'] as const) {
      webSocket.on(control, (data: Buffer) => {
        if (!link.#isAnswered) return;
        link.#collectedBytes -= controlHeaderBytes + data.length;
        link.#sink?.received(nothing); // it takes as long as a message, and is charged as one
      });
    }
    webSocket.on('error', (error) => link.#failed(error));
    webSocket.on('close', () => link.#closed());
    // ws has answered a close frame: the link has ended, however long the client keeps its socket.
    socket.once('finish', () => link.#halfClosed());
    socket.on('data', (chunk: Buffer) => link.#collect(chunk.length));
    socket.on('drain', () => link.#sink?.drained());
  }

  write(chunks: readonly Buffer[]): boolean {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return true; // `closed` comes or has come
    this.#isAnswered = true;
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (chunks.length > 1 && bytes <= joinBytes) {
      this.#webSocket.send(Buffer.concat(chunks, bytes));
    } else {
      this.#socket.cork();
      for (const chunk of chunks) this.#webSocket.send(chunk, asBinary);
      this.#socket.uncork();
    }
    return !this.#socket.writableNeedDrain;
  }

  get bufferedBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  takePackets(maxBytes: number): void {
    this.#maxCollectedBytes = Math.max(maxUnansweredBytes, maxBytes + roomBeside);
  }

  end(): void {
    this.#close(normalClosure, lingerMs);
  }

  destroy(): void {
    this.#webSocket.terminate();
  }

  #collect(bytes: number): void {
    this.#collectedBytes += bytes;
    if (this.#collectedBytes > this.#reachedBytes) this.#sink?.coming?.();
    this.#reachedBytes = this.#collectedBytes;
    if (this.#collectedBytes <= this.#maxCollectedBytes) return;
    if (this.#linger !== undefined) return this.#readNothing();
    this.#error ??= new Error('a message larger than the largest packet');
    this.destroy(); // what is collected goes at once
  }

  /** What still comes is thrown away before ws collects it, a close frame too: it is cut off in time. */
  #readNothing(): void {
    this.#socket.removeAllListeners('data').resume();
  }

  /** Of WebSocket's own protocol: ws parses nothing more, and has answered by a close frame. */
  #failed(error: Error): void {
    this.#error ??= error;
    this.#tellClosed();
    this.#readNothing();
    this.#cutOff(lingerAfterErrorMs);
  }

  #refuseText(): void {
    this.#error ??= new Error('a text message where MQTT needs binary ones');
    this.#tellClosed();
    this.#close(unsupportedData, lingerAfterErrorMs);
  }

  /** What is written goes out before the close frame; the client answers it, or is cut off. Of what it sends meanwhile little is kept. */
  #close(code: number, ms: number): void {
    this.#webSocket.removeAllListeners('message');
    this.#collectedBytes = 0;
    this.#maxCollectedBytes = maxUnansweredBytes;
    this.#webSocket.resume();
    this.#webSocket.close(code);
    this.#cutOff(ms);
  }

  #halfClosed(): void {
    this.#cutOff(lingerMs);
    this.#tellClosed();
  }

  /** A time that runs already is not prolonged. */
  #cutOff(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.#cutOffAt) return;
    this.#cutOffAt = at;
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => this.#webSocket.terminate(), ms).unref();
  }

  #closed(): void {
    clearTimeout(this.#linger);
    this.#tellClosed();
  }

  #tellClosed(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.closed(this.#error);
  }
}

const asBinary = { binary: true };
const nothing = Buffer.alloc(0);
