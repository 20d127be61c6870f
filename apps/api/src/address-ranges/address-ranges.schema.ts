import { z } from 'zod';
import { addressRulesSchema, type AddressRules } from '#access';
import type { Tenant } from '#store';
import { asShown, stamps } from '../fields.js';

const ranges = z.array(z.string());

const given = addressRulesSchema.extend({
  allow: addressRulesSchema.shape.allow
    .nullable()
    .describe('From where clients may connect; null, or absent: from anywhere'),
  deny: addressRulesSchema.shape.deny.describe('From where they may not; it wins'),
});
const asRules = ({ allow, deny }: z.output<typeof given>): AddressRules => ({
  allow: allow ?? undefined,
  deny,
});

/** In the form in which they are shown, too. */
export const givenRules = given.transform(asRules);

/** As a whole: what is left out is not there any more. */
export const newAddressRanges = given
  .extend({ version: asShown(stamps.version) })
  .transform(asRules)
  .meta({ id: 'NewAddressRanges' });

export const addressRangesView = z
  .object({
    allow: ranges.nullable().describe('From where clients may connect; null: from anywhere'),
    deny: ranges.describe('From where they may not; it wins'),
    version: stamps.version, // the tenant's own
  })
  .meta({ id: 'AddressRanges' });

export function presentAddressRanges(tenant: Tenant): z.input<typeof addressRangesView> {
  return { ...presentRules(tenant.addresses), version: tenant.version };
}

/** What was stored had been checked. */
export function presentRules(stored: unknown): { allow: string[] | null; deny: string[] } {
  const { allow, deny } = stored as AddressRules;
  return { allow: allow === undefined ? null : [...allow], deny: [...(deny ?? [])] };
}
