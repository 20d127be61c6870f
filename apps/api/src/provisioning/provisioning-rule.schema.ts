import { z } from 'zod';
import type { ProvisioningRule } from '#store';
import { asShown, presentStamps, stamps } from '../fields.js';
import { namePattern, nameTemplate } from './claim-token.schema.js';

const members = {
  enabled: z.boolean().describe('false: nobody registers by it'),
  nameTemplate,
  namePattern,
  maxDevices: z
    .int()
    .min(0)
    .max(1_000_000)
    .describe('How many may register in all, those that are deleted since included'),
  perMinute: z.int().min(0).max(100_000),
};

const shown = {
  anchorId: z.uuid(),
  registered: z.int().describe('How many have registered'),
  ...stamps,
};

const profileId = z.uuid().optional().describe('Of the devices; absent: the profile named default');

export const newProvisioningRule = z
  .strictObject({
    ...members,
    profileId,
    nameTemplate: nameTemplate.default('${name}'),
    namePattern: namePattern.default('*'),
    perMinute: members.perMinute.default(60),
    anchorId: asShown(shown.anchorId),
    registered: asShown(shown.registered),
    version: asShown(shown.version),
    createdAt: asShown(shown.createdAt),
    updatedAt: asShown(shown.updatedAt),
  })
  .pipe(z.object({ ...members, profileId }))
  .meta({ id: 'NewProvisioningRule' });
export type NewProvisioningRuleInput = z.output<typeof newProvisioningRule>;

export const provisioningRuleView = z
  .object({
    profileId: z.uuid(),
    ...members,
    ...shown,
  })
  .meta({ id: 'ProvisioningRule' });

export interface CountedRule {
  readonly rule: ProvisioningRule;
  readonly registered: number;
}

export function presentRule({ rule, registered }: CountedRule): z.input<typeof provisioningRuleView> {
  return {
    anchorId: rule.anchorId,
    profileId: rule.profileId,
    enabled: rule.enabled,
    nameTemplate: rule.nameTemplate,
    namePattern: rule.namePattern,
    maxDevices: rule.maxDevices,
    perMinute: rule.perMinute,
    registered,
    ...presentStamps(rule),
  };
}
