/**
 * What an authority of the platform's own does: it reads requests, issues certificates to devices, and lists those it has
 * revoked. A request proves that somebody has a private key; everything else in the certificate is the platform's word.
 */
import { createPublicKey, randomBytes, webcrypto } from 'node:crypto';

import { asn1, hasWeakKey, isStrongAlgorithm, plainSerial, sha256 } from './x509.js';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 3_600_000;
/** Devices whose clocks are late see a certificate that is valid already. */
const clockLeewayMs = 5 * 60_000;

/** An authority that has just been made. */
export interface MadeAuthority {
  /** DER. */
  readonly certificate: Buffer;
  /** PKCS #8. To be sealed at once, and never shown. */
  readonly privateKey: Buffer;
}

/** Self-signed, P-256, for TLS clients alone, and with nobody below it but devices. */
export async function makeAuthority(name: string, days: number, now: number): Promise<MadeAuthority> {
  const x509 = asn1();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: commonName(name),
    notBefore: new Date(now - clockLeewayMs),
    notAfter: new Date(now + days * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { certificate: Buffer.from(certificate.rawData), privateKey: Buffer.from(privateKey) };
}

// ---------------------------------------------------------------------------------------------------------- requests

/** Longer than any request for a key that is taken. */
const maxRequestBytes = 8 * 1024;

/** A request whose signature proves possession of the key that it is for. */
export interface CertificateRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  /** SHA-256 of it, hexadecimal. */
  readonly spkiHash: string;
  /** What the device calls itself: a wish, never copied into a certificate. */
  readonly commonNames: readonly string[];
}

export type RequestFault = 'malformed' | 'weak-key' | 'weak-signature' | 'not-signed-by-its-key';

/** PKCS #10: one PEM block, or DER in base64. */
export async function readRequest(encoded: string): Promise<CertificateRequest | RequestFault> {
  const der = derOf(encoded);
  if (der === undefined) return 'malformed';
  try {
    const request = new (asn1().Pkcs10CertificateRequest)(Uint8Array.from(der));
    const publicKey = Buffer.from(request.publicKey.rawData);
    const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
    if (hasWeakKey({ publicKey: key })) return 'weak-key';
    if (!isStrongAlgorithm(request.signatureAlgorithm)) return 'weak-signature';
    if (!(await request.verify().catch(() => false))) return 'not-signed-by-its-key';
    return { publicKey, spkiHash: sha256(publicKey), commonNames: request.subjectName.getField('CN') };
  } catch {
    return 'malformed';
  }
}

const pemBlock =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

function derOf(encoded: string): Buffer | undefined {
  if (encoded.length > maxRequestBytes * 2) return undefined;
  const base64 = encoded.includes('-----') ? pemBlock.exec(encoded)?.[1] : encoded;
  if (base64 === undefined || !/^[A-Za-z0-9+/=\s]+$/.test(base64)) return undefined;
  const der = Buffer.from(base64, 'base64');
  return der.length > 0 && der.length <= maxRequestBytes ? der : undefined;
}

// ------------------------------------------------------------------------------------------------------- certificates

/** An authority at work. */
export interface IssuingKey {
  /** Its certificate, DER. */
  readonly certificate: Buffer;
  /** PKCS #8, unsealed. */
  readonly privateKey: Buffer;
}

export interface NewCertificate {
  readonly publicKey: Buffer;
  /** For people; the common name where it fits into one. */
  readonly deviceName: string;
  /** In the subject alternative name, as urn:uuid. */
  readonly deviceId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly days: number;
}

/** Never valid beyond its authority. DER. */
export async function issueCertificate(issuer: IssuingKey, wanted: NewCertificate): Promise<Buffer> {
  const x509 = asn1();
  const authority = new x509.X509Certificate(Uint8Array.from(issuer.certificate));
  const { deviceName, deviceId, now, days } = wanted;
  const notBefore = Math.max(now - clockLeewayMs, authority.notBefore.getTime());
  const notAfter = Math.min(now + days * dayMs, authority.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: commonName(fitsCommonName(deviceName) ? deviceName : deviceId),
    issuer: authority.subjectName,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    publicKey: new x509.PublicKey(Uint8Array.from(wanted.publicKey)),
    signingKey: await importKey(issuer.privateKey),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `urn:uuid:${deviceId}` }]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return Buffer.from(certificate.rawData);
}

export const revocationReasons = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
] as const;
export type RevocationReason = (typeof revocationReasons)[number];

export interface RevokedEntry {
  readonly serial: string;
  readonly at: Date;
  readonly reason: RevocationReason;
}

export interface NewList {
  readonly number: bigint;
  readonly entries: readonly RevokedEntry[];
  readonly now: number;
  readonly days: number;
}

/** PEM. */
export async function signRevocationList(issuer: IssuingKey, list: NewList): Promise<string> {
  const x509 = asn1();
  const authority = new x509.X509Certificate(Uint8Array.from(issuer.certificate));
  const made = await x509.X509CrlGenerator.create({
    issuer: authority.subjectName,
    thisUpdate: new Date(list.now),
    nextUpdate: new Date(list.now + list.days * dayMs),
    signingAlgorithm: algorithm,
    signingKey: await importKey(issuer.privateKey),
    entries: list.entries.map(({ serial, at, reason }) => ({
      serialNumber: serial.length % 2 === 0 ? serial : `0${serial}`,
      revocationDate: at,
      ...(reason === 'unspecified' ? {} : { reason: x509.X509CrlReason[reason] }),
    })),
    extensions: [
      new x509.Extension('2.5.29.20', false, integerOf(list.number)),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return `${x509.PemConverter.encode(made.rawData, 'X509 CRL')}\n`;
}

function importKey(privateKey: Buffer): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', privateKey, algorithm, false, ['sign']);
}

/** RFC 5280, appendix A: at most 64 characters. */
/** As it is. A plain string would be read as RFC 4514 writes names: what is in quotes alone, without escapes, or after # as hexadecimal. */
function commonName(name: string) {
  return new (asn1().Name)([{ CN: [{ utf8String: name }] }]);
}

function fitsCommonName(name: string): boolean {
  return name.length <= 64;
}

/** 128 random bits but two: positive, and never shorter when it is written down (RFC 5280, 4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return plainSerial(bytes.toString('hex'));
}

/** A DER INTEGER, not negative. */
function integerOf(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const content = ((bytes[0] ?? 0) & 0x80) === 0 ? bytes : Buffer.concat([Buffer.of(0), bytes]);
  return Buffer.concat([Buffer.of(2, content.length), content]);
}
