import { z } from 'zod';
import { addressRangeSchema, normalizeRange } from '#access';
import type { Ban } from '#store';
import { instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const kind = z.enum(['client-id', 'username', 'address']);
const reason = z
  .string()
  .max(500)
  .default('')
  .describe('For people, and in the denials of who is turned away');
const expiresAt = instant
  .nullish()
  .describe('It is lifted by itself then; null, or absent: it holds until it is lifted');

export const newBan = z
  .strictObject({
    kind,
    value: z
      .string()
      .min(1)
      .max(256)
      .refine((text) => text.isWellFormed() && !text.includes('\0'), 'No U+0000 and no lone surrogates.')
      .describe(
        'The client identifier; the first part of the username, before @ (of a ban of the platform: the whole of it); ' +
          'an address, or a range of them',
      ),
    reason,
    expiresAt,
  })
  .superRefine((ban, context) => {
    const refuse = (path: string, code: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message, params: { code } });
    if (ban.kind === 'address' && !addressRangeSchema.safeParse(ban.value).success)
      refuse('value', 'bad-range', 'An address or a range of them: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32.');
    if (ban.expiresAt && ban.expiresAt.getTime() <= Date.now())
      refuse('expiresAt', 'past', 'It would have expired already.');
  })
  .transform((ban) => ({
    ...ban,
    expiresAt: ban.expiresAt ?? undefined,
    value: ban.kind === 'address' ? (normalizeRange(ban.value) ?? ban.value) : ban.value,
  }))
  .meta({ id: 'NewBan' });
export type NewBanInput = z.output<typeof newBan>;

export const banQuery = z.strictObject({ ...pageQuery, kind: kind.optional() });
export type BanListing = z.output<typeof banQuery>;
export const banPath = z.uuid();

export const banView = z
  .object({
    id: z.uuid(),
    kind,
    value: z.string(),
    reason: z.string(),
    expiresAt: z.iso.datetime().nullable(),
    isInForce: z.boolean().describe('False: it has expired, and is kept for a week'),
    createdBy: z.string().describe('Shown part of the API key'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Ban' });

export function presentBan(row: Ban): z.input<typeof banView> {
  const { id, value, reason: why, expiresAt: until, createdBy, createdAt } = row;
  return {
    id,
    kind: kind.parse(row.kind),
    value,
    reason: why,
    expiresAt: until?.toISOString() ?? null,
    isInForce: until === null || until.getTime() > Date.now(),
    createdBy,
    createdAt: createdAt.toISOString(),
  };
}
