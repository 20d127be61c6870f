import { z } from 'zod';
import { clientIdRuleSchema, revocationReasons } from '#access';
import type { IssuedCertificate } from '#store';
import { pageQuery } from '../http/paging.js';
import { toPem } from '../trust-anchors/trust-anchor.schema.js';
import type { Issued } from './issuer.js';

export const csr = z
  .string()
  .min(1)
  .max(16_384)
  .describe('Certificate request, PKCS #10, PEM or DER in base64. Only its public key is used');

export const newDeviceCertificate = z
  .strictObject({
    csr,
    days: z.int().min(1).max(3_650).optional().describe('Validity; absent: what the authority gives'),
    authorityId: z.uuid().optional().describe('Absent: the newest that is active'),
    clientIdRule: clientIdRuleSchema
      .default({ kind: 'device' })
      .describe('Which client identifiers it may use'),
  })
  .meta({ id: 'NewDeviceCertificate' });
export type NewDeviceCertificateInput = z.output<typeof newDeviceCertificate>;

export const revocation = z
  .strictObject({ reason: z.enum(revocationReasons).default('unspecified') })
  .meta({ id: 'Revocation' });
export type RevocationInput = z.output<typeof revocation>;

export const deviceCertificateQuery = z.strictObject(pageQuery);
export const deviceCertificatePath = z.uuid();

export const deviceCertificateView = z
  .object({
    id: z.uuid(),
    deviceId: z.uuid(),
    authorityId: z.uuid(),
    credentialId: z.uuid().describe('What it lets the device in by; gone once it is over'),
    serial: z.string().describe('Hexadecimal'),
    fingerprint: z.string().describe('SHA-256'),
    certificate: z.string().describe('PEM'),
    notBefore: z.iso.datetime(),
    notAfter: z.iso.datetime(),
    issuedBy: z.string().describe('API key, claim token, or the certificate that it renews'),
    revokedAt: z.iso.datetime().nullable(),
    revocationReason: z.string().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'DeviceCertificate' });

export const issuedCertificateView = deviceCertificateView
  .extend({
    chain: z.string().describe('What the device sends along: PEM'),
    username: z.string().describe('Where the certificate alone does not name the tenant'),
  })
  .meta({ id: 'IssuedDeviceCertificate' });

export function presentDeviceCertificate(row: IssuedCertificate): z.input<typeof deviceCertificateView> {
  return {
    id: row.id,
    deviceId: row.deviceId,
    authorityId: row.authorityId,
    credentialId: row.credentialId,
    serial: row.serial,
    fingerprint: Buffer.from(row.fingerprint).toString('hex'),
    certificate: toPem(row.certificate),
    notBefore: row.notBefore.toISOString(),
    notAfter: row.notAfter.toISOString(),
    issuedBy: row.issuedBy,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    revocationReason: row.revocationReason,
    createdAt: row.createdAt.toISOString(),
  };
}

/** Beside the certificate, what the device needs to use it. */
export function presentForDevice({ authority, credential }: Issued, tenantSlug: string) {
  return { chain: toPem(authority.anchor.certificate), username: `${credential.authId}@${tenantSlug}` };
}
