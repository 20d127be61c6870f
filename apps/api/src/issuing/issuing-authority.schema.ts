import { z } from 'zod';
import type { IssuingAuthority } from '#store';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';
import { toPem } from '../trust-anchors/trust-anchor.schema.js';

/** Ten years: what a device keeps is renewed long before. */
const maxDays = 3_650;
const statuses = ['active', 'retired'] as const;

const certificateDays = z
  .int()
  .min(1)
  .max(maxDays)
  .describe('Validity of a certificate whose request names none');
const maxCertificateDays = z.int().min(1).max(maxDays).describe('What a request may ask for');

export const newIssuingAuthority = z
  .strictObject({
    name: displayName.refine((text) => text.length <= 64, {
      message: 'It becomes a common name: at most 64 characters.',
      params: { code: 'too-long' },
    }),
    days: z.int().min(1).max(7_300).default(maxDays).describe('Validity of the authority itself'),
    certificateDays: certificateDays.default(90),
    maxCertificateDays: maxCertificateDays.default(397),
  })
  .refine((input) => input.certificateDays <= input.maxCertificateDays, {
    path: ['certificateDays'],
    message: 'Not more than maxCertificateDays.',
    params: { code: 'out-of-range' },
  })
  .meta({ id: 'NewIssuingAuthority' });
export type NewIssuingAuthorityInput = z.output<typeof newIssuingAuthority>;

export const issuingAuthorityPatch = z
  .strictObject({
    status: z.enum(statuses).describe('retired: what it has issued is good, and it issues no more'),
    certificateDays,
    maxCertificateDays,
  })
  .partial()
  .meta({ id: 'IssuingAuthorityPatch' });
export type IssuingAuthorityPatchInput = z.output<typeof issuingAuthorityPatch>;

export const issuingAuthorityQuery = z.strictObject(pageQuery);
export const issuingAuthorityPath = z.uuid();

export const issuingAuthorityView = z
  .object({
    id: z.uuid().describe('Also of the trust anchor that it is'),
    name: z.string(),
    status: z.enum(statuses),
    subject: z.string(),
    certificate: z.string().describe('PEM'),
    fingerprint: z.string().describe('SHA-256 of the certificate'),
    notBefore: z.iso.datetime(),
    notAfter: z.iso.datetime(),
    certificateDays,
    maxCertificateDays,
    ...stamps,
  })
  .meta({ id: 'IssuingAuthority' });

export const issuedListView = z
  .object({
    number: z.string(),
    thisUpdate: z.iso.datetime(),
    nextUpdate: z.iso.datetime(),
    entries: z.int(),
    crl: z.string().describe('PEM, signed by the authority'),
  })
  .meta({ id: 'IssuedRevocationList' });

export function presentIssuingAuthority(row: IssuingAuthority): z.input<typeof issuingAuthorityView> {
  const { anchor } = row;
  return {
    id: row.id,
    name: anchor.name,
    status: row.status === 'active' ? 'active' : 'retired',
    subject: anchor.subject,
    certificate: toPem(anchor.certificate),
    fingerprint: Buffer.from(anchor.fingerprint).toString('hex'),
    notBefore: anchor.notBefore.toISOString(),
    notAfter: anchor.notAfter.toISOString(),
    certificateDays: row.certificateDays,
    maxCertificateDays: row.maxCertificateDays,
    ...presentStamps(row),
  };
}

export interface SignedList {
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: number;
  readonly crl: string;
}

export function presentIssuedList(list: SignedList): z.input<typeof issuedListView> {
  return {
    number: String(list.number),
    thisUpdate: list.thisUpdate.toISOString(),
    nextUpdate: list.nextUpdate.toISOString(),
    entries: list.entries,
    crl: list.crl,
  };
}
