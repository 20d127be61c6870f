import { z } from 'zod';
import type { ApiKey } from '#store';
import { displayName, instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';
import { tenantRoles } from '../permissions.js';

const expiresAt = instant
  .refine((at) => at.getTime() > Date.now(), { message: 'In the future.', params: { code: 'past' } })
  .nullable()
  .default(null)
  .describe('null: until it is revoked');

export const newTenantKey = z
  .strictObject({
    name: displayName,
    role: z
      .enum(tenantRoles)
      .describe('viewer reads; operator also provisions devices; admin does everything'),
    expiresAt,
  })
  .meta({ id: 'NewTenantApiKey' });
export type NewTenantKeyInput = z.output<typeof newTenantKey>;

export const newPlatformKey = z
  .strictObject({ name: displayName, role: z.literal('admin').default('admin'), expiresAt })
  .meta({ id: 'NewPlatformApiKey' });

export const apiKeyQuery = z.strictObject(pageQuery);
export const apiKeyPath = z.uuid();

export const apiKeyView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    role: z.enum(tenantRoles),
    prefix: z.string().describe('The part of the key that may be shown; audit rows name it'),
    expiresAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable().describe('To the minute'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'ApiKey' });

export const issuedApiKeyView = apiKeyView
  .extend({ key: z.string().describe('Shown this once') })
  .meta({ id: 'IssuedApiKey' });

export function presentApiKey(row: ApiKey): z.input<typeof apiKeyView> {
  return {
    id: row.id,
    name: row.name,
    role: tenantRoles.find((role) => role === row.role) ?? 'viewer',
    prefix: row.prefix,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}
