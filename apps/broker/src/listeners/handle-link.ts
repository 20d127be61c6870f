/**
 * A TCP or TLS connection as a Link, by its handles: without the sockets of Node's that it would be otherwise, two streams around each
 * handle, which were a quarter to a third of what a bare server does for a connection, and a part of what each read and write costs
 * (bench/history.md; decisions 0010 and 0014).
 *
 * All connections are read into one piece of memory, which whoever receives it has until it returns; the rest of a large frame is read
 * to where it belongs. One write is under way at a time. By TCP the kernel nearly always takes at once all that is written; then that
 * was all. TLS is never done with a write before the loop's next turn, and would not take another meanwhile.
 */
import type { Link, LinkSink } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { lent, viewOfLent } from './lent-memory.js';
import { LinkToPeer, type Peer } from './peer.js';
import {
  endOfFile,
  type Request,
  type StreamBinding,
  systemError,
  type TcpHandle,
} from './stream-binding.js';
import type { TlsHandle } from './tls-binding.js';

/** What is not yet written: beyond it the link is full. */
const mostWaitingBytes = 64 * 1024;

const linkOf = Symbol('link');

/** What is there of `this` in the functions below, which are the same for all links. */
interface Linked {
  [linkOf]: HandleLink;
}

interface LinkRequest extends Request {
  link?: HandleLink;
  /** Held on to until they are written; TLS has encrypted them by then. */
  chunks?: readonly Buffer[];
}

/** One that Node has not looked at, since the kernel took everything. */
let spare: LinkRequest | undefined;

/** Its reads go to the lent memory already. */
export interface Handles {
  readonly tcp: TcpHandle;
  /** Around it, after its handshake: reads and writes go through it, and it is being read. Undefined: there is no TLS. */
  readonly tls: TlsHandle | undefined;
}

export class HandleLink extends LinkToPeer implements Link {
  readonly #node: StreamBinding;
  readonly #tcp: TcpHandle;
  readonly #tls: TlsHandle | undefined;
  /** What is read from and written to. */
  readonly #stream: TcpHandle | TlsHandle;
  readonly #left: () => void;
  #sink: LinkSink | undefined;
  #error: Error | undefined;
  /** False: it is closed, or closing. */
  #isOpen = true;
  /** Where the next read goes. */
  #memory: Buffer = lent;
  #isReading: boolean;
  /** Bytes of the write that is under way. */
  #writing = 0;
  /** What was written meanwhile, and its bytes. */
  #behind: Buffer[] | undefined;
  #behindBytes = 0;
  /** So `write` has said: `drained` is waited for. */
  #isFull = false;
  #isEnding = false;
  /** The peer has been told that nothing follows. */
  #hasEnded = false;
  /** The peer has sent its last. */
  #hasFinished = false;
  #linger: NodeJS.Timeout | undefined;

