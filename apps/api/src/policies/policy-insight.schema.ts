import { z } from 'zod';
import { ruleLimits, ruleSchema } from '#access';
import { versionNumber } from './policy.schema.js';

const days = z.coerce.number().int().min(1).max(90).default(30).describe('How far to look back, at most 90');
export const insightQuery = z.strictObject({ days });

export const diffInput = z
  .strictObject({
    version: versionNumber.optional().describe('One that there is'),
    rules: z.array(ruleSchema).max(ruleLimits.maxRules).optional().describe('Or a draft'),
    after: z.string().max(2_000).optional().describe('`next` of the answer before: the devices after those'),
  })
  .refine((input) => (input.version === undefined) !== (input.rules === undefined), {
    path: ['version'],
    message: 'Either a version or rules.',
  })
  .meta({ id: 'PolicyDiffRequest' });
export type DiffInput = z.output<typeof diffInput>;

export const unusedRulesView = z
  .object({
    version: z.int().describe('The one in force'),
    since: z.iso.datetime(),
    rules: z.array(
      z.object({
        index: z.int().describe('Place in the list of rules, from 0'),
        rule: ruleSchema,
        lastUsedAt: z.iso
          .datetime()
          .nullable()
          .describe('Under this or an earlier version; null: not that anybody knows'),
      }),
    ),
  })
  .meta({ id: 'UnusedRules' });

export const suggestionView = z
  .object({
    since: z.iso.datetime(),
    topics: z.int().describe('How many observed topics it comes from'),
    devices: z.int().describe('Whose they are'),
    isComplete: z.boolean().describe('False: there are more than were looked at, of the last devices by id'),
    rules: z.array(ruleSchema),
  })
  .meta({ id: 'PolicySuggestion' });

const outcome = z.enum(['allow', 'narrow', 'deny']);

export const diffView = z
  .object({
    against: z.int().describe('The version in force'),
    rules: z
      .object({
        added: z.array(ruleSchema),
        removed: z.array(ruleSchema),
        kept: z.int().describe('Rules of the draft that say nothing new, however they are written'),
      })
      .describe('What the one says and the other does not, by what it covers'),
    devices: z.int().describe('That it was tried on, of all that the policy is bound to, by id'),
    devicesLeft: z.int().describe('After those; `next` goes on with them'),
    next: z.string().nullable().describe('For `after`'),
    isComplete: z
      .boolean()
      .describe(
        'False: there are more devices, or of these devices more topics or changes than are said here',
      ),
    isLiveComplete: z
      .boolean()
      .describe(
        'False: a broker process did not say in time who is connected, or had more to say than an answer holds',
      ),
    changesLeft: z.int().describe('That are counted in lost and gained, and not listed'),
    lost: z.int(),
    gained: z.int(),
    changes: z.array(
      z.object({
        deviceId: z.uuid(),
        device: z.string(),
        clientId: z.string(),
        action: z.enum(['connect', 'publish', 'subscribe']),
        topic: z.string().describe('Of a subscription, its filter; of connect, empty'),
        source: z
          .enum(['observed', 'session', 'denied'])
          .describe('It was done; a session is subscribed to it; it was refused'),
        isLive: z.boolean().describe('Of a session that is connected now'),
        before: outcome,
        after: outcome.describe('narrow: less of it than the other side, or than was asked for'),
        reason: z.string().describe('Of the decision after'),
      }),
    ),
  })
  .meta({ id: 'PolicyDiff' });
