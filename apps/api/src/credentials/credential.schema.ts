import { z } from 'zod';
import { clientIdRuleSchema, type ClientIdRule } from '#access';
import type { Credential } from '#store';
import { instant, presentStamps, stamps, topicWord } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const authId = topicWord
  .refine((text) => !text.includes('@'), {
    message: 'No @: the tenant comes after it.',
    params: { code: 'forbidden-character' },
  })
  .describe('The part of the username before @; generated where it is absent');

const clientIdRule = clientIdRuleSchema.describe('Which client identifiers it may use');
const notBefore = instant.nullable().describe('Valid from then on; null: at once');
const notAfter = instant.nullable().describe('Valid before then; null: without end');

export const newCredential = z
  .strictObject({
    kind: z.literal('password').default('password'),
    authId: authId.optional(),
    clientIdRule: clientIdRule.default({ kind: 'device' }),
    notBefore: notBefore.default(null),
    notAfter: notAfter.default(null),
  })
  .superRefine(requireOrder)
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
    kind: z.literal('password'),
    authId: z.string(),
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
  .extend({ password: z.string().describe('Shown this once') })
  .meta({ id: 'IssuedCredential' });

export function presentCredential(row: Credential, tenantSlug: string): z.input<typeof credentialView> {
  return {
    id: row.id,
    deviceId: row.deviceId,
    kind: 'password',
    authId: row.authId,
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