  /** `left`: called once, when the connection is closed. */
  constructor(node: StreamBinding, { tcp, tls }: Handles, peer: Peer, left: () => void) {
    super(peer);
    this.#node = node;
    this.#tcp = tcp;
    this.#tls = tls;
    this.#stream = tls ?? tcp;
    this.#isReading = tls !== undefined;
    this.#left = left;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  open(accept: Accept): void {
    for (const handle of [this.#tcp, this.#stream]) (handle as object as Linked)[linkOf] = this;
    this.#stream.onread = onRead;
    this.#sink = accept(this);
    this.resume();
  }

  // ---------------------------------------------------------------------------------------------------------------- reads

  /** Returns where the next read goes, if it is not where this one went. */
  read(): Buffer | undefined {
    if (!this.#isOpen) return undefined; // by TLS decrypted already when it was cut
    const length = this.#node.streamBaseState[this.#node.kReadBytesOrError] ?? 0;
    if (length > 0) return this.#received(length);
    if (length === endOfFile) this.#finished();
    else if (length < 0) this.fail(systemError('read', length));
    return undefined;
  }

  #received(length: number): Buffer | undefined {
    const memory = this.#memory;
    // What comes after `end` is thrown away.
    if (!this.#isEnding)
      this.#sink?.received(memory === lent ? viewOfLent(length) : memory.subarray(0, length));
    // TLS may have decrypted more already: once it is cut, that belongs nowhere, least of all over what was just handed on.
    const next = (this.#isOpen ? this.#sink?.place?.() : undefined) ?? lent;
    return next === memory ? undefined : (this.#memory = next);
  }

  #finished(): void {
    this.#isReading = false; // libuv has stopped by itself
    // Where the peer has taken its leave in TLS's words it has not: what comes behind them would be kept, and never be read.
    this.#tls?.readStop();
    this.#hasFinished = true;
    if (this.#hasEnded) return this.destroy();
    this.#sink?.finished();
    this.#cutLater();
  }

  pause(): void {
    if (!this.#isReading || !this.#isOpen) return;
    this.#isReading = false;
    this.#stream.readStop();
  }

  resume(): void {
    if (!this.#isOpen || this.#isReading || this.#hasFinished) return;
    this.#isReading = true;
    const status = this.#stream.readStart();
    if (status !== 0) this.fail(systemError('read', status));
  }

  // --------------------------------------------------------------------------------------------------------------- writes

  write(chunks: readonly Buffer[]): boolean {
    if (!this.#isOpen || this.#isEnding) return true; // `closed` comes or has come
    if (this.#writing > 0) this.#putBehind(chunks);
    else this.#send(chunks);
    this.#isFull ||= this.bufferedBytes >= mostWaitingBytes;
    return !this.#isFull;
  }

  #send(chunks: readonly Buffer[]): void {
    const bytes = bytesOf(chunks);
    if (bytes === 0) return; // a TLS handle would take it for the time to read
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = this.#node;
    const request: LinkRequest = spare ?? new WriteWrap();
    spare = undefined;
    this.#writing = bytes;
    // TLS says that nobody is there any more while it is asked to write, and not by what it returns.
    if (this.#tls !== undefined) this.#await(request);
    const [first] = chunks;
    const status =
      chunks.length === 1 && first !== undefined
        ? this.#stream.writeBuffer(request, first)
        : this.#stream.writev(request, chunks, true);
    if (status !== 0) return this.fail(systemError('write', status));
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      this.#writing = 0;
      spare = request;
    } else if (this.#tls === undefined) {
      this.#await(request);
      request.chunks = chunks;
    }
  }

  #await(request: LinkRequest): void {
    request.oncomplete = onWritten;
    request.link = this;
  }

  #putBehind(chunks: readonly Buffer[]): void {
    this.#behind ??= [];
    this.#behind.push(...chunks);
    this.#behindBytes += bytesOf(chunks);
  }

  written(status: number): void {
    this.#writing = 0;
    if (!this.#isOpen) return;
    if (status < 0) return this.fail(systemError('write', status));
    const behind = this.#behind;
    if (behind !== undefined) {
      this.#behind = undefined;
      this.#behindBytes = 0;
      this.#send(behind);
      if (this.#writing > 0) return;
    }
    if (this.#isEnding) return this.#shutDown();
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#sink?.drained();
  }

  get bufferedBytes(): number {
    return this.#isOpen ? this.#writing + this.#behindBytes : 0;
  }

  // -------------------------------------------------------------------------------------------------------- the way out

  /**
   * A connection that is closed with unread bytes in its receive buffer is reset, and a reset may overtake the last packet. So
   * sending ends first, what still arrives is read and thrown away, and the connection closes when the peer does.
   */
  end(): void {
    if (!this.#isOpen || this.#isEnding) return;
    this.#isEnding = true;
    if (this.#writing === 0) {
      // Nor is there anything to wait for, or to say, once the peer has sent its last and was sent everything: closing says it. (Not TLS,
      // which takes leave in words of its own.)
      if (this.#hasFinished && this.#tls === undefined) return this.destroy();
      this.#shutDown();
    }
    this.resume();
    this.#cutLater();
  }

  #shutDown(): void {
    const request: LinkRequest = new this.#node.ShutdownWrap();
    request.oncomplete = onShutDown;
    request.link = this;
    if (this.#stream.shutdown(request) !== 0) this.shutDown(); // nobody is there any more
  }

  shutDown(): void {
    this.#hasEnded = true;
    if (this.#hasFinished) this.destroy();
  }

  #cutLater(): void {
    if (this.#isOpen) this.#linger ??= setTimeout(onLate, lingerMs, this).unref();
  }

  fail(error: Error): void {
    if (!this.#isOpen) return;
    this.#error = error;
    this.destroy();
  }

  destroy(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#linger);
    this.#tcp.close(onClosed);
  }

  closed(): void {
    this.#tls?.destroySSL(); // not before: what has led to `destroy` may be its own doing
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.closed(this.#error);
    this.#left();
  }
}

function bytesOf(chunks: readonly Buffer[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

function onRead(this: Linked): Uint8Array | undefined {
  return this[linkOf].read();
}

function onWritten(this: LinkRequest, status: number): void {
  this.link?.written(status);
}

function onShutDown(this: LinkRequest): void {
  this.link?.shutDown();
}

function onLate(link: HandleLink): void {
  link.destroy();
}

function onClosed(this: Linked): void {
  this[linkOf].closed();
}
