import { z } from 'zod';
import { clientIdRuleSchema, type ClientIdRule } from '#access';
import type { Credential } from '#store';
import { instant, presentStamps, stamps, topicWord } from '../fields.js';
import { pageQuery } from '../http/paging.js';
import { pem } from '../trust-anchors/trust-anchor.schema.js';

const authId = topicWord
  .refine((text) => !text.includes('@'), {
    message: 'No @: the tenant comes after it.',
    params: { code: 'forbidden-character' },
  })
  .describe('The part of the username before @; generated where it is absent');

const clientIdRule = clientIdRuleSchema.describe('Which client identifiers it may use');
const notBefore = instant.nullable().describe('Valid from then on; null: at once');
const notAfter = instant.nullable().describe('Valid before then; null: without end');

const kinds = ['password', 'certificate'] as const;

/** A certificate is pinned by itself or by its fingerprint; without either it is known by its name under a trust anchor. */
export const newCredential = z
  .strictObject({
    kind: z.enum(kinds).default('password'),
    authId: authId.optional(),
    certificate: pem
      .optional()
      .describe('To be pinned: the device shows exactly this one, self-signed or not'),
    fingerprint: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'SHA-256, 64 digits of lower-case hexadecimal')
      .optional()
      .describe('Of the certificate to be pinned, instead of it'),
    anchorId: z
      .uuid()
      .optional()
      .describe("For certificates by name: the anchor they must lead to; absent: any of the tenant's"),
    clientIdRule: clientIdRule.default({ kind: 'device' }),
    notBefore: notBefore.default(null),
    notAfter: notAfter.default(null),
  })
  .superRefine(requireOrder)
  .superRefine(requireOneMeaning)
  .meta({ id: 'NewCredential' });
export type NewCredentialInput = z.output<typeof newCredential>;

export const credentialPatch = z
  .strictObject({
    clientIdRule,
    notBefore,
    notAfter,
    disabled: z.boolean().describe('true stops it and closes its connections; false lets it in again'),
  })
  .partial()
  .meta({ id: 'CredentialPatch' });
export type CredentialPatchInput = z.output<typeof credentialPatch>;

export const credentialQuery = z.strictObject(pageQuery);
export const credentialPath = z.uuid();

export const credentialView = z
  .object({
    id: z.uuid(),
    deviceId: z.uuid(),
    kind: z.enum(kinds),
    authId: z.string(),
    fingerprint: z.string().nullable().describe('Of a certificate that is pinned'),
    anchorId: z.uuid().nullable().describe("Of certificates by name; null: any anchor of the tenant's"),
    username: z.string().describe('What the device sends: authId@tenant-slug'),
    clientIdRule,
    notBefore: z.iso.datetime().nullable(),
    notAfter: z.iso.datetime().nullable(),
    disabledAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable(),
    lastUsedFrom: z.string().nullable(),
    ...stamps,
  })
  .meta({ id: 'Credential' });

export const issuedCredentialView = credentialView
  .extend({ password: z.string().optional().describe('Shown this once; none of a certificate') })
  .meta({ id: 'IssuedCredential' });

export function presentCredential(row: Credential, tenantSlug: string): z.input<typeof credentialView> {
  return {
    id: row.id,
    deviceId: row.deviceId,
    kind: row.kind === 'certificate' ? 'certificate' : 'password',
    authId: row.authId,
    fingerprint: row.fingerprint && Buffer.from(row.fingerprint).toString('hex'),
    anchorId: row.anchorId,
    username: `${row.authId}@${tenantSlug}`,
    clientIdRule: row.clientIdRule as ClientIdRule,
    notBefore: row.notBefore?.toISOString() ?? null,
    notAfter: row.notAfter?.toISOString() ?? null,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    lastUsedFrom: row.lastUsedFrom,
    ...presentStamps(row),
  };
}

export function isInOrder(validity: { notBefore: Date | null; notAfter: Date | null }): boolean {
  const { notBefore, notAfter } = validity;
  return notBefore === null || notAfter === null || notBefore < notAfter;
}

export const orderFault = {
  pointer: '#/notAfter',
  code: 'out-of-order',
  message: 'notAfter is later than notBefore.',
} as const;

function requireOrder(
  input: { notBefore: Date | null; notAfter: Date | null },
  context: z.RefinementCtx,
): void {
  if (isInOrder(input)) return;
  const { code, message } = orderFault;
  context.addIssue({ code: 'custom', path: ['notAfter'], message, params: { code } });
}

function requireOneMeaning(
  input: { kind: string; certificate?: unknown; fingerprint?: unknown; anchorId?: unknown },
  context: z.RefinementCtx,
): void {
  const given = (['certificate', 'fingerprint', 'anchorId'] as const).filter(
    (name) => input[name] !== undefined,
  );
  const allowed = input.kind === 'certificate' ? 1 : 0;
  for (const name of given.slice(allowed)) {
    const message =
      allowed === 0
        ? 'Of a certificate, not of a password.'
        : 'One of certificate, fingerprint and anchorId.';
    context.addIssue({ code: 'custom', path: [name], message, params: { code: 'not-together' } });
  }
}
