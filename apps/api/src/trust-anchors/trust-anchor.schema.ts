import { z } from 'zod';
import { identityTemplateSchema, stalePolicies, type IdentityTemplate, type StalePolicy } from '#access';
import type { CrlSource, TrustAnchor } from '#store';
import { egressUrlFault } from '#process';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

/** Longer than any certificate that is taken; its own check comes after. */
export const pem = z.string().min(1).max(32_768).describe('One certificate, PEM');

const identity = identityTemplateSchema.describe(
  'Where certificates carry the name: exactly one of ${device} and ${authId} in the pattern',
);
const crlWhenStale = z
  .enum(stalePolicies)
  .describe(
    'When the revocation list is past its nextUpdate: nobody gets in, at once or after crlGraceS, or everybody does',
  );
const crlGraceS = z.int().min(0).max(31_536_000).describe('Seconds after nextUpdate, for grace');

const crlRefreshS = z
  .int()
  .min(60)
  .max(604_800)
  .describe('Seconds after which a list is fetched again, at the latest; before its nextUpdate in any case');
const crlFromCertificates = z
  .boolean()
  .describe('Lists are fetched from where certificates say, too (CRL distribution points)');

const calledUrl = z
  .string()
  .max(2_048)
  .refine((url) => egressUrlFault(url, 'https-or-http') === undefined, {
    message: 'An http or https URL without credentials in it.',
    params: { code: 'invalid-url' },
  });
const crlUrls = z
  .array(calledUrl)
  .max(4)
  .refine((urls) => new Set(urls.map((url) => URL.parse(url)?.href ?? url)).size === urls.length, {
    message: 'One stands there twice.',
  })
  .describe('Where the authority publishes its revocation list; fetched from each');

const ocsp = z
  .enum(['off', 'soft', 'hard'])
  .describe(
    'Whether its responder is asked about certificates: with soft its silence lets in, with hard it refuses; what it calls revoked or unknown is refused by both',
  );
const ocspUrl = calledUrl
  .nullable()
  .describe('null: where each certificate says (authority information access)');

export const newTrustAnchor = z
  .strictObject({
    name: displayName,
    certificate: pem.describe('Of the authority, PEM'),
    identity: identity.default({ source: 'cn', pattern: '${device}' }),
    crlWhenStale: crlWhenStale.default('refuse'),
    crlGraceS: crlGraceS.default(86_400),
    crlUrls: crlUrls.default([]),
    crlFromCertificates: crlFromCertificates.default(false),
    crlRefreshS: crlRefreshS.default(3_600),
    ocsp: ocsp.default('off'),
    ocspUrl: ocspUrl.default(null),
  })
  .meta({ id: 'NewTrustAnchor' });
export type NewTrustAnchorInput = z.output<typeof newTrustAnchor>;

export const trustAnchorPatch = z
  .strictObject({
    name: displayName,
    certificate: pem.describe('A renewed one, self-signed, of the same key and subject'),
    crlWhenStale,
    crlGraceS,
    crlUrls,
    crlFromCertificates,
    crlRefreshS,
    ocsp,
    ocspUrl,
  })
  .partial()
  .meta({ id: 'TrustAnchorPatch' });
export type TrustAnchorPatchInput = z.output<typeof trustAnchorPatch>;

export const possessionProof = z
  .strictObject({
    certificate: pem.describe('Signed by the key of the authority, with the challenge as its common name'),
  })
  .meta({ id: 'PossessionProof' });
export type PossessionProofInput = z.output<typeof possessionProof>;

export const newRevocationList = z
  .strictObject({
    crl: z.string().min(1).max(262_144).describe('PEM, or DER in base64'),
  })
  .meta({ id: 'NewRevocationList' });

export function encodedList({ crl }: z.output<typeof newRevocationList>): Buffer | string {
  return crl.trimStart().startsWith('-----') ? crl : Buffer.from(crl, 'base64');
}

export const trustAnchorQuery = z.strictObject(pageQuery);
export const trustAnchorPath = z.uuid();

