/**
 * Asks the responder of an authority about one certificate (OCSP, RFC 6960), and reads what it answers. An answer counts where the
 * authority has signed it, or a responder to which the authority has delegated that, for this certificate and for now. There is
 * no nonce in the question: responders that sign in advance (RFC 5019) could not answer it, and times say what is fresh.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { createRequire } from 'node:module';

import type * as Schema from '@peculiar/asn1-schema';
import type * as Ocsp from '@peculiar/asn1-ocsp';
import type * as X509 from '@peculiar/asn1-x509';

import { type Certificate, plainSerial, readCertificate } from './x509.js';

const load = createRequire(import.meta.url);

type Asn1 = Pick<typeof Schema, 'AsnConvert' | 'OctetString'> &
  Pick<typeof X509, 'AlgorithmIdentifier' | 'Certificate'> &
  Omit<typeof Ocsp, 'default'>;

/** Loaded with the first question, as certificates are with the first of them. */
function asn1(): Asn1 {
  const { AsnConvert, OctetString } = load('@peculiar/asn1-schema') as typeof Schema;
  const { AlgorithmIdentifier, Certificate } = load('@peculiar/asn1-x509') as typeof X509;
  const ocsp = load('@peculiar/asn1-ocsp') as typeof Ocsp;
  return { ...ocsp, AsnConvert, OctetString, AlgorithmIdentifier, Certificate };
}

/** Which certificate is asked about: one that the authority itself has issued. */
export interface OcspSubject {
  readonly authority: Certificate;
  readonly serial: string;
}

export interface OcspAnswer {
  readonly status: 'good' | 'revoked' | 'unknown';
  /** Until when it counts, milliseconds since the epoch. */
  readonly until: number;
}

export type OcspFault =
  | 'malformed' // not an answer, or one that says it cannot be given
  | 'not-signed-by-authority' // nor by a responder of its
  | 'not-for-this-certificate'
  | 'not-current';

/** Longer than any sensible answer. */
export const maxOcspAnswerBytes = 16 * 1024;

/** Of an answer that does not say until when it counts, and of clocks that differ. */
const leewayMs = 5 * 60_000;

const sha1 = '1.3.14.3.2.26';
const ocspSigning = '1.3.6.1.5.5.7.3.9';

/** DER. */
export function ocspQuestion(subject: OcspSubject): Buffer {
  const { AsnConvert, OCSPRequest, TBSRequest, Request } = asn1();
  const request = new Request({ reqCert: certificateId(subject) });
  const asked = new OCSPRequest({ tbsRequest: new TBSRequest({ requestList: [request] }) });
  return Buffer.from(AsnConvert.serialize(asked));
}

export function readOcspAnswer(der: Buffer, subject: OcspSubject, now: number): OcspAnswer | OcspFault {
  const basic = parse(der);
  if (basic === undefined) return 'malformed';
  if (!isSignedFor(subject.authority, basic, now)) return 'not-signed-by-authority';
  const asked = certificateId(subject);
  const own = basic.tbsResponseData.responses.find(({ certID }) => isSame(certID, asked));
  if (own === undefined) return 'not-for-this-certificate';
  const thisUpdate = own.thisUpdate.getTime();
  const until = own.nextUpdate?.getTime() ?? thisUpdate + leewayMs;
  if (thisUpdate > now + leewayMs || until <= now) return 'not-current';
  const { good, revoked } = own.certStatus;
  if (revoked !== undefined) return { status: 'revoked', until };
  return { status: good === undefined ? 'unknown' : 'good', until };
}

function parse(der: Buffer): Ocsp.BasicOCSPResponse | undefined {
  if (der.length > maxOcspAnswerBytes) return undefined;
  const { AsnConvert, OCSPResponse, BasicOCSPResponse, OCSPResponseStatus, id_pkix_ocsp_basic } = asn1();
  try {
    const { responseStatus, responseBytes } = AsnConvert.parse(der, OCSPResponse);
    if (responseStatus !== OCSPResponseStatus.successful) return undefined;
    if (responseBytes?.responseType !== id_pkix_ocsp_basic) return undefined;
    return AsnConvert.parse(responseBytes.response.buffer, BasicOCSPResponse);
  } catch {
    return undefined;
  }
}

