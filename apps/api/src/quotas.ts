import {
  countHeld,
  countPlatformKeys,
  findTenant,
  type PlatformTx,
  type QuotaKind,
  type TenantTx,
} from '#store';
import { Failure } from './failure.js';
import { maxDevicesOf } from './tenants/tenant.schema.js';

/** Of what every tenant may have so many of. How many devices it may have is said for each. */
type FixedKind = Exclude<QuotaKind, 'devices' | 'host-names'>;

/** How many there may be: of a tenant, of a policy (versions), of a device (credentials) … Documented in docs/api/rest.md. */
export const quotas: Readonly<Record<FixedKind, number>> = {
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
  // One for each device of a large fleet; variables make that unnecessary.
  bindings: 100_000,
  // Each is rules that a broker compiles for whoever the target is, or stands in it.
  'bindings-of-target': 100,
  'group-members': 100_000,
  'api-keys': 1_000,
};

const words: Readonly<Record<FixedKind, string>> = {
  policies: 'A tenant has at most # policies',
  'policy-versions': 'A policy has at most # versions',
  profiles: 'A tenant has at most # profiles',
  groups: 'A tenant has at most # groups',
  'trust-anchors': 'A tenant has at most # trust anchors, issuing authorities among them',
  'token-issuers': 'A tenant has at most # token issuers',
  'claim-tokens': 'A tenant has at most # claim tokens',
  credentials: 'A device has at most # credentials',
  bindings: 'A tenant has at most # bindings of policies',
  'bindings-of-target': 'A tenant, group, profile or device has at most # policies bound to it',
  'group-members': 'A group has at most # members',
  'api-keys': 'A tenant has at most # API keys that are not revoked',
};

const advice: Partial<Record<FixedKind, string>> = {
  'policy-versions': 'make a new policy.',
  bindings: 'bind to groups or profiles instead of devices.',
  'bindings-of-target': 'join some of them in one policy.',
  'group-members': 'make another group.',
  'api-keys': 'revoke one first.',
};

/** Refuses what is more than there may be. `ownerId`: of the policy, device, group … whose they are. */
export async function requireRoom(
  tx: TenantTx,
  kind: FixedKind,
  ownerId?: string,
  adding = 1,
): Promise<void> {
  const most = quotas[kind];
  if ((await countHeld(tx, kind, most, ownerId)) + adding <= most) return;
  const instead = advice[kind] ?? 'delete one first.';
  throw new Failure('limit-reached', `${words[kind].replace('#', String(most))}: ${instead}`);
}

/** Of devices that join groups: how many each of these groups gets. In one order, so that nobody waits for somebody who waits for them. */
export async function requireRoomInGroups(tx: TenantTx, joined: readonly string[]): Promise<void> {
  const counts = new Map<string, number>();
  for (const id of joined) counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const id of [...counts.keys()].sort()) await requireRoom(tx, 'group-members', id, counts.get(id) ?? 0);
}

/** Refuses more devices than the operator lets the tenant have. `adding`: how many will come to those that are there. */
export async function requireRoomForDevices(tx: TenantTx, adding = 1): Promise<void> {
  const most = await exceededDevices(tx, adding);
  if (most === undefined) return;
  throw new Failure('limit-reached', `The tenant has at most ${most} devices: delete one first.`);
}

/** How many the operator lets the tenant have, where these would be more; undefined: there is room. */
export async function exceededDevices(tx: TenantTx, adding = 1): Promise<number | undefined> {
  const most = maxDevicesOf(await findTenant(tx, tx.tenantId));
  if (most === undefined || (await countHeld(tx, 'devices', most + 1)) + adding <= most) return undefined;
  return most;
}

/** As many as a tenant may have. */
export async function requireRoomForPlatformKeys(tx: PlatformTx): Promise<void> {
  const most = quotas['api-keys'];
  if ((await countPlatformKeys(tx)).held < most) return;
  const detail = `The platform has at most ${most} API keys that are not revoked: revoke one first.`;
  throw new Failure('limit-reached', detail);
}
