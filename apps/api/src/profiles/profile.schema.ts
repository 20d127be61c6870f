import { z } from 'zod';
import { isOfServer, telemetryRulesSchema } from '#access';
import type { Profile } from '#store';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const described = 'Which messages of its devices are readings';

/** Of what is written. Brokers read what is stored, also from before this was refused. */
const telemetry = telemetryRulesSchema
  .superRefine((rules, context) => {
    for (const [index, { filter }] of rules.entries()) {
      if (!isOfServer(filter)) continue;
      const message = "Topics that begin with $ are the server's: no device publishes there.";
      const params = { code: 'topic-of-server' };
      context.addIssue({ code: 'custom', path: [index, 'filter'], message, params });
    }
  })
  .describe(described);

export const newProfile = z.strictObject({ name: displayName, telemetry: telemetry.default([]) }).meta({
  id: 'NewProfile',
  example: { name: 'pumps', telemetry: [{ filter: 'devices/${device}/telemetry' }] },
});
export type NewProfileInput = z.output<typeof newProfile>;

export const profilePatch = z
  .strictObject({ name: displayName.optional(), telemetry: telemetry.optional() })
  .meta({ id: 'ProfilePatch' });
export type ProfilePatchInput = z.output<typeof profilePatch>;

export const profileQuery = z.strictObject(pageQuery);
export const profilePath = z.uuid();

export const profileView = z
  .object({ id: z.uuid(), name: z.string(), telemetry: telemetryRulesSchema.describe(described), ...stamps })
  .meta({ id: 'Profile' });

export function presentProfile(row: Profile): z.input<typeof profileView> {
  return {
    id: row.id,
    name: row.name,
    telemetry: row.telemetry as z.input<typeof telemetry>,
    ...presentStamps(row),
  };
}
