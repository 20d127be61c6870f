/**
 * The handshake of a TLS connection, by its handles (decision 0014): what comes of it is a link (`handle-link.ts`), or nothing. A client of
 * TLS 1.2 may do others later, on the link that there is.
 */
import { CLIENT_RENEG_LIMIT, CLIENT_RENEG_WINDOW, type SecureContext } from 'node:tls';

import type { Accept } from './accept.js';
import { HandleLink } from './handle-link.js';
import { lent } from './lent-memory.js';
import { peerCertificate } from './peer-certificate.js';
import type { Source } from './proxy-protocol.js';
import type { StreamBinding, TcpHandle } from './stream-binding.js';
import type { CertificateHandle, TlsBinding, TlsHandle } from './tls-binding.js';

/** How handshakes are done, and what comes of them. */
export interface HandshakeOptions {
  readonly context: SecureContext;
  /** Of host names that have a certificate of their own; undefined: none has. */
  readonly contextFor: ((serverName: string) => SecureContext | undefined) | undefined;
  readonly timeoutMs: number;
  readonly accept: Accept;
  /** It came to nothing, whatever the reason. */
  readonly failed: (source: Source) => void;
}

const handshakeOf = Symbol('handshake');

/** What is there of `this` in the functions below, which are the same for all connections. */
interface Shaking {
  [handshakeOf]: TlsHandshake;
}

export class TlsHandshake {
  readonly #node: StreamBinding;
  readonly #tcp: TcpHandle;
  readonly #tls: TlsHandle;
  readonly #options: HandshakeOptions;
  readonly #source: Source;
  readonly #left: () => void;
  readonly #deadline: NodeJS.Timeout;
  /** Before there was a link. */
  #isCut = false;
  /** What came of the first one. */
  #link: HandleLink | undefined;
  /** Those that followed it, in a row, and when the last of them began. */
  #repeated = 0;
  #repeatedAt = -Infinity;

  private constructor(
    node: StreamBinding,
    tls: TlsHandle,
    tcp: TcpHandle,
    options: HandshakeOptions,
    source: Source,
    left: () => void,
  ) {
    this.#node = node;
    this.#tls = tls;
    this.#tcp = tcp;
    this.#options = options;
    this.#source = source;
    this.#left = left;
    this.#deadline = setTimeout(onLate, options.timeoutMs, this).unref();
  }

  /** `left`: called once, when the connection is closed. */
  static begin(
    node: StreamBinding,
    { wrap }: TlsBinding,
    tcp: TcpHandle,
    options: HandshakeOptions,
    source: Source,
    left: () => void,
  ): void {
    const tls = wrap(tcp, options.context.context, true, false);
    const handshake = new TlsHandshake(node, tls, tcp, options, source, left);
    for (const handle of [tcp, tls]) (handle as object as Shaking)[handshakeOf] = handshake;
    // Asked for and accepted whatever it is, as `tls.ts` says.
    tls.setVerifyMode(true, false);
    tls.onhandshakedone = onDone;
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- it has no other way
    tls.onerror = onError;
    if (options.contextFor !== undefined) {
      tls.oncertcb = onHello;
      tls.enableCertCb();
    }
    tls.useUserBuffer(lent);
    tls.onread = onRead;
    if (tls.readStart() !== 0) handshake.destroy();
  }

  /** Which certificate is shown. */
  helloed(serverName: string | undefined): void {
    if (!this.#isOpen) return;
    const own = serverName === undefined ? undefined : this.#options.contextFor?.(serverName);
    if (own !== undefined) this.#tls.sni_context = own.context;
    try {
      this.#tls.certCbDone();
    } catch (error) {
      this.fail(
        error instanceof Error ? error : new Error('no handshake with the certificate of this host name'),
      );
    }
  }

  done(): void {
    if (!this.#isOpen) return;
    clearTimeout(this.#deadline);
    const tls = this.#tls;
    tls.onhandshakedone = undefined;
    tls.onhandshakestart = onRepeat;
    const { address: remoteAddress, port: remotePort } = this.#source;
    const peer = {
      transport: 'tls',
      remoteAddress,
      remotePort,
      serverName: tls.getServername() || undefined,
      peerCertificate: peerCertificate(tls.getPeerX509Certificate(), rawOf, issuerOf),
      tlsVersion: tls.getProtocol() ?? undefined,
    } as const;
    this.#link = new HandleLink(this.#node, { tcp: this.#tcp, tls }, peer, this.#left);
    this.#link.open(this.#options.accept);
  }

  /** TLS 1.2 lets a client do its handshake anew, at this side's expense: as often as Node lets the clients of its own sockets. */
  repeats(nowMs: number): void {
    const isFirst = nowMs - this.#repeatedAt >= CLIENT_RENEG_WINDOW * 1_000;
    this.#repeated = isFirst ? 1 : this.#repeated + 1;
    this.#repeatedAt = nowMs;
    if (this.#repeated > CLIENT_RENEG_LIMIT) this.fail(tooManyHandshakes());
  }

  /** Nothing else is read before it is done. */
  read(): void {
    const length = this.#node.streamBaseState[this.#node.kReadBytesOrError] ?? 0;
    if (length < 0) this.destroy();
  }

  get #isOpen(): boolean {
    return this.#link === undefined ? !this.#isCut : this.#link.isOpen;
  }

  fail(error: Error): void {
    if (this.#link === undefined) this.destroy();
    else this.#link.fail(error);
  }

  /** Before there is a link. */
  destroy(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    clearTimeout(this.#deadline);
    this.#tcp.close(onClosed);
  }

  closed(): void {
    this.#tls.destroySSL(); // not before: what has led to `destroy` may be its own doing
    this.#options.failed(this.#source);
    this.#left();
  }
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

function onHello(this: Shaking, { servername }: { readonly servername?: string }): void {
  this[handshakeOf].helloed(servername || undefined);
}

function onDone(this: Shaking): void {
  this[handshakeOf].done();
}

function onRepeat(this: Shaking, nowMs: number): void {
  this[handshakeOf].repeats(nowMs);
}

function onRead(this: Shaking): undefined {
  this[handshakeOf].read();
}

function onError(this: Shaking, error: Error): void {
  this[handshakeOf].fail(error);
}

function onLate(handshake: TlsHandshake): void {
  handshake.destroy();
}

function onClosed(this: Shaking): void {
  this[handshakeOf].closed();
}
