import { countHeld, type QuotaKind, type TenantTx } from '#store';
import { Failure } from './failure.js';

/** How many there may be: of a tenant, of a policy (versions), of a device (credentials). Documented in docs/api/rest.md. */
export const quotas: Readonly<Record<QuotaKind, number>> = {
  policies: 1_000,
  'policy-versions': 1_000,
  profiles: 200,
  groups: 1_000,
  // Old and new of several factories. A sign-in that names its tenant is held against all of them.
  'trust-anchors': 20,
  // One as a rule; a second while the tenant moves to another.
  'token-issuers': 10,
  'claim-tokens': 1_000,
  credentials: 20,
};

const words: Readonly<Record<QuotaKind, string>> = {
  policies: 'A tenant has at most # policies',
  'policy-versions': 'A policy has at most # versions',
  profiles: 'A tenant has at most # profiles',
  groups: 'A tenant has at most # groups',
  'trust-anchors': 'A tenant has at most # trust anchors, issuing authorities among them',
  'token-issuers': 'A tenant has at most # token issuers',
  'claim-tokens': 'A tenant has at most # claim tokens',
  credentials: 'A device has at most # credentials',
};

/** Refuses one more than there may be. `ownerId`: of the policy or device whose they are. */
export async function requireRoom(tx: TenantTx, kind: QuotaKind, ownerId?: string): Promise<void> {
  const most = quotas[kind];
  if ((await countHeld(tx, kind, most, ownerId)) < most) return;
  const advice = kind === 'policy-versions' ? 'make a new policy.' : 'delete one first.';
  throw new Failure('limit-reached', `${words[kind].replace('#', String(most))}: ${advice}`);
}
