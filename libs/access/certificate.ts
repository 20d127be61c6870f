/**
 * What a client's certificate is worth: one decision for every listener and for every later look at a live connection. Pure:
 * trust anchors, revocations and the time come from the caller. Signatures decide by key; a name alone never decides.
 *
 * The work is in two parts. `findPath` looks at what cannot change: is there a path of signatures to an anchor, of certificates
 * that may be used so. `standingOf` looks at what can: time, the anchor, revocations. A sign-in needs both; a live connection
 * has its path and is held against the second again and again.
 */
import type { CertificateProof } from '#mqtt';

import { type Certificate, readCertificate } from './x509.js';

/** Stable: tenants see them in their denials. */
export type CertificateFault =
  | 'malformed' // not a certificate, too large, or too many of them
  | 'weak-key'
  | 'weak-signature'
  | 'wrong-usage' // not for TLS clients, or an authority used as a client, or a client used as an authority
  | 'unsupported-extension'
  | 'path-too-long'
  | 'chain-incomplete' // its issuer was not sent and is no anchor
  | 'unknown-anchor' // it ends at an authority that is no anchor, whatever that is called
  | 'anchor-gone' // the anchor of its path is trusted no longer
  | 'not-yet-valid'
  | 'expired'
  | 'revoked'
  | 'revocation-unknown'; // the anchor's revocation list is too old, or its responder does not say

/** A certificate authority of one tenant, as it is trusted. */
export interface TrustedAuthority {
  readonly anchorId: string;
  readonly certificate: Certificate;
}

/** What a client sent: its own certificate, and those that shall lead to an anchor. */
export interface PresentedChain {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
}

export interface CertificatePath<A extends TrustedAuthority = TrustedAuthority> {
  readonly anchor: A;
  readonly proof: CertificateProof;
  /** Where the certificate that the anchor has issued says the anchor's revocation list is. */
  readonly listUrl: string | undefined;
}

const maxIntermediates = 4;

/** Reads what came by TLS, leaf first. Undefined: malformed, or more than anybody needs. `read`: by who knows some already. */
export function readChain(
  leaf: Buffer,
  intermediates: readonly Buffer[],
  read: (der: Buffer) => Certificate | undefined = readCertificate,
): PresentedChain | undefined {
  if (intermediates.length > maxIntermediates + 1) return undefined; // the anchor itself may be among them
  const [own, ...others] = [leaf, ...intermediates].map((der) => read(der));
  if (own === undefined || others.includes(undefined)) return undefined;
  return { leaf: own, intermediates: others.filter((other) => other !== undefined) };
}

/** By what anchors that may have issued the chain are looked up. Names only where a certificate does not name its issuer's key. */
export interface AnchorHints {
  readonly keyIds: readonly string[];
  readonly spkiHashes: readonly string[];
  readonly subjectHashes: readonly string[];
}

export function anchorHints({ leaf, intermediates }: PresentedChain): AnchorHints {
  const sent = [leaf, ...intermediates];
  return {
    keyIds: sent.flatMap(({ issuerKeyId }) => issuerKeyId ?? []),
    spkiHashes: intermediates.map(({ spkiHash }) => spkiHash),
    subjectHashes: sent.filter((one) => one.issuerKeyId === undefined).map(({ issuerHash }) => issuerHash),
  };
}

/** What is wrong with a certificate as a TLS client's, whoever issued it. */
export function clientFault(leaf: Certificate): CertificateFault | undefined {
  if (leaf.weakKey) return 'weak-key';
  if (leaf.hasForeignExtension) return 'unsupported-extension';
  // Without the extension it may be used for anything (RFC 5280, 4.2.1.3 and 4.2.1.12).
  return leaf.maySign === false || leaf.isForClients === false ? 'wrong-usage' : undefined;
}

