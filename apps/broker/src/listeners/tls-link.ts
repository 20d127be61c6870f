/**
 * A TLS connection as a Link, by its handles: without the two sockets of Node's that it would be otherwise, one around TCP and one around
 * TLS (bench/history.md, decision 0014). From when it is accepted: it becomes a link when its handshake is done, or is refused.
 */
import { CLIENT_RENEG_LIMIT, CLIENT_RENEG_WINDOW, type SecureContext } from 'node:tls';

import type { Link, LinkSink, PeerCertificate } from '#mqtt';

import { type Accept, lingerMs } from './accept.js';
import { lent, viewOfLent } from './lent-memory.js';
import { peerCertificate } from './peer-certificate.js';
import type { Source } from './proxy-protocol.js';
import {
  endOfFile,
  type Request,
  type StreamBinding,
  systemError,
  type TcpHandle,
} from './stream-binding.js';
import type { CertificateHandle, TlsBinding, TlsHandle } from './tls-binding.js';

/** What is not yet written: beyond it the link is full. */
const mostWaitingBytes = 64 * 1024;

/** How a handshake is done, and what comes of it. */
export interface Handshake {
  readonly context: SecureContext;
  /** Of host names that have a certificate of their own; undefined: none has. */
  readonly contextFor: ((serverName: string) => SecureContext | undefined) | undefined;
  readonly timeoutMs: number;
  readonly accept: Accept;
  /** It came to nothing, whatever the reason. */
  readonly failed: (source: Source) => void;
}

const linkOf = Symbol('link');

/** What is there of `this` in the functions below, which are the same for all links. */
interface LinkedTls extends TlsHandle {
  [linkOf]: TlsLink;
}

interface LinkedTcp extends TcpHandle {
  [linkOf]: TlsLink;
}

interface LinkRequest extends Request {
  link?: TlsLink;
}

export class TlsLink implements Link {
  readonly transport = 'tls';
  readonly remoteAddress: string;
  readonly remotePort: number;
  serverName: string | undefined;
  peerCertificate: PeerCertificate | undefined;
  tlsVersion: string | undefined;
  readonly #node: StreamBinding;
  readonly #handshake: Handshake;
  readonly #left: () => void;
  /** Undefined: it is closed, or closing. */
  #tcp: TcpHandle | undefined;
  readonly #tls: TlsHandle;
  #sink: LinkSink | undefined;
  /** Those that followed the first one, in a row, and when the last of them began. */
  #handshakes = 0;
  #handshakeAt = -Infinity;
  #error: Error | undefined;
  /** Where the next read goes. */
  #memory: Buffer = lent;
  #isReading = false;
  /** Bytes of the write that is under way, of which there is one at a time. */
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
  /** That of the handshake, and later that of the end. */
  #deadline: NodeJS.Timeout | undefined;

  private constructor(
    node: StreamBinding,
    tls: TlsHandle,
    tcp: TcpHandle,
    handshake: Handshake,
    { address, port }: Source,
    left: () => void,
  ) {
    this.#node = node;
    this.#tls = tls;
    this.#tcp = tcp;
    this.#handshake = handshake;
    this.#left = left;
    this.remoteAddress = address;
    this.remotePort = port;
  }

  /** `left`: called once, when the connection is closed. */
  static open(
    node: StreamBinding,
    { wrap }: TlsBinding,
    tcp: TcpHandle,
    handshake: Handshake,
    source: Source,
    left: () => void,
  ): void {
    const tls = wrap(tcp, handshake.context.context, true, false);
    const link = new TlsLink(node, tls, tcp, handshake, source, left);
    (tcp as LinkedTcp)[linkOf] = link;
    (tls as LinkedTls)[linkOf] = link;
    // Asked for and accepted whatever it is, as `tls.ts` says.
    tls.setVerifyMode(true, false);
    tls.onhandshakedone = onHandshakeDone as TlsHandle['onhandshakedone'];
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- it has no other way
    tls.onerror = onError as TlsHandle['onerror'];
    if (handshake.contextFor !== undefined) {
      tls.oncertcb = onHello as TlsHandle['oncertcb'];
      tls.enableCertCb();
    }
    tls.useUserBuffer(lent);
    tls.onread = onRead as TlsHandle['onread'];
    link.#deadline = setTimeout(onLate, handshake.timeoutMs, link).unref();
    link.resume();
  }

  // ------------------------------------------------------------------------------------------------------------ handshake

