import { z } from 'zod';
import type { Group } from '#store';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

export const newGroup = z.strictObject({ name: displayName }).meta({ id: 'NewGroup' });
export type NewGroupInput = z.output<typeof newGroup>;

export const groupPatch = z.strictObject({ name: displayName.optional() }).meta({ id: 'GroupPatch' });
export type GroupPatchInput = z.output<typeof groupPatch>;

export const groupQuery = z.strictObject(pageQuery);
export const groupPath = z.uuid();

export const groupView = z.object({ id: z.uuid(), name: z.string(), ...stamps }).meta({ id: 'Group' });

export function presentGroup(row: Group): z.input<typeof groupView> {
  return { id: row.id, name: row.name, ...presentStamps(row) };
}
