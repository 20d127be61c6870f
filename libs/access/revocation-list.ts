/** Reads revocation lists (RFC 5280, 5) of any size in one pass, and says whose they are. What cannot be read without doubt is not read. */
import { constants, verify, type KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { DerError, DerWalk, Tag } from './der.js';
import { type Certificate, sha256 } from './x509.js';

/** Some 300 000 entries. Checked by whoever takes bytes from outside, before there are so many. */
export const maxRevocationListBytes = 16 * 1024 * 1024;

export interface RevocationList {
  readonly number: bigint;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Serial numbers of what it revokes, each once. */
  readonly serials: readonly string[];
  readonly signature: ListSignature;
}

interface ListSignature {
  /** SHA-256 of the issuer's name. */
  readonly issuerHash: string;
  readonly scheme: Scheme;
  readonly signed: Buffer;
  readonly bytes: Buffer;
}

interface Scheme {
  readonly keys: readonly string[];
  /** Null: the key's own. */
  readonly hash: string | null;
  readonly isPss: boolean;
}

export type RevocationListFault =
  | 'malformed'
  | 'weak-signature'
  | 'no-number'
  | 'no-next-update'
  | 'partial-list';

/**
 * DER, or one PEM block. Lists that cover a part only (deltas, distribution points, indirect ones) are not taken. A long one is read in
 * many turns of the loop: whose it is, is known afterwards, so anybody may bring one, and everybody else goes on meanwhile.
 */
export async function readRevocationList(
  encoded: Buffer | string,
): Promise<RevocationList | RevocationListFault> {
  try {
    return await readDer(derOf(encoded));
  } catch (error) {
    if (error instanceof DerError) return 'malformed';
    throw error;
  }
}

/** True: the key of this authority has signed the list, and may. */
export function isSignedBy({ signature }: RevocationList, authority: Certificate): boolean {
  if (authority.maySignRevocations === false) return false;
  if (signature.issuerHash !== authority.subjectHash) return false;
  return isVerified(signature, authority.certificate.publicKey);
}

const armour = { begin: '-----BEGIN X509 CRL-----', end: '-----END X509 CRL-----' };

function derOf(encoded: Buffer | string): Buffer {
  if (typeof encoded !== 'string') {
    const isArmoured = encoded
      .subarray(0, armour.begin.length)
      .toString('latin1')
      .trimStart()
      .startsWith('-----');
    return isArmoured ? derOf(encoded.toString('latin1')) : encoded;
  }
  const text = encoded.trim();
  if (!text.startsWith(armour.begin) || !text.endsWith(armour.end)) throw new DerError('no PEM');
  const base64 = text.slice(armour.begin.length, -armour.end.length);
  if (base64.includes('-')) throw new DerError('more than one block');
  return Buffer.from(base64, 'base64');
}

async function readDer(der: Buffer): Promise<RevocationList | RevocationListFault> {
  if (der.length > maxRevocationListBytes) return 'malformed';
  const outer = new DerWalk(der);
  const list = outer.expect(Tag.sequence).inside();
  outer.mustBeOver();
  const tbs = list.expect(Tag.sequence).inside();
  const signed = list.whole;
  const algorithm = list.expect(Tag.sequence).whole;
  const scheme = schemeOf(list.inside());
  const bits = list.expect(Tag.bitString).content;
  list.mustBeOver();
  if (bits[0] !== 0) return 'malformed';

  if (tbs.nextTag === Tag.integer) {
    const { content } = tbs.expect(Tag.integer);
    if (content.length !== 1 || content[0] !== 1) return 'malformed'; // version 2
  }
  if (!tbs.expect(Tag.sequence).whole.equals(algorithm)) return 'malformed'; // 5.1.1.2
  const issuerHash = sha256(tbs.expect(Tag.sequence).whole);
  const thisUpdate = timeOf(tbs);
  const hasNext = tbs.nextTag === Tag.utcTime || tbs.nextTag === Tag.generalizedTime;
  const nextUpdate = hasNext ? timeOf(tbs) : undefined;
  const entries = tbs.nextTag === Tag.sequence ? tbs.expect(Tag.sequence).inside() : undefined;
  const serials = entries === undefined ? [] : await serialsOf(entries);
  const extensions = tbs.isOver ? undefined : tbs.expect(Tag.explicit0).inside();
  tbs.mustBeOver();

  if (scheme === undefined) return 'weak-signature';
  const number = extensions === undefined ? undefined : numberOf(extensions);
  // RFC 5280, 5.3: an entry with a critical extension may be another issuer's.
  if (serials === undefined || number === 'partial-list') return 'partial-list';
  if (number === undefined) return 'no-number';
  if (nextUpdate === undefined) return 'no-next-update';
  const signature = { issuerHash, scheme, signed, bytes: bits.subarray(1) };
  return { number, thisUpdate, nextUpdate, serials, signature };
}

const longestSerial = 64;
/** Entries that are read in one turn of the loop: some milliseconds. */
const mostAtOnce = 4_096;

/** Undefined: an entry has a critical extension. */
async function serialsOf(entries: DerWalk): Promise<string[] | undefined> {
  const serials = new Set<string>();
  let isPlain = true;
  for (let read = 1; !entries.isOver; read += 1) {
    if (read % mostAtOnce === 0) await nextTurn();
    const entry = entries.expect(Tag.sequence).inside();
    const { from, to } = entry.expect(Tag.integer);
    if (to === from || to - from > longestSerial) throw new DerError('no serial number');
    serials.add(serialOf(entry.bytes, from, to));
    timeTag(entry);
    if (entry.isOver) continue;
    const extensions = entry.expect(Tag.sequence).inside();
    entry.mustBeOver();
    while (!extensions.isOver) if (extensionOf(extensions).isCritical) isPlain = false;
  }
  return isPlain ? [...serials] : undefined;
}

/** As x509.ts, `plainSerial`, writes it, without a string for each step. */
function serialOf(bytes: Buffer, from: number, to: number): string {
  let at = from;
  while (at < to - 1 && bytes[at] === 0) at += 1;
  const hex = bytes.toString('hex', at, to);
  return hex.startsWith('0') ? hex.slice(1) : hex;
}

const crlNumber = '551d14'; // 2.5.29.20
const understood = new Set([crlNumber, '551d23']); // 2.5.29.35

/** The list's number; undefined: it has none. */
function numberOf(wrapped: DerWalk): bigint | 'partial-list' | undefined {
  const extensions = wrapped.expect(Tag.sequence).inside();
  wrapped.mustBeOver();
  let number: bigint | undefined;
  const seen = new Set<string>();
  while (!extensions.isOver) {
    const { id, isCritical, value } = extensionOf(extensions);
    if (seen.has(id)) throw new DerError('an extension that comes twice'); // 4.2
    seen.add(id);
    if (isCritical && !understood.has(id)) return 'partial-list';
    if (id !== crlNumber) continue;
    const walk = new DerWalk(value);
    const { content } = walk.expect(Tag.integer);
    walk.mustBeOver();
    // At most 20 bytes (5.2.3), and not negative.
    if (content.length < 1 || content.length > 20 || ((content[0] ?? 0) & 0x80) !== 0) return undefined;
    number = BigInt(`0x${content.toString('hex')}`);
  }
  return number;
}

function extensionOf(extensions: DerWalk) {
  const parts = extensions.expect(Tag.sequence).inside();
  const id = parts.expect(Tag.oid).content.toString('hex');
  const isCritical = parts.nextTag === Tag.boolean && parts.expect(Tag.boolean).content[0] !== 0;
  const value = parts.expect(Tag.octetString).content;
  parts.mustBeOver();
  return { id, isCritical, value };
}

function timeTag(walk: DerWalk): void {
  walk.next();
  const length = walk.tag === Tag.utcTime ? 13 : 15;
  const isTime = walk.tag === Tag.utcTime || walk.tag === Tag.generalizedTime;
  if (!isTime || walk.to - walk.from !== length) throw new DerError('no time');
}

/** To the second and in UTC, as RFC 5280, 4.1.2.5, has it. */
function timeOf(walk: DerWalk): number {
  timeTag(walk);
  const text = walk.content.toString('latin1');
  const full = walk.tag === Tag.utcTime ? `${text < '50' ? '20' : '19'}${text}` : text;
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full);
  if (parts === null) throw new DerError('no time');
  const [, year, month, day, hour, minute, second] = parts;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time)) throw new DerError('no time');
  return time;
}