  helloed(serverName: string | undefined): void {
    if (this.#tcp === undefined) return;
    const own = serverName === undefined ? undefined : this.#handshake.contextFor?.(serverName);
    if (own !== undefined) this.#tls.sni_context = own.context;
    try {
      this.#tls.certCbDone();
    } catch (error) {
      this.fail(
        error instanceof Error ? error : new Error('no handshake with the certificate of this host name'),
      );
    }
  }

  secured(): void {
    if (this.#tcp === undefined) return;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const tls = this.#tls;
    tls.onhandshakedone = undefined;
    tls.onhandshakestart = onHandshakeAgain as TlsHandle['onhandshakestart'];
    this.serverName = tls.getServername() || undefined;
    this.peerCertificate = peerCertificate(tls.getPeerX509Certificate(), rawOf, issuerOf);
    this.tlsVersion = tls.getProtocol() ?? undefined;
    this.#sink = this.#handshake.accept(this);
  }

  /** TLS 1.2 lets a client do its handshake anew, at this side's expense: as often as Node lets the clients of its own sockets. */
  handshakeBegan(nowMs: number): void {
    const isFirst = nowMs - this.#handshakeAt >= CLIENT_RENEG_WINDOW * 1_000;
    this.#handshakes = isFirst ? 1 : this.#handshakes + 1;
    this.#handshakeAt = nowMs;
    if (this.#handshakes > CLIENT_RENEG_LIMIT) this.fail(tooManyHandshakes());
  }

  // ---------------------------------------------------------------------------------------------------------------- reads

  /** Returns where the next read goes, if it is not where this one went. */
  read(): Buffer | undefined {
    if (this.#tcp === undefined) return undefined; // decrypted already when it was cut
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
    // More may have been decrypted already: once it is cut, that belongs nowhere, least of all over what was just handed on.
    const next = (this.#tcp === undefined ? undefined : this.#sink?.place?.()) ?? lent;
    return next === memory ? undefined : (this.#memory = next);
  }

  #finished(): void {
    this.#hasFinished = true;
    if (this.#hasEnded || this.#sink === undefined) return this.destroy();
    this.#sink.finished();
    this.#cutLater();
  }

  pause(): void {
    if (!this.#isReading || this.#tcp === undefined) return;
    this.#isReading = false;
    this.#tls.readStop();
  }

  resume(): void {
    if (this.#tcp === undefined || this.#isReading || this.#hasFinished) return;
    this.#isReading = true;
    const status = this.#tls.readStart();
    if (status !== 0) this.fail(systemError('read', status));
  }

  // --------------------------------------------------------------------------------------------------------------- writes

  write(chunks: readonly Buffer[]): boolean {
    if (this.#tcp === undefined || this.#isEnding) return true; // `closed` comes or has come
    if (this.#writing === 0) this.#send(chunks);
    else this.#putBehind(chunks);
    this.#isFull ||= this.bufferedBytes >= mostWaitingBytes;
    return !this.#isFull;
  }

  #send(chunks: readonly Buffer[]): void {
    const bytes = bytesOf(chunks);
    if (bytes === 0) return;
    const request: LinkRequest = new this.#node.WriteWrap();
    request.oncomplete = onWritten;
    request.link = this;
    this.#writing = bytes;
    const [first] = chunks;
    const status =
      chunks.length === 1 && first !== undefined
        ? this.#tls.writeBuffer(request, first)
        : this.#tls.writev(request, chunks, true);
    if (status !== 0) this.fail(systemError('write', status));
  }

  #putBehind(chunks: readonly Buffer[]): void {
    this.#behind ??= [];
    this.#behind.push(...chunks);
    this.#behindBytes += bytesOf(chunks);
  }

  written(status: number): void {
    this.#writing = 0;
    if (this.#tcp === undefined) return;
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
    return this.#tcp === undefined ? 0 : this.#writing + this.#behindBytes;
  }

  // -------------------------------------------------------------------------------------------------------- the way out

  /** As a TCP link's (`tcp-link.ts`), with the leave that TLS takes in words of its own. */
  end(): void {
    if (this.#tcp === undefined || this.#isEnding) return;
    this.#isEnding = true;
    if (this.#writing === 0) this.#shutDown();
    this.resume();
    this.#cutLater();
  }

  #shutDown(): void {
    const request: LinkRequest = new this.#node.ShutdownWrap();
    request.oncomplete = onShutDown;
    request.link = this;
    if (this.#tls.shutdown(request) !== 0) this.shutDown(); // nobody is there any more
  }

  shutDown(): void {
    this.#hasEnded = true;
    if (this.#hasFinished) this.destroy();
  }

  #cutLater(): void {
    if (this.#tcp !== undefined) this.#deadline ??= setTimeout(onLate, lingerMs, this).unref();
  }

  fail(error: Error): void {
    if (this.#tcp === undefined) return;
    this.#error = error;
    this.destroy();
  }

  destroy(): void {
    const tcp = this.#tcp;
    if (tcp === undefined) return;
    this.#tcp = undefined;
    clearTimeout(this.#deadline);
    tcp.close(onClosed as (this: TcpHandle) => void);
  }

  closed(): void {
    this.#tls.destroySSL(); // not before: what has led to `destroy` may be its own doing
    const sink = this.#sink;
    this.#sink = undefined;
    if (sink === undefined) this.#handshake.failed({ address: this.remoteAddress, port: this.remotePort });
    else sink.closed(this.#error);
    this.#left();
  }
}

function bytesOf(chunks: readonly Buffer[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

function rawOf(certificate: CertificateHandle): Buffer {
  return certificate.raw();
}

function issuerOf(certificate: CertificateHandle): CertificateHandle | undefined {
  return certificate.getIssuerCert();
}

function tooManyHandshakes(): Error {
  const code = 'ERR_TLS_SESSION_ATTACK'; // as Node's own
  return Object.assign(new Error('the client began its TLS handshake anew too often'), { code });
}

function onHello(this: LinkedTls, { servername }: { readonly servername?: string }): void {
  this[linkOf].helloed(servername || undefined);
}

function onHandshakeDone(this: LinkedTls): void {
  this[linkOf].secured();
}

function onHandshakeAgain(this: LinkedTls, nowMs: number): void {
  this[linkOf].handshakeBegan(nowMs);
}

function onError(this: LinkedTls, error: Error): void {
  this[linkOf].fail(error);
}

function onLate(link: TlsLink): void {
  link.destroy();
}

function onRead(this: LinkedTls): Uint8Array | undefined {
  return this[linkOf].read();
}

function onWritten(this: LinkRequest, status: number): void {
  this.link?.written(status);
}

function onShutDown(this: LinkRequest): void {
  this.link?.shutDown();
}

function onClosed(this: LinkedTcp): void {
  this[linkOf].closed();
}
