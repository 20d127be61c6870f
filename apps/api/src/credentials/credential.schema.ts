import { z } from 'zod';
import { chosenPasswordLimits, clientIdRuleSchema, type ClientIdRule } from '#access';
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
/** Of what is new: with an end that is over it would never be valid. */
const endAhead = notAfter.refine((end) => end === null || !isPast(end), {
  params: { code: 'past' },
  error: () => pastFault().message,
});

const kinds = ['password', 'certificate', 'token', 'external'] as const;

const secret = z
  .string()
  .min(1)
  .max(4 * chosenPasswordLimits.maxLength)
  .describe(
    `A password of your own choice, ${chosenPasswordLimits.minLength} to ${chosenPasswordLimits.maxLength} characters; absent: one is generated. It cannot be used with SCRAM`,
  );
const publicKey = z
  .union([z.string().min(1).max(8_192), z.record(z.string(), z.unknown())])
  .describe(
    'By which the device signs its tokens: PEM or JWK; P-256, P-384, P-521, Ed25519, or RSA from 2048 bits',
  );
const certificate = pem.describe('To be pinned: the device shows exactly this one, self-signed or not');
const fingerprint = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'SHA-256, 64 digits of lower-case hexadecimal')
  .describe('Of the certificate to be pinned, instead of it');

/**
 * A certificate is pinned by itself or by its fingerprint; without either it is known by its name under a trust anchor. A token is
 * the device's own by a public key; without one it is an issuer's. What is external is known to the tenant's authenticator.
 */
export const newCredential = z
  .strictObject({
    kind: z.enum(kinds).default('password'),
    authId: authId.optional(),
    secret: secret.optional(),
    certificate: certificate.optional(),
    fingerprint: fingerprint.optional(),
    anchorId: z
      .uuid()
      .optional()
      .describe("For certificates by name: the anchor they must lead to; absent: any of the tenant's"),
    publicKey: publicKey.optional(),
    issuerId: z
      .uuid()
      .optional()
      .describe("For tokens without a key: the issuer they must be of; absent: any of the tenant's"),
    clientIdRule: clientIdRule.default({ kind: 'device' }),
    notBefore: notBefore.default(null),
    notAfter: endAhead.default(null),
  })
  .superRefine(requireOrder)
  .superRefine(requireOneMeaning)
  .meta({ id: 'NewCredential', example: { kind: 'password' } });
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

/** What is absent stays as it is: the kind, the client identifiers. */
export const credentialRotation = z
  .strictObject({
    overlapS: z
      .int()
      .min(0)
      .max(31_536_000)
      .default(86_400)
      .describe('Seconds for which both are valid; the old one ends sooner if it was to end sooner'),
    authId: authId.optional(),
    secret: secret.optional(),
    publicKey: publicKey.optional(),
    certificate: certificate.optional(),
    fingerprint: fingerprint.optional(),
    notAfter: endAhead.default(null),
  })
  .meta({ id: 'CredentialRotation' });
export type CredentialRotationInput = z.output<typeof credentialRotation>;

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
    publicKey: z.record(z.string(), z.unknown()).nullable().describe('Of tokens that the device signs: JWK'),
    issuerId: z.uuid().nullable().describe("Of tokens without a key; null: any issuer of the tenant's"),
    replacesId: z.uuid().nullable().describe('Whose place it takes; that one may be gone'),
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
  .extend({ password: z.string().optional().describe('Shown this once, where it was generated') })
  .meta({ id: 'IssuedCredential' });

export interface IssuedCredential {
  readonly credential: Credential;
  /** Shown once; only its hash is kept. Undefined: it was not generated here. */
  readonly password: string | undefined;
}

export function presentCredential(row: Credential, tenantSlug: string): z.input<typeof credentialView> {
  return {
    id: row.id,
    deviceId: row.deviceId,
    kind: kinds.find((kind) => kind === row.kind) ?? 'password',
    authId: row.authId,
    fingerprint: row.fingerprint && Buffer.from(row.fingerprint).toString('hex'),
    anchorId: row.anchorId,
    publicKey: row.publicKey as Record<string, unknown> | null,
    issuerId: row.issuerId,
    replacesId: row.replacesId,
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

/** With what is shown once. */
export function presentIssued(
  { credential, password }: IssuedCredential,
  tenantSlug: string,
): z.input<typeof issuedCredentialView> {
  const view = presentCredential(credential, tenantSlug);
  return password === undefined ? view : { ...view, password };
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

export function isPast(end: Date): boolean {
  return end.getTime() <= Date.now();
}

/** Says what time it is here: the clock of whoever sends it may be wrong. */
export function pastFault() {
  const message = `It has ended by then: here it is ${new Date().toISOString()}.`;
  return { pointer: '#/notAfter', code: 'past', message } as const;
}

function requireOrder(
  input: { notBefore: Date | null; notAfter: Date | null },
  context: z.RefinementCtx,
): void {
  if (isInOrder(input)) return;
  const { code, message } = orderFault;
  context.addIssue({ code: 'custom', path: ['notAfter'], message, params: { code } });
}

const meanings = {
  password: ['secret'],
  certificate: ['certificate', 'fingerprint', 'anchorId'],
  token: ['publicKey', 'issuerId'],
  external: [],
} as const;
const allMeanings = Object.values(meanings).flat();

/** What a credential is proven by: one thing, of its own kind. */
export function requireOneMeaning(
  input: { readonly kind: keyof typeof meanings } & {
    readonly [Name in (typeof allMeanings)[number]]?: unknown;
  },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void {
  const own: readonly string[] = meanings[input.kind];
  const given = allMeanings.filter((name) => input[name] !== undefined);
  const foreign = given.filter((name) => !own.includes(name));
  const extra = given.filter((name) => own.includes(name)).slice(1);
  for (const name of [...foreign, ...extra]) {
    const message = own.includes(name) ? `One of ${own.join(', ')}.` : `Not of the kind ${input.kind}.`;
    context.addIssue({ code: 'custom', path: [name], message, params: { code: 'not-together' } });
  }
}
