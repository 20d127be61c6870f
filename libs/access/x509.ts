/**
 * Reads X.509 certificates (RFC 5280) into the facts that decisions are made of; signatures are checked by node:crypto. Whatever
 * cannot be read without doubt is not read. Revocation lists, which may be large, are in revocation-list.ts.
 */
import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { createRequire } from 'node:module';

import type * as Asn1 from '@peculiar/x509';

const load = createRequire(import.meta.url);

/** Loaded with the first certificate: it takes 22 MB of a process, which nobody without certificates need spend. */
export function asn1(): typeof Asn1 {
  if (loaded === undefined) {
    load('reflect-metadata');
    loaded = load('@peculiar/x509') as typeof Asn1;
  }
  return loaded;
}

/** Node looks a module up on disk each time it is asked for: a quarter of what reading a certificate took. */
let loaded: typeof Asn1 | undefined;

/** Longer than any sensible certificate; checked before anything is parsed. */
const maxCertificateBytes = 16 * 1024;

/** One certificate's facts. Hashes and identifiers are lower-case hexadecimal; times are milliseconds since the epoch. */
export interface Certificate {
  readonly certificate: X509Certificate;
  /** SHA-256 of the DER. */
  readonly fingerprint: string;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly spkiHash: string;
  readonly subjectHash: string;
  readonly issuerHash: string;
  /** Subject key identifier, or where there is none what RFC 5280, 4.2.1.2 (1) makes of the key. */
  readonly keyId: string;
  readonly issuerKeyId: string | undefined;
  readonly serial: string;
  /** For people. */
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly isAuthority: boolean;
  /** How many authorities may stand below it; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Undefined: no such extension, no restriction. */
  readonly mayIssue: boolean | undefined;
  readonly maySignRevocations: boolean | undefined;
  readonly maySign: boolean | undefined;
  readonly isForClients: boolean | undefined;
  /** How it is called, by place. */
  readonly names: Readonly<Record<NameSource, readonly string[]>>;
  /** Where its issuer says what has become of it (OCSP). */
  readonly responderUrl: string | undefined;
  /** Where its issuer publishes its revocation list. */
  readonly listUrl: string | undefined;
  /** Of its key, and of the signature on it. */
  readonly weakKey: boolean;
  readonly weakSignature: boolean;
  /** A critical extension that is not understood here, or one that restricts names below it: RFC 5280, 4.2. */
  readonly hasForeignExtension: boolean;
}

export const nameSources = ['cn', 'san-dns', 'san-uri'] as const;
export type NameSource = (typeof nameSources)[number];

/** DER, or one PEM block. Undefined: no certificate, or one that breaks the rules of its form. */
export function readCertificate(encoded: Buffer | string): Certificate | undefined {
  if (encoded.length > maxCertificateBytes * (typeof encoded === 'string' ? 2 : 1)) return undefined;
  if (typeof encoded === 'string' && !isOnePemBlock(encoded)) return undefined;
  try {
    const certificate = new X509Certificate(encoded);
    return factsOf(certificate, new (asn1().X509Certificate)(Uint8Array.from(certificate.raw)));
  } catch {
    return undefined;
  }
}

/** node would take the first of several blocks, and a person might mean another. */
function isOnePemBlock(text: string): boolean {
  return /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/.test(text);
}

const keyUsageBits = { digitalSignature: 1, keyCertSign: 32, cRLSign: 64 } as const;
const clientAuth = '1.3.6.1.5.5.7.3.2';
const anyExtendedKeyUsage = '2.5.29.37.0';
const nameConstraints = '2.5.29.30';
/** Those whose meaning is heeded, or that restrict nothing here (policies, where to find issuers and lists). */
const understood = new Set([
  '2.5.29.14', // subjectKeyIdentifier
  '2.5.29.15', // keyUsage
  '2.5.29.17', // subjectAltName
  '2.5.29.19', // basicConstraints
  '2.5.29.31', // cRLDistributionPoints
  '2.5.29.32', // certificatePolicies
  '2.5.29.35', // authorityKeyIdentifier
  '2.5.29.37', // extKeyUsage
  '1.3.6.1.5.5.7.1.1', // authorityInfoAccess
]);

