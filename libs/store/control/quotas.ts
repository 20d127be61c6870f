/** How many of a kind a tenant has, for limits that hold also where two are made at the same moment. */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';

export type QuotaKind =
  | 'policies'
  | 'policy-versions'
  | 'profiles'
  | 'groups'
  | 'trust-anchors'
  | 'token-issuers'
  | 'claim-tokens'
  | 'credentials'
  | 'bindings'
  | 'bindings-of-target'
  | 'group-members'
  | 'api-keys'
  | 'host-names'
  | 'devices';

/** The table (of those in it that count), and the column of what they belong to where that is not the tenant as a whole. */
const tables: Readonly<Record<QuotaKind, readonly [table: string, owner?: string, counts?: string]>> = {
  policies: ['policies'],
  'policy-versions': ['policy_versions', 'policy_id'],
  profiles: ['profiles'],
  groups: ['groups'],
  'trust-anchors': ['trust_anchors'],
  'token-issuers': ['token_issuers'],
  'claim-tokens': ['claim_tokens'],
  credentials: ['credentials', 'device_id'],
  bindings: ['policy_bindings'],
  'bindings-of-target': ['policy_bindings', 'target_id'],
  'group-members': ['group_members', 'group_id'],
  'api-keys': ['api_keys', 'tenant_id', 'revoked_at IS NULL'],
  'host-names': ['tenant_hosts'],
  devices: ['devices'],
};

/**
 * Counts them, `most` at most. Whoever asks for the same owner's waits until this transaction ends, so that what it adds is counted by
 * the next one.
 */
export async function countHeld(
  { db, tenantId }: TenantTx,
  kind: QuotaKind,
  most: number,
  ownerId = tenantId,
): Promise<number> {
  const [table, column = 'tenant_id', counts = 'true'] = tables[kind];
  await db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`quota ${kind} ${tenantId} ${ownerId}`}, 0))`;
  const rows = await db.$queryRaw<{ held: number }[]>`
    SELECT count(*)::int AS held FROM (
      SELECT FROM ${Prisma.raw(table)} WHERE tenant_id = ${tenantId}::uuid AND ${Prisma.raw(column)} = ${ownerId}::uuid
         AND ${Prisma.raw(counts)} LIMIT ${most}) few`;
  return rows[0]?.held ?? 0;
}