export const trustAnchorView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    state: z.enum(['pending', 'trusted']).describe('pending: possession of its key is still to be proven'),
    challenge: z.string().nullable().describe('While pending: the common name to be signed'),
    provenAt: z.iso.datetime().nullable(),
    subject: z.string(),
    certificate: z.string().describe('PEM'),
    fingerprint: z.string().describe('SHA-256 of the certificate'),
    publicKeyHash: z.string().describe('SHA-256 of the SubjectPublicKeyInfo'),
    notBefore: z.iso.datetime(),
    notAfter: z.iso.datetime(),
    identity: identityTemplateSchema
      .nullable()
      .describe('null: an issuing authority of the platform, whose certificates are known one by one'),
    crlWhenStale,
    crlGraceS,
    crl: z
      .object({
        number: z.string(),
        thisUpdate: z.iso.datetime(),
        nextUpdate: z.iso.datetime(),
        entries: z.int(),
      })
      .nullable(),
    crlSources: z.array(
      z.object({
        url: z.string(),
        origin: z.enum(['named', 'certificate']).describe('Named here, or seen in a certificate'),
        fetchedAt: z.iso
          .datetime()
          .nullable()
          .describe('When what was there last was in force, or came into it'),
        triedAt: z.iso.datetime().nullable(),
        failures: z.int().describe('In a row'),
        error: z.object({ code: z.string(), message: z.string() }).nullable().describe('Of the last attempt'),
        nextAt: z.iso.datetime(),
      }),
    ),
    crlFromCertificates,
    crlRefreshS,
    crlExpectedAt: z.iso
      .datetime()
      .nullable()
      .describe(
        'While the first list is still to be fetched: from then on its lack is that of one past its nextUpdate',
      ),
    ocsp,
    ocspUrl,
    ...stamps,
  })
  .meta({ id: 'TrustAnchor' });

export function presentTrustAnchor(row: TrustAnchor): z.input<typeof trustAnchorView> {
  return {
    id: row.id,
    name: row.name,
    state: row.provenAt === null ? 'pending' : 'trusted',
    challenge: row.provenAt === null ? row.challenge : null,
    provenAt: row.provenAt?.toISOString() ?? null,
    subject: row.subject,
    certificate: toPem(row.certificate),
    fingerprint: hex(row.fingerprint),
    publicKeyHash: hex(row.spkiHash),
    notBefore: row.notBefore.toISOString(),
    notAfter: row.notAfter.toISOString(),
    identity: identityOf(row.identity),
    crlWhenStale: row.crlWhenStale as StalePolicy,
    crlGraceS: row.crlGraceS,
    crl: presentList(row),
    crlSources: row.crlSources.map(presentSource),
    crlFromCertificates: row.crlFromCertificates,
    crlRefreshS: row.crlRefreshS,
    crlExpectedAt: row.crlNumber === null ? (row.crlExpectedAt?.toISOString() ?? null) : null,
    ocsp: row.ocsp as z.output<typeof ocsp>,
    ocspUrl: row.ocspUrl,
    ...presentStamps(row),
  };
}

function presentSource({ url, origin, fetchedAt, triedAt, failures, error, errorDetail, dueAt }: CrlSource) {
  return {
    url,
    origin: origin === 'certificate' ? ('certificate' as const) : ('named' as const),
    fetchedAt: fetchedAt?.toISOString() ?? null,
    triedAt: triedAt?.toISOString() ?? null,
    failures,
    error: error === null ? null : { code: error, message: errorDetail ?? error },
    nextAt: dueAt.toISOString(),
  };
}

function identityOf(stored: unknown): IdentityTemplate | null {
  const identity = identityTemplateSchema.safeParse(stored);
  return identity.success ? identity.data : null;
}

function presentList({ crlNumber, crlThisUpdate, crlNextUpdate, crlEntries }: TrustAnchor) {
  if (crlNumber === null || crlThisUpdate === null || crlNextUpdate === null) return null;
  return {
    number: crlNumber,
    thisUpdate: crlThisUpdate.toISOString(),
    nextUpdate: crlNextUpdate.toISOString(),
    entries: crlEntries,
  };
}

export function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
