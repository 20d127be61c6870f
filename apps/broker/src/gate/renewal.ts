import { checkRules, isConditional, type RuleSet, underOtherRules } from '#access';
import { Reasons, type Refusal, type Renewal, type TenantId } from '#mqtt';
import type { Directory } from '#store';

/**
 * A new version of a policy often concerns thousands of connections at once, and nothing about them has changed but that. So the new
 * rules are read once, compiled once for each set of policies they stand in, and swapped under the rights that the connections have.
 *
 * Not where the new rules ask how and from where a connection has come: then each connection has rules of its own, and is reviewed.
 */
export async function renewalOf(
  directory: Directory,
  tenantId: TenantId,
  policyId: string,
): Promise<Renewal | undefined> {
  const active = await directory.activeVersion(tenantId, policyId);
  const [stored] = (active && (await directory.documents([active]))) ?? [];
  const checked = stored && checkRules(stored.rules);
  if (stored === undefined || checked?.ok !== true) return undefined;
  const { name, version } = stored;
  const document = { policyId, name, version, rules: checked.rules };
  if (isConditional(document)) return undefined;

  const renewed = new Map<RuleSet, RuleSet>();
  const renew = (rules: RuleSet): RuleSet => {
    let next = renewed.get(rules);
    if (next === undefined) renewed.set(rules, (next = rules.with(document)));
    return next;
  };
  return (policy) => {
    const next = underOtherRules(policy, renew);
    return next === undefined || next.connectRight.allowed
      ? next
      : refusal(tenantId, next.connectRight.detail);
  };
}

/** Everybody of a tenant that is suspended, or gone, goes: there is nothing to ask about each of them. */
export async function suspensionOf(directory: Directory, tenantId: TenantId): Promise<Renewal | undefined> {
  if (await directory.isActive(tenantId)) return undefined;
  const refused = refusal(tenantId, 'the tenant is suspended');
  return () => refused;
}

function refusal(tenantId: TenantId, detail: string): Refusal {
  return { kind: 'refused', reason: Reasons.notAuthorized, detail, tenantId };
}