/** From the client's certificate up to the first anchor that has signed: the shortest way (RFC 5280, 6.1). */
export function findPath<A extends TrustedAuthority>(
  { leaf, intermediates }: PresentedChain,
  anchors: readonly A[],
): CertificatePath<A> | CertificateFault {
  const fault = clientFault(leaf);
  if (fault !== undefined) return fault;
  if (leaf.isAuthority) return 'wrong-usage';
  let current = leaf;
  let notAfter = leaf.notAfter;
  let notBefore = leaf.notBefore;
  for (let authorities = 0; authorities <= maxIntermediates; authorities += 1) {
    if (current.weakSignature) return 'weak-signature';
    const issued = current;
    const anchor = anchors.find(({ certificate }) => hasIssued(certificate, issued));
    if (anchor !== undefined) {
      const fault = authorityFault(anchor.certificate, authorities);
      if (fault !== undefined) return fault;
      return {
        anchor,
        listUrl: current.listUrl,
        proof: {
          fingerprint: leaf.fingerprint,
          commonName: commonNameOf(leaf),
          anchorId: anchor.anchorId,
          serial: current.serial,
          responderUrl: current.responderUrl,
          notBefore: Math.max(notBefore, anchor.certificate.notBefore),
          notAfter: Math.min(notAfter, anchor.certificate.notAfter),
        },
      };
    }
    const issuer = intermediates.find((other) => other !== issued && hasIssued(other, issued));
    if (issuer === undefined || issuer.fingerprint === current.fingerprint)
      return endOf(current, intermediates, anchors);
    const fault = authorityFault(issuer, authorities);
    if (fault !== undefined) return fault;
    current = issuer;
    notAfter = Math.min(notAfter, issuer.notAfter);
    notBefore = Math.max(notBefore, issuer.notBefore);
  }
  return 'path-too-long';
}

/** The only one: which of two a reader would take is anybody's guess. */
export function commonNameOf({ names: { cn } }: Certificate): string | undefined {
  return cn.length === 1 ? cn[0] : undefined;
}

/** Names, key identifiers and usage must fit; the key decides. */
function hasIssued(issuer: Certificate, subject: Certificate): boolean {
  return (
    subject.certificate.checkIssued(issuer.certificate) &&
    subject.certificate.verify(issuer.certificate.publicKey)
  );
}

/** `below`: how many authorities stand between it and the client's certificate. */
function authorityFault(authority: Certificate, below: number): CertificateFault | undefined {
  if (authority.weakKey) return 'weak-key';
  if (authority.hasForeignExtension) return 'unsupported-extension';
  if (!authority.isAuthority || authority.mayIssue === false || authority.isForClients === false) {
    return 'wrong-usage';
  }
  return authority.pathLength !== undefined && below > authority.pathLength ? 'path-too-long' : undefined;
}

/** Why there is no way on from here. */
function endOf(
  last: Certificate,
  sent: readonly Certificate[],
  anchors: readonly TrustedAuthority[],
): CertificateFault {
  // Signed by the key of a certificate that may not issue any.
  const isUsurped = sent.some(
    (other) => other.fingerprint !== last.fingerprint && last.certificate.verify(other.certificate.publicKey),
  );
  if (isUsurped) return 'wrong-usage';
  const isRoot = last.issuerHash === last.subjectHash;
  // Somebody else's key under the name of an anchor.
  const isForged = anchors.some(({ certificate }) => certificate.subjectHash === last.issuerHash);
  return isRoot || isForged ? 'unknown-anchor' : 'chain-incomplete';
}

/** What happens when the anchor's revocation list is older than it says it should be. */
export const stalePolicies = ['refuse', 'grace', 'ignore'] as const;
export type StalePolicy = (typeof stalePolicies)[number];

/** What is known of revocations by one anchor. `nextUpdate` undefined: it has never published a list, and nothing can be late. */
export interface RevocationState {
  readonly isRevoked: boolean;
  readonly nextUpdate: number | undefined;
  readonly whenStale: StalePolicy;
  readonly graceMs: number;
}

/** Undefined for a pinned certificate that needs no anchor. */
export type AnchorStanding = RevocationState | undefined;

/** What is wrong with a proof now; undefined: nothing. */
export function standingOf(
  proof: CertificateProof,
  anchor: AnchorStanding,
  now: number,
): CertificateFault | undefined {
  if (anchor === undefined && proof.anchorId !== undefined) return 'anchor-gone';
  if (anchor?.isRevoked === true) return 'revoked';
  if (now < proof.notBefore) return 'not-yet-valid';
  if (now >= proof.notAfter) return 'expired';
  const listEnds = anchor && endOfList(anchor);
  return listEnds !== undefined && now >= listEnds ? 'revocation-unknown' : undefined;
}

/** Until when a proof that stands now will stand, if nothing else happens. */
export function provenUntil(proof: CertificateProof, anchor: AnchorStanding): number {
  return Math.min(proof.notAfter, (anchor && endOfList(anchor)) ?? Infinity);
}

function endOfList({ nextUpdate, whenStale, graceMs }: RevocationState): number | undefined {
  if (nextUpdate === undefined || whenStale === 'ignore') return undefined;
  return whenStale === 'grace' ? nextUpdate + graceMs : nextUpdate;
}
