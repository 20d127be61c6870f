/**
 * A TCP connection as a Link, by its handle: without a socket of Node's, whose two streams were a quarter to a third of what a bare
 * server does for a connection, and a part of what each read and write costs (bench/history.md; decisions 0010 and 0014).
 *
 * All connections are read into one piece of memory, which whoever receives it has until it returns; the rest of a large frame is read
 * to where it belongs. The kernel nearly always takes at once all that is written; then that was all.
 */
import type { Link, LinkSink } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { lent, viewOfLent } from './lent-memory.js';
import type { Source } from './proxy-protocol.js';
import {
  endOfFile,
  type Request,
  type StreamBinding,
  systemError,
  type TcpHandle,
} from './stream-binding.js';

/** Of a peer that takes no more: beyond it the link is full. */
const mostWaitingBytes = 64 * 1024;

const linkOf = Symbol('link');

/** What is there of `this` in the functions below, which are the same for all links. */
interface LinkedHandle extends TcpHandle {
  [linkOf]: TcpLink;
}

interface LinkRequest extends Request {
  link?: TcpLink;
  /** Held on to until they are written. */
  chunks?: readonly Buffer[];
}

/** One that Node has not looked at, since the kernel took everything. */
let spare: LinkRequest | undefined;

export class TcpLink implements Link {
  readonly transport = 'tcp';
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly serverName = undefined;
  readonly peerCertificate = undefined;
  readonly #node: StreamBinding;
  readonly #left: () => void;
  /** Undefined: it is closed, or closing. */
  #handle: TcpHandle | undefined;
  #sink: LinkSink | undefined;
  #error: Error | undefined;
  /** Where the next read goes. */
  #memory: Buffer = lent;
  #isReading = false;
  /** Writes of which the kernel has left something. */
  #waiting = 0;
  /** So `write` has said: `drained` is waited for. */
  #isFull = false;
  #isEnding = false;
  /** The peer has been told that nothing follows. */
  #hasEnded = false;
  /** The peer has sent its last. */
  #hasFinished = false;
  #linger: NodeJS.Timeout | undefined;

  private constructor(node: StreamBinding, handle: TcpHandle, { address, port }: Source, left: () => void) {
    this.#node = node;
    this.#handle = handle;
    this.#left = left;
    this.remoteAddress = address;
    this.remotePort = port;
  }

  /** `left`: called once, when the connection is closed. */
  static open(
    node: StreamBinding,
    handle: TcpHandle,
    source: Source,
    accept: Accept,
    left: () => void,
  ): void {
    const link = new TcpLink(node, handle, source, left);
    (handle as LinkedHandle)[linkOf] = link;
    handle.useUserBuffer(lent);
    handle.onread = onRead as TcpHandle['onread'];
    link.#sink = accept(link);
    link.resume();
  }

  // ---------------------------------------------------------------------------------------------------------------- reads

  /** Returns where the next read goes, if it is not where this one went. */
  read(): Buffer | undefined {
    const length = this.#node.streamBaseState[this.#node.kReadBytesOrError] ?? 0;
    if (length > 0) return this.#received(length);
    if (length === endOfFile) this.#finished();
    else if (length < 0) this.#fail(systemError('read', length));
    return undefined;
  }

  #received(length: number): Buffer | undefined {
    const memory = this.#memory;
    // What comes after `end` is thrown away.
    if (!this.#isEnding)
      this.#sink?.received(memory === lent ? viewOfLent(length) : memory.subarray(0, length));
    const next = this.#sink?.place?.() ?? lent;
    return next === memory ? undefined : (this.#memory = next);
  }

  #finished(): void {
    this.#isReading = false; // libuv has stopped by itself
    this.#hasFinished = true;
    if (this.#hasEnded) return this.destroy();
    this.#sink?.finished();
    this.#cutLater();
  }

  pause(): void {
    if (!this.#isReading) return;
    this.#isReading = false;
    this.#handle?.readStop();
  }

  resume(): void {
    if (this.#handle === undefined || this.#isReading || this.#hasFinished) return;
    this.#isReading = true;
    const status = this.#handle.readStart();
    if (status !== 0) this.#fail(systemError('read', status));
  }

  // --------------------------------------------------------------------------------------------------------------- writes

  write(chunks: readonly Buffer[]): boolean {
    const handle = this.#handle;
    if (handle === undefined || this.#isEnding) return true; // `closed` comes or has come
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = this.#node;
    const request = spare ?? new WriteWrap();
    spare = undefined;
    const [first] = chunks;
    const status =
      chunks.length === 1 && first !== undefined
        ? handle.writeBuffer(request, first)
        : handle.writev(request, chunks, true);
    if (status !== 0) {
      this.#fail(systemError('write', status));
      return true;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      spare = request;
      return true;
    }
    this.#wait(request, chunks);
    this.#isFull ||= handle.writeQueueSize >= mostWaitingBytes;
    return !this.#isFull;
  }

  #wait(request: LinkRequest, chunks: readonly Buffer[]): void {
    request.oncomplete = onWritten;
    request.link = this;
    request.chunks = chunks;
    this.#waiting += 1;
  }

  written(status: number): void {
    this.#waiting -= 1;
    if (status < 0) return this.#fail(systemError('write', status));
    if (this.#waiting > 0 || !this.#isFull) return;
    this.#isFull = false;
    this.#sink?.drained();
  }

  get bufferedBytes(): number {
    return this.#waiting === 0 ? 0 : (this.#handle?.writeQueueSize ?? 0);
  }

  // -------------------------------------------------------------------------------------------------------- the way out

  /**
   * A connection that is closed with unread bytes in its receive buffer is reset, and a reset may overtake the last packet. So
   * sending ends first, what still arrives is read and thrown away, and the connection closes when the peer does.
   */
  end(): void {
    if (this.#handle === undefined || this.#isEnding) return;
    this.#isEnding = true;
    // Nor is there anything to wait for, or to say, once the peer has sent its last and was sent everything: closing says it.
    if (this.#hasFinished && this.#waiting === 0) return this.destroy();
    this.#shutDown(this.#handle);
    this.resume();
    this.#cutLater();
  }

  /** After what is still to be written. */
  #shutDown(handle: TcpHandle): void {
    const request: LinkRequest = new this.#node.ShutdownWrap();
    request.oncomplete = onShutDown;
    request.link = this;
    if (handle.shutdown(request) !== 0) this.shutDown(); // nobody is there any more
  }

  shutDown(): void {
    this.#hasEnded = true;
    if (this.#hasFinished) this.destroy();
  }

  #cutLater(): void {
    if (this.#handle !== undefined) this.#linger ??= setTimeout(() => this.destroy(), lingerMs).unref();
  }

  #fail(error: Error): void {
    if (this.#handle === undefined) return;
    this.#error = error;
    this.destroy();
  }

  destroy(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    clearTimeout(this.#linger);
    handle.close(onClosed as (this: TcpHandle) => void);
  }

  closed(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.closed(this.#error);
    this.#left();
  }
}

function onRead(this: LinkedHandle): Uint8Array | undefined {
  return this[linkOf].read();
}

function onWritten(this: LinkRequest, status: number): void {
  this.link?.written(status);
}

function onShutDown(this: LinkRequest): void {
  this.link?.shutDown();
}

function onClosed(this: LinkedHandle): void {
  this[linkOf].closed();
}