// -------------------------------------------------------------------------------------------------------------- signature

const rsa = (hash: string): Scheme => ({ keys: ['rsa'], hash, isPss: false });
const ecdsa = (hash: string): Scheme => ({ keys: ['ec'], hash, isPss: false });

/** By the bytes of their object identifiers; whatever else there is, is weak or unknown. */
const schemes: Readonly<Record<string, Scheme>> = {
  '2a864886f70d01010b': rsa('sha256'), // 1.2.840.113549.1.1.11, -.12, -.13
  '2a864886f70d01010c': rsa('sha384'),
  '2a864886f70d01010d': rsa('sha512'),
  '2a8648ce3d040302': ecdsa('sha256'), // 1.2.840.10045.4.3.2, -.3, -.4
  '2a8648ce3d040303': ecdsa('sha384'),
  '2a8648ce3d040304': ecdsa('sha512'),
  '2b6570': { keys: ['ed25519'], hash: null, isPss: false }, // 1.3.101.112
  '2b6571': { keys: ['ed448'], hash: null, isPss: false }, // 1.3.101.113
};
const rsaPss = '2a864886f70d01010a'; // 1.2.840.113549.1.1.10
const pssHashes: Readonly<Record<string, string>> = {
  '608648016503040201': 'sha256', // 2.16.840.1.101.3.4.2.1, -.2, -.3
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
};

function schemeOf(algorithm: DerWalk): Scheme | undefined {
  const id = algorithm.expect(Tag.oid).content.toString('hex');
  if (id !== rsaPss) return schemes[id];
  // The hash stands in its parameters, and is SHA-1 where they say nothing (RFC 4055, 3.1).
  const parameters = algorithm.expect(Tag.sequence).inside();
  if (parameters.nextTag !== Tag.explicit0) return undefined;
  const hashAlgorithm = parameters.expect(Tag.explicit0).inside().expect(Tag.sequence).inside();
  const hash = pssHashes[hashAlgorithm.expect(Tag.oid).content.toString('hex')];
  return hash === undefined ? undefined : { keys: ['rsa', 'rsa-pss'], hash, isPss: true };
}

function isVerified({ scheme, signed, bytes }: ListSignature, key: KeyObject): boolean {
  const { keys, hash, isPss } = scheme;
  if (!keys.includes(key.asymmetricKeyType ?? '')) return false;
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  try {
    return verify(hash, signed, { key, ...(isPss ? pss : {}) }, bytes);
  } catch {
    return false; // a signature that is none of its kind
  }
}
