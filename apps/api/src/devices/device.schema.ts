import { z } from 'zod';
import { addressRulesSchema, maxDeviceNameBytes } from '#access';
import type { Device } from '#store';
import { givenRules, presentRules } from '../address-ranges/address-ranges.schema.js';
import { issuedCredentialView, newCredential, presentIssued } from '../credentials/credential.schema.js';
import type { FieldError } from '../failure.js';
import { displayName, presentStamps, stamps, topicWord } from '../fields.js';
import { pageQuery } from '../http/paging.js';
import { quotas } from '../quotas.js';
import type { BulkResult } from './bulk.service.js';

const name = topicWord
  .refine((text) => Buffer.byteLength(text) <= maxDeviceNameBytes, {
    message: `At most ${maxDeviceNameBytes} bytes: it is a client identifier too.`,
    params: { code: 'too-big' },
  })
  .describe('Unique in the tenant; what ${device} stands for in topics');

const attributeName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, '1 to 64 letters, digits, _ and -');

/** A record passes over a member of this name, which would be lost without a word. */
const reservedName = '__proto__';

function recordOf<T extends z.ZodType>(value: T) {
  return z.preprocess(
    (given, context) => {
      if (typeof given === 'object' && given !== null && Object.hasOwn(given, reservedName)) {
        const message = 'This name is reserved.';
        context.addIssue({ code: 'custom', path: [reservedName], message, params: { code: 'reserved' } });
      }
      return given;
    },
    z.record(attributeName, value),
  );
}

const maxAttributes = 100;
const attributes = recordOf(topicWord)
  .refine((all) => Object.keys(all).length <= maxAttributes, {
    message: `At most ${maxAttributes}.`,
    params: { code: 'too-big' },
  })
  .describe('What ${attr.name} stands for in topics');

const status = z
  .enum(['active', 'disabled'])
  .describe('disabled: its credentials stop working and its connections are closed');
const groupIds = z.array(z.uuid()).max(100);

export const newDevice = z
  .strictObject({
    name,
    profileId: z.uuid().optional().describe("Default: the tenant's profile named default"),
    attributes: attributes.default({}),
    groupIds: groupIds.default([]),
    status: status.default('active'),
    addresses: givenRules
      .default({})
      .describe("From where it may connect, of those addresses that the tenant's ranges let in"),
  })
  .meta({ id: 'NewDevice', example: { name: 'pump-1', attributes: { ward: '3b' } } });
export type NewDeviceInput = z.output<typeof newDevice>;

/** JSON Merge Patch: an attribute of null is removed. */
export const devicePatch = z
  .strictObject({
    name,
    profileId: z.uuid(),
    attributes: recordOf(topicWord.nullable()),
    groupIds,
    status,
    addresses: addressRulesSchema.extend({
      allow: addressRulesSchema.shape.allow.nullable(),
      deny: addressRulesSchema.shape.deny.nullable(),
    }),
  })
  .partial()
  .meta({ id: 'DevicePatch' });
export type DevicePatchInput = z.output<typeof devicePatch>;

/** The resulting whole, after a merge. */
export const deviceAttributes = attributes;

export const deviceQuery = z.strictObject({
  ...pageQuery,
  name: z.string().min(1).max(200).optional().describe('The whole name: one device, or none'),
  namePrefix: z.string().min(1).max(200).optional(),
  profile: z.uuid().optional().describe('Id of a profile'),
  group: z.uuid().optional().describe('Id of a group'),
  status: status.optional(),
});
export type DeviceListing = z.output<typeof deviceQuery>;

export const devicePath = z.uuid();

export const deviceView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    profileId: z.uuid(),
    attributes: z.record(z.string(), z.string()),
    groupIds: z.array(z.uuid()),
    status,
    addresses: z.object({
      allow: z.array(z.string()).nullable().describe('null: from anywhere'),
      deny: z.array(z.string()),
    }),
    ...stamps,
  })
  .meta({ id: 'Device' });

export function presentDevice(row: Device): z.input<typeof deviceView> {
  return {
    id: row.id,
    name: row.name,
    profileId: row.profileId,
    attributes: attributesOf(row),
    groupIds: [...row.groupIds],
    status: row.status === 'active' ? 'active' : 'disabled',
    addresses: presentRules(row.addresses),
    ...presentStamps(row),
  };
}

export function attributesOf(row: Pick<Device, 'attributes'>): Record<string, string> {
  return row.attributes as Record<string, string>;
}

// ---------------------------------------------------------------------------------------------------------------- bulk

/** One line of an upload. It names its profile and groups as people do. */
export const bulkDevice = z.strictObject({
  name,
  profile: displayName.optional(),
  groups: z.array(displayName).max(100).default([]),
  attributes: attributes.default({}),
  status: status.default('active'),
  credentials: z.array(newCredential).max(quotas.credentials).default([]),
});
export type BulkDevice = z.output<typeof bulkDevice>;

export const bulkQuery = z.strictObject({
  dryRun: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .describe('true: say what would happen, and do nothing'),
});

export const bulkView = z
  .object({
    dryRun: z.boolean(),
    created: z.int(),
    refused: z.int(),
    rows: z.array(
      z.object({
        row: z.int().describe('From 1; a CSV file’s header does not count'),
        name: z.string().nullable(),
        outcome: z.enum(['created', 'refused']).describe('In a dry run: what it would be'),
        id: z.uuid().optional(),
        credentials: z
          .array(issuedCredentialView)
          .optional()
          .describe('Those that came with it, with passwords that were generated: shown this once'),
        errors: z.array(z.object({ pointer: z.string(), code: z.string(), message: z.string() })).optional(),
      }),
    ),
  })
  .meta({ id: 'BulkDevices' });

export function presentBulk(
  { dryRun, created, refused, rows }: BulkResult,
  tenantSlug: string,
): z.input<typeof bulkView> {
  return {
    dryRun,
    created,
    refused,
    rows: rows.map(({ credentials, errors, ...row }) => ({
      ...row,
      ...(credentials && { credentials: credentials.map((one) => presentIssued(one, tenantSlug)) }),
      ...(errors && { errors: errors.map(presentError) }),
    })),
  };
}

export function presentError({ pointer, code, message }: FieldError) {
  return { pointer, code, message };
}