/**
 * By SHA-1, which every responder understands. It only says which authority is meant, and one that could be made to collide
 * is no danger: the answer has to be signed by this one.
 */
function certificateId({ authority, serial }: OcspSubject): Ocsp.CertID {
  const { AsnConvert, AlgorithmIdentifier, Certificate: AsnCertificate, CertID, OctetString } = asn1();
  const { subject, subjectPublicKeyInfo } = AsnConvert.parse(
    authority.certificate.raw,
    AsnCertificate,
  ).tbsCertificate;
  const hash = (bytes: ArrayBuffer): Schema.OctetString =>
    new OctetString(createHash('sha1').update(Buffer.from(bytes)).digest());
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm: sha1, parameters: null }),
    issuerNameHash: hash(AsnConvert.serialize(subject)),
    issuerKeyHash: hash(subjectPublicKeyInfo.subjectPublicKey),
    serialNumber: integerOf(serial),
  });
}

/** What an INTEGER holds: a leading zero where it would be read as negative. */
function integerOf(serial: string): ArrayBuffer {
  const even = serial.length % 2 === 0 ? serial : `0${serial}`;
  const bytes = Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, 'hex');
  return Uint8Array.from(bytes).buffer;
}

function isSame(one: Ocsp.CertID, other: Ocsp.CertID): boolean {
  return (
    one.hashAlgorithm.algorithm === other.hashAlgorithm.algorithm &&
    hex(one.issuerNameHash.buffer) === hex(other.issuerNameHash.buffer) &&
    hex(one.issuerKeyHash.buffer) === hex(other.issuerKeyHash.buffer) &&
    plainSerial(hex(one.serialNumber)) === plainSerial(hex(other.serialNumber))
  );
}

function hex(bytes: ArrayBuffer): string {
  return Buffer.from(bytes).toString('hex');
}

/** RFC 6960, 4.2.2.2: by the authority, or by whom it has made a responder itself; nobody further down counts. */
function isSignedFor(authority: Certificate, basic: Ocsp.BasicOCSPResponse, now: number): boolean {
  if (isSignedBy(authority, basic)) return true;
  const { AsnConvert } = asn1();
  return (basic.certs ?? []).slice(0, maxResponders).some((certificate) => {
    const responder = readCertificate(Buffer.from(AsnConvert.serialize(certificate)));
    return (
      responder !== undefined && isResponderOf(authority, responder, now) && isSignedBy(responder, basic)
    );
  });
}

const maxResponders = 4;

function isResponderOf(authority: Certificate, responder: Certificate, now: number): boolean {
  return (
    responder.certificate.keyUsage?.includes(ocspSigning) === true &&
    responder.notBefore <= now &&
    responder.notAfter > now &&
    !responder.weakKey &&
    !responder.weakSignature &&
    responder.maySign !== false &&
    responder.certificate.checkIssued(authority.certificate) &&
    responder.certificate.verify(authority.certificate.publicKey)
  );
}

const hashes: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256', // RSA
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256', // ECDSA
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null, // Ed25519
  '1.3.101.113': null, // Ed448
};

function isSignedBy({ certificate }: Certificate, basic: Ocsp.BasicOCSPResponse): boolean {
  const { tbsResponseDataRaw: signed, signatureAlgorithm, signature } = basic;
  const hash = hashes[signatureAlgorithm.algorithm];
  if (hash === undefined || signed === undefined) return false;
  try {
    const key = createPublicKey(certificate.publicKey.export({ type: 'spki', format: 'pem' }));
    return verify(hash, Buffer.from(signed), key, Buffer.from(signature));
  } catch {
    return false;
  }
}