function factsOf(certificate: X509Certificate, asn: Asn1.X509Certificate): Certificate | undefined {
  const { extensions } = asn;
  // RFC 5280, 4.2: no extension twice. Which of two would hold is anybody's guess.
  if (new Set(extensions.map(({ type }) => type)).size < extensions.length) return undefined;
  const constraints = asn.getExtension(asn1().BasicConstraintsExtension);
  const usage = asn.getExtension(asn1().KeyUsagesExtension)?.usages;
  const purposes = asn.getExtension(asn1().ExtendedKeyUsageExtension)?.usages;
  const spki = Buffer.from(asn.publicKey.rawData);
  const may = (bit: keyof typeof keyUsageBits): boolean | undefined =>
    usage === undefined ? undefined : (usage & keyUsageBits[bit]) !== 0;
  return {
    certificate,
    fingerprint: sha256(certificate.raw),
    spkiHash: sha256(spki),
    subjectHash: sha256(Buffer.from(asn.subjectName.toArrayBuffer())),
    issuerHash: sha256(Buffer.from(asn.issuerName.toArrayBuffer())),
    keyId: asn.getExtension(asn1().SubjectKeyIdentifierExtension)?.keyId.toLowerCase() ?? sha1(keyBits(spki)),
    issuerKeyId: asn.getExtension(asn1().AuthorityKeyIdentifierExtension)?.keyId?.toLowerCase(),
    serial: plainSerial(asn.serialNumber),
    subject: asn.subject,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    isAuthority: constraints?.ca === true,
    pathLength: constraints?.pathLength,
    mayIssue: may('keyCertSign'),
    maySignRevocations: may('cRLSign'),
    maySign: may('digitalSignature'),
    isForClients: purposes?.some((purpose) => purpose === clientAuth || purpose === anyExtendedKeyUsage),
    names: namesOf(asn),
    responderUrl: responderOf(asn),
    listUrl: listPlaceOf(asn),
    weakKey: hasWeakKey(certificate),
    weakSignature: !isStrongSignature(certificate.signatureAlgorithmOid, asn.signatureAlgorithm.hash),
    hasForeignExtension: extensions.some(
      ({ type, critical }) => type === nameConstraints || (critical && !understood.has(type)),
    ),
  };
}

function namesOf(asn: Asn1.X509Certificate): Certificate['names'] {
  const alternatives = asn.getExtension(asn1().SubjectAlternativeNameExtension)?.names.items ?? [];
  const of = (type: string): string[] =>
    alternatives.filter((name) => name.type === type).map((name) => name.value);
  return { cn: asn.subjectName.getField('CN'), 'san-dns': of('dns'), 'san-uri': of('url') };
}

/** The first that can be asked over HTTP. */
function responderOf(asn: Asn1.X509Certificate): string | undefined {
  const responders = asn.getExtension(asn1().AuthorityInfoAccessExtension)?.ocsp ?? [];
  return responders.find(({ type, value }) => type === 'url' && /^https?:.{1,2000}$/i.test(value))?.value;
}

/** The first of a whole list by the issuer itself (RFC 5280, 4.2.1.13) that can be had over HTTP. */
function listPlaceOf(asn: Asn1.X509Certificate): string | undefined {
  const points = asn.getExtension(asn1().CRLDistributionPointsExtension)?.distributionPoints ?? [];
  return points
    .filter(({ reasons, cRLIssuer }) => reasons === undefined && cRLIssuer === undefined)
    .flatMap(({ distributionPoint }) => distributionPoint?.fullName ?? [])
    .map(({ uniformResourceIdentifier }) => uniformResourceIdentifier)
    .find((url) => url !== undefined && /^https?:.{1,2000}$/i.test(url));
}

const minRsaBits = 2_048;
/** Verifying costs with the square of it, and strangers choose the key. */
const maxRsaBits = 8_192;
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

export function hasWeakKey({ publicKey }: { readonly publicKey: KeyObject }): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (type === 'rsa' || type === 'rsa-pss') {
    const bits = details?.modulusLength ?? 0;
    const exponent = details?.publicExponent ?? 0n;
    return bits < minRsaBits || bits > maxRsaBits || exponent < 3n || exponent >= 2n ** 64n;
  }
  if (type === 'ec') return !curves.has(details?.namedCurve ?? '');
  return type !== 'ed25519' && type !== 'ed448';
}

const strongSignatures = new Set([
  '1.2.840.113549.1.1.11', // RSA with SHA-256, -384, -512
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2', // ECDSA with SHA-256, -384, -512
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112', // Ed25519
  '1.3.101.113', // Ed448
]);
const rsaPss = '1.2.840.113549.1.1.10';
const strongHashes = new Set(['SHA-256', 'SHA-384', 'SHA-512']);

function isStrongSignature(oid: string | undefined, hash: unknown): boolean {
  if (oid !== rsaPss) return oid !== undefined && strongSignatures.has(oid);
  // The hash stands in its parameters, and is SHA-1 where they say nothing (RFC 4055, 3.1).
  return isStrongHash(hash);
}

export function isStrongAlgorithm(algorithm: { readonly name?: string; readonly hash?: unknown }): boolean {
  const { name = '', hash } = algorithm;
  return name === 'Ed25519' || name === 'Ed448' || isStrongHash(hash);
}

function isStrongHash(hash: unknown): boolean {
  const name = typeof hash === 'object' && hash !== null ? Reflect.get(hash, 'name') : hash;
  return typeof name === 'string' && strongHashes.has(name);
}

// ----------------------------------------------------------------------------------------------------------------- bytes

export function plainSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, '');
}

/** The BIT STRING's content at the end of a SubjectPublicKeyInfo, without its count of unused bits. */
function keyBits(spki: Buffer): Buffer {
  const algorithm = afterHeader(spki, 0);
  const bits = algorithm + 2 + (spki[algorithm + 1] ?? 0); // AlgorithmIdentifiers are shorter than 128 bytes
  return spki.subarray(afterHeader(spki, bits) + 1);
}

function afterHeader(der: Buffer, at: number): number {
  const length = der[at + 1] ?? 0;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function sha1(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}
