import { z } from 'zod';
import { namePatternSchema, nameTemplateSchema } from '#access';
import type { ClaimToken } from '#store';
import { displayName, instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

export const nameTemplate = nameTemplateSchema.describe(
  'How devices are called: ${name} is what the device calls itself, ${random} twelve random characters',
);
export const namePattern = namePatternSchema.describe('Which ${name} is let in: * stands for any text');

/** A week: long enough for a batch on its way from the factory. */
const defaultDays = 7;
const maxDays = 366;
const dayMs = 24 * 3_600_000;

export const newClaimToken = z
  .strictObject({
    name: displayName,
    profileId: z.uuid().optional().describe('Of the devices; absent: the profile named default'),
    nameTemplate: nameTemplate.default('${name}'),
    namePattern: namePattern.default('*'),
    maxUses: z.int().min(1).max(1_000_000).default(1).describe('How many devices it lets in'),
    expiresAt: instant
      .refine((time) => time.getTime() > Date.now() && time.getTime() <= Date.now() + maxDays * dayMs, {
        message: `In the future, within ${maxDays} days.`,
        params: { code: 'out-of-range' },
      })
      .optional()
      .describe(`Absent: in ${defaultDays} days`),
  })
  .meta({ id: 'NewClaimToken' });
export type NewClaimTokenInput = z.output<typeof newClaimToken>;

export function expiryOf({ expiresAt }: NewClaimTokenInput): Date {
  return expiresAt ?? new Date(Date.now() + defaultDays * dayMs);
}

export const claimTokenQuery = z.strictObject(pageQuery);
export const claimTokenPath = z.uuid();

export const claimTokenView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    profileId: z.uuid(),
    nameTemplate: z.string(),
    namePattern: z.string(),
    maxUses: z.int(),
    uses: z.int(),
    expiresAt: z.iso.datetime(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'ClaimToken' });

export const shownClaimTokenView = claimTokenView
  .extend({ token: z.string().describe('Shown this once; only its hash is kept') })
  .meta({ id: 'ShownClaimToken' });

export function presentClaimToken(row: ClaimToken): z.input<typeof claimTokenView> {
  return {
    id: row.id,
    name: row.name,
    profileId: row.profileId,
    nameTemplate: row.nameTemplate,
    namePattern: row.namePattern,
    maxUses: row.maxUses,
    uses: row.uses,
    expiresAt: row.expiresAt.toISOString(),
    createdAt: row.createdAt.toISOString(),
  };
}
