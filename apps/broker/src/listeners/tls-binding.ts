/**
 * What Node's own TLS sockets use of a TCP connection's handle: another, that reads and writes through it what the first one has
 * encrypted. None of it is documented. Where something is missing there is no binding, and connections are Node's sockets (`tls.ts`).
 */
import { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';

import { hasMethods, type TcpHandle } from './stream-binding.js';

/**
 * Unlike a TCP handle it takes one write at a time, and none is done before the loop's next turn: whoever writes before that ends the
 * process.
 */
export interface TlsHandle extends Pick<
  TcpHandle,
  'useUserBuffer' | 'readStart' | 'readStop' | 'writeBuffer' | 'writev' | 'shutdown'
> {
  /** As a TCP handle's. */
  onread: ((this: never) => Uint8Array | undefined) | undefined;
  /** Of each handshake: the first, and those that a client of TLS 1.2 begins later. */
  onhandshakestart: ((this: never, nowMs: number) => void) | undefined;
  onhandshakedone: ((this: never) => void) | undefined;
  onerror: ((this: never, error: Error) => void) | undefined;
  /** The handshake waits from here until `certCbDone`; where it has been asked to by `enableCertCb`. */
  oncertcb: ((this: never, hello: { readonly servername?: string }) => void) | undefined;
  /** Whose certificate is shown, if it is not the context's that it was made with. */
  sni_context: SecureContext['context'];
  enableCertCb(): void;
  certCbDone(): void;
  setVerifyMode(isAsked: boolean, isNeeded: boolean): void;
  getServername(): string | false | undefined;
  getProtocol(): string | null;
  getPeerX509Certificate(): CertificateHandle | undefined;
  /** Not while it calls: from it there is no way back. */
  destroySSL(): void;
}

/** What is behind an X509Certificate. */
export interface CertificateHandle {
  raw(): Buffer;
  getIssuerCert(): CertificateHandle | undefined;
}

export interface TlsBinding {
  readonly wrap: (
    this: void,
    handle: TcpHandle,
    context: SecureContext['context'],
    isServer: true,
    isBeingWritten: false,
  ) => TlsHandle;
}

/** Node looks at how it is called, and ends the process where that is not as it was meant: this is how 24 means it. */
const knownVersion = 'v24.';

const methods = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'writev',
  'shutdown',
  'enableCertCb',
  'certCbDone',
  'setVerifyMode',
  'getServername',
  'getProtocol',
  'getPeerX509Certificate',
  'destroySSL',
] as const satisfies readonly (keyof TlsHandle)[];

const certificateMethods = ['raw', 'getIssuerCert'] as const satisfies readonly (keyof CertificateHandle)[];

interface Found extends TlsBinding {
  readonly TLSWrap: { readonly prototype: unknown };
}

/** For a server with this certificate: by its own it is seen what there will be of a client's. */
export function tlsBindingFor(cert: string | Buffer): TlsBinding | undefined {
  if (!process.version.startsWith(knownVersion)) return undefined;
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<Found> };
    const { wrap, TLSWrap } = binding?.('tls_wrap') ?? {};
    if (typeof wrap !== 'function' || !isTlsHandle(TLSWrap?.prototype)) return undefined;
    return isReadAsKnown(new X509Certificate(cert)) ? { wrap } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it, or what it is made from, is as it is known here. */
function isTlsHandle(handle: unknown): boolean {
  return hasMethods(handle, methods) && 'onread' in handle;
}

function isReadAsKnown(certificate: X509Certificate): boolean {
  const fields = certificate as unknown as Record<symbol, unknown>;
  return Object.getOwnPropertySymbols(certificate).some((name) =>
    hasMethods(fields[name], certificateMethods),
  );
}
