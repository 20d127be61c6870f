import type { PeerCertificate } from '#mqtt';

/** A chain that is longer than any that is accepted; the gate refuses it for its length. */
const maxIntermediates = 8;

/** What the client has shown, each the issuer of the one before. */
export function peerCertificate<Certificate>(
  own: Certificate | undefined,
  rawOf: (certificate: Certificate) => Buffer,
  issuerOf: (certificate: Certificate) => Certificate | undefined,
): PeerCertificate | undefined {
  if (own === undefined) return undefined;
  const intermediates: Buffer[] = [];
  for (let next = issuerOf(own); next !== undefined; next = issuerOf(next)) {
    if (intermediates.push(rawOf(next)) === maxIntermediates) break;
  }
  return { leaf: rawOf(own), intermediates };
}
