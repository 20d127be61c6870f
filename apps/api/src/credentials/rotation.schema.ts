import { z } from 'zod';
import { rotationStates, type RotationRow } from '#store';
import { instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const days = z.coerce.number().int().min(1).max(3_650);
const since = instant
  .optional()
  .describe('Credentials made since then in the place of another count; absent: of the last year');

const window = {
  since,
  unseenDays: days.default(90).describe('Nothing of the device was used for so long: unseen'),
  expiringDays: days.default(30).describe('Nothing of the device is valid after so long: expiring'),
} as const;

export const rotationWindow = z.strictObject(window);
export type RotationWindowInput = z.output<typeof rotationWindow>;

export const rotationQuery = z.strictObject({
  state: z
    .enum(rotationStates)
    .describe(
      'bare: no credential · untouched: none that takes another’s place · pending: has one and has not used it · moved: has used it · unseen · expiring',
    ),
  ...window,
  ...pageQuery,
});
export type RotationQuery = z.output<typeof rotationQuery>;

const count = z.int().min(0);

export const rotationView = z
  .object({
    devices: count,
    bare: count.describe('Without any credential'),
    rotating: count.describe('With a credential that takes the place of another'),
    moved: count.describe('Of these, such as have used it'),
    pending: count.describe('Of these, such as have not'),
    unseen: count.describe('Of all devices'),
    expiring: count.describe('Of all devices: nothing will be valid'),
  })
  .meta({ id: 'CredentialRotationOverview' });

export const rotationRowView = z
  .object({
    deviceId: z.uuid(),
    name: z.string(),
    replacementId: z.uuid().nullable().describe('The latest credential that takes the place of another'),
    replacesId: z.uuid().nullable(),
    replacementUsedAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable().describe('Of any of its credentials'),
    endsAt: z.iso.datetime().nullable().describe('When its last one ends; null: never, or it has none'),
  })
  .meta({ id: 'CredentialRotationRow' });

export function presentRotationRow(row: RotationRow): z.input<typeof rotationRowView> {
  const { deviceId, name, replacementId, replacesId } = row;
  return {
    deviceId,
    name,
    replacementId,
    replacesId,
    replacementUsedAt: row.replacementUsedAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    endsAt: row.endsAt?.toISOString() ?? null,
  };
}
