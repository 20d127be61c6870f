/** Certificate authorities and certificates for tests, as wrong as a test wants them. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';

import * as x509 from '@peculiar/x509';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

export type KeyKind = 'p256' | 'rsa' | 'rsa-1024' | 'rsa-sha1' | 'ed25519';

const algorithms: Readonly<Record<KeyKind, Algorithm>> = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  rsa: rsa(2_048, 'SHA-256'),
  'rsa-1024': rsa(1_024, 'SHA-256'),
  'rsa-sha1': rsa(2_048, 'SHA-1'),
  ed25519: { name: 'Ed25519' },
};

export interface CertificateOptions {
  readonly keyKind?: KeyKind;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly isAuthority?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: x509.KeyUsageFlags;
  readonly extendedKeyUsage?: readonly string[];
  readonly san?: x509.JsonGeneralNames;
  readonly serial?: string;
  /** In place of the subject key identifier that its key has. */
  readonly keyId?: x509.Extension;
  readonly extensions?: readonly x509.Extension[];
}

export interface Pair {
  readonly pem: string;
  readonly der: Buffer;
  readonly keyPem: string;
  readonly serial: string;
  /** A certificate by this one. */
  issue(commonName: string, options?: CertificateOptions): Promise<Pair>;
  issueAuthority(commonName: string, options?: CertificateOptions): Promise<Pair>;
  /** Another certificate of the same key: a renewed one. */
  renew(commonName: string, options?: CertificateOptions): Promise<Pair>;
  /** A revocation list by this one. */
  revoke(serials: readonly string[], options?: RevocationOptions): Promise<string>;
}

export interface RevocationOptions {
  readonly number?: number;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  readonly extensions?: readonly x509.Extension[];
}

type Algorithm =
  | webcrypto.RsaHashedKeyGenParams
  | (webcrypto.EcKeyGenParams & { hash: string })
  | { name: string };

export interface Request {
  /** PKCS #10, PEM. */
  readonly csr: string;
  readonly keyPem: string;
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly algorithm: Algorithm;
}

const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;
export const { Extension } = x509;
export const usages = x509.KeyUsageFlags;
export const purposes = x509.ExtendedKeyUsage;

/** Authority information access: where the responder is. */
export function x509Access(ocsp: string): x509.Extension {
  return new x509.AuthorityInfoAccessExtension({ ocsp: new x509.GeneralName('url', ocsp) });
}

/** Where the issuer's revocation list is. */
export function listPlace(url: string): x509.Extension {
  return new x509.CRLDistributionPointsExtension([url]);
}

export function makeAuthority(commonName = 'Test CA', options: CertificateOptions = {}): Promise<Pair> {
  return make(undefined, commonName, { isAuthority: true, keyUsage: keyCertSign | cRLSign, ...options });
}

export function makeSelfSigned(commonName: string, options: CertificateOptions = {}): Promise<Pair> {
  return make(undefined, commonName, { ...ofClient, ...options });
}

const ofClient = { keyUsage: digitalSignature, extendedKeyUsage: [x509.ExtendedKeyUsage.clientAuth] };

export async function makeRequest(
  commonName: string,
  { keyKind = 'p256', san }: Pick<CertificateOptions, 'keyKind' | 'san'> = {},
): Promise<Request> {
  const signingAlgorithm = algorithms[keyKind];
  const keys = (await webcrypto.subtle.generateKey(signingAlgorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm,
    extensions: san === undefined ? [] : [new x509.SubjectAlternativeNameExtension(san)],
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { csr: request.toString('pem'), keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
}

async function make(
  issuer: Issuer | undefined,
  commonName: string,
  options: CertificateOptions,
  known?: webcrypto.CryptoKeyPair,
): Promise<Pair> {
  const algorithm = algorithms[options.keyKind ?? 'p256'];
  const keys =
    known ??
    ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair);
  const serial = options.serial ?? randomSerial();
  const common = {
    serialNumber: serial,
    notBefore: options.notBefore ?? new Date(Date.now() - 5 * minuteMs),
    notAfter: options.notAfter ?? new Date(Date.now() + dayMs),
    extensions: await extensionsOf(keys, issuer, options),
  };
  const name = `CN=${commonName}`;
  const certificate =
    issuer === undefined
      ? await x509.X509CertificateGenerator.createSelfSigned({
          ...common,
          name,
          keys,
          signingAlgorithm: algorithm,
        })
      : await x509.X509CertificateGenerator.create({
          ...common,
          subject: name,
          issuer: issuer.certificate.subjectName,
          publicKey: keys.publicKey,
          signingKey: issuer.keys.privateKey,
          signingAlgorithm: issuer.algorithm,
        });
  const own: Issuer = { certificate, keys, algorithm };
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    pem: `${certificate.toString('pem')}\n`,
    der: Buffer.from(certificate.rawData),
    keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    serial,
    issue: (cn, more = {}) => make(own, cn, { ...ofClient, ...more }),
    issueAuthority: (cn, more = {}) =>
      make(own, cn, { isAuthority: true, keyUsage: keyCertSign | cRLSign, ...more }),
    renew: (cn, more = {}) => make(undefined, cn, { ...options, ...more }, keys),
    revoke: (serials, more) => makeList(own, serials, more),
  };
}

async function extensionsOf(
  keys: webcrypto.CryptoKeyPair,
  issuer: Issuer | undefined,
  {
    isAuthority = false,
    pathLength,
    keyUsage,
    extendedKeyUsage,
    san,
    keyId,
    extensions = [],
  }: CertificateOptions,
): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(isAuthority, pathLength, true),
    ...(keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
    ...(extendedKeyUsage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([...extendedKeyUsage])]),
    ...(san === undefined ? [] : [new x509.SubjectAlternativeNameExtension(san)]),
    keyId ?? (await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)),
    ...(issuer === undefined
      ? []
      : [await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey)]),
    ...extensions,
  ];
}

async function makeList(
  issuer: Issuer,
  serials: readonly string[],
  { number = 1, thisUpdate, nextUpdate, extensions = [] }: RevocationOptions = {},
): Promise<string> {
  const hex = number.toString(16).padStart(16, '0');
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.certificate.subjectName,
    thisUpdate: thisUpdate ?? new Date(Date.now() - minuteMs),
    nextUpdate: nextUpdate ?? new Date(Date.now() + dayMs),
    signingAlgorithm: issuer.algorithm,
    signingKey: issuer.keys.privateKey,
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
    extensions: [new x509.Extension('2.5.29.20', false, Buffer.from(`0208${hex}`, 'hex')), ...extensions],
  });
  return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
}

function rsa(modulusLength: number, hash: string): Algorithm {
  return { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent: new Uint8Array([1, 0, 1]), hash };
}

function randomSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}
