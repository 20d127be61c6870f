/** Policies: named, versioned rules, and what they are bound to. Versions are never changed, only added. */
import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Prisma } from '../generated/client.js';
import type { Policy, PolicyBinding, PolicyVersion } from '../generated/client.js';

export type { Policy, PolicyBinding, PolicyVersion };

export type BindingTargetKind = 'tenant' | 'group' | 'profile' | 'device';

export interface NewPolicy {
  readonly name: string;
  readonly description: string;
  readonly rules: Prisma.InputJsonValue;
  readonly createdBy: string;
}

/** The policy with version 1 of its rules in force. A taken name breaks the unique key of (tenant, name). */
export async function createPolicy(tx: TenantTx, policy: NewPolicy): Promise<Policy> {
  const created = await tx.db.policy.create({
    data: { tenantId: tx.tenantId, name: policy.name, description: policy.description, activeVersion: 1 },
  });
  await tx.db.policyVersion.create({
    data: {
      tenantId: tx.tenantId,
      policyId: created.id,
      number: 1,
      rules: policy.rules,
      createdBy: policy.createdBy,
    },
  });
  return created;
}

/** Oldest first, by id. */
export function listPolicies(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<Policy[]> {
  return tx.db.policy.findMany({
    where: {
      tenantId: tx.tenantId,
      ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }),
    },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

export function findPolicy(tx: TenantTx, id: string): Promise<Policy | null> {
  return tx.db.policy.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

/**
 * Holds the policy's row until the transaction ends, so that what is decided about its versions and bindings stays true.
 */
export async function lockPolicy(tx: TenantTx, id: string): Promise<Policy | null> {
  await tx.db
    .$queryRaw`SELECT 1 FROM policies WHERE tenant_id = ${tx.tenantId}::uuid AND id = ${id}::uuid FOR UPDATE`;
  return findPolicy(tx, id);
}

export interface PolicyPatch {
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly activeVersion?: number | undefined;
}

/** Writes what the patch names and counts the row's version up. */
export function updatePolicy(tx: TenantTx, id: string, patch: PolicyPatch): Promise<Policy> {
  return tx.db.policy.update({
    where: { tenantId_id: { tenantId: tx.tenantId, id } },
    data: {
      ...defined(patch),
      version: { increment: 1 },
      updatedAt: new Date(),
    },
  });
}

export async function deletePolicy(tx: TenantTx, id: string): Promise<void> {
  await tx.db.policy.delete({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

/** The caller holds the policy's lock: numbers grow by one. */
export async function addPolicyVersion(
  tx: TenantTx,
  policyId: string,
  rules: Prisma.InputJsonValue,
  createdBy: string,
): Promise<PolicyVersion> {
  const newest = await tx.db.policyVersion.aggregate({
    where: { tenantId: tx.tenantId, policyId },
    _max: { number: true },
  });
  return tx.db.policyVersion.create({
    data: { tenantId: tx.tenantId, policyId, number: (newest._max.number ?? 0) + 1, rules, createdBy },
  });
}

/** Newest first. */
export function listPolicyVersions(
  tx: TenantTx,
  policyId: string,
  page: { readonly beforeNumber: number | undefined; readonly limit: number },
): Promise<PolicyVersion[]> {
  return tx.db.policyVersion.findMany({
    where: {
      tenantId: tx.tenantId,
      policyId,
      ...(page.beforeNumber === undefined ? {} : { number: { lt: page.beforeNumber } }),
    },
    orderBy: { number: 'desc' },
    take: page.limit,
  });
}

export function findPolicyVersion(
  tx: TenantTx,
  policyId: string,
  number: number,
): Promise<PolicyVersion | null> {
  return tx.db.policyVersion.findUnique({
    where: { tenantId_policyId_number: { tenantId: tx.tenantId, policyId, number } },
  });
}

/** The rules in force of each of the policies; for a request's DataLoader. */
export function findActiveVersions(
  tx: TenantTx,
  policies: readonly Pick<Policy, 'id' | 'activeVersion'>[],
): Promise<PolicyVersion[]> {
  return tx.db.policyVersion.findMany({
    where: {
      tenantId: tx.tenantId,
      OR: policies.map((policy) => ({ policyId: policy.id, number: policy.activeVersion })),
    },
  });
}

// --------------------------------------------------------------------------------------------------------- bindings

/** Row security and the tenant in the query: a target in another tenant is no target. */
export async function bindingTargetExists(
  tx: TenantTx,
  kind: BindingTargetKind,
  targetId: string,
): Promise<boolean> {
  const key = { tenantId_id: { tenantId: tx.tenantId, id: targetId } };
  switch (kind) {
    case 'tenant':
      return targetId === tx.tenantId;
    case 'group':
      return (await tx.db.group.findUnique({ where: key, select: { id: true } })) !== null;
    case 'profile':
      return (await tx.db.profile.findUnique({ where: key, select: { id: true } })) !== null;
    case 'device':
      return (await tx.db.device.findUnique({ where: key, select: { id: true } })) !== null;
  }
}

export interface BindingTarget {
  readonly policyId: string;
  readonly targetKind: BindingTargetKind;
  readonly targetId: string;
}

export function createBinding(tx: TenantTx, binding: BindingTarget): Promise<PolicyBinding> {
  return tx.db.policyBinding.create({ data: { tenantId: tx.tenantId, ...binding } });
}

export interface BindingFilter {
  readonly policyId?: string | undefined;
  readonly targetKind?: BindingTargetKind | undefined;
  readonly targetId?: string | undefined;
  readonly afterId: string | undefined;
  readonly limit: number;
}

/** Oldest first, by id. */
export function listBindings(tx: TenantTx, filter: BindingFilter): Promise<PolicyBinding[]> {
  return tx.db.policyBinding.findMany({
    where: {
      tenantId: tx.tenantId,
      ...defined({ policyId: filter.policyId, targetKind: filter.targetKind, targetId: filter.targetId }),
      ...(filter.afterId === undefined ? {} : { id: { gt: filter.afterId } }),
    },
    orderBy: { id: 'asc' },
    take: filter.limit,
  });
}

export function findBinding(tx: TenantTx, id: string): Promise<PolicyBinding | null> {
  return tx.db.policyBinding.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

/** False: somebody else was first. */
export async function deleteBinding(tx: TenantTx, id: string): Promise<boolean> {
  const deleted = await tx.db.policyBinding.deleteMany({ where: { tenantId: tx.tenantId, id } });
  return deleted.count === 1;
}

export function bindingsOfPolicy(tx: TenantTx, policyId: string): Promise<PolicyBinding[]> {
  return tx.db.policyBinding.findMany({ where: { tenantId: tx.tenantId, policyId }, orderBy: { id: 'asc' } });
}

/** The rules in force for one device: by itself, its groups, its profile and the tenant; each policy once, by name. */
export function rulesInForce(
  tx: TenantTx,
  deviceId: string,
): Promise<{ id: string; name: string; version: number; rules: Prisma.JsonValue }[]> {
  return tx.db.$queryRaw`
    SELECT p.id, p.name, v.number AS version, v.rules
    FROM policies p
    JOIN policy_versions v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.number = p.active_version
    WHERE p.tenant_id = ${tx.tenantId}::uuid AND EXISTS (
      SELECT 1 FROM policy_bindings b
      WHERE b.tenant_id = p.tenant_id AND b.policy_id = p.id AND (
        (b.target_kind = 'tenant' AND b.target_id = b.tenant_id)
        OR (b.target_kind = 'device' AND b.target_id = ${deviceId}::uuid)
        OR (b.target_kind = 'profile' AND b.target_id = (
          SELECT d.profile_id FROM devices d WHERE d.tenant_id = b.tenant_id AND d.id = ${deviceId}::uuid))
        OR (b.target_kind = 'group' AND b.target_id IN (
          SELECT m.group_id FROM group_members m WHERE m.tenant_id = b.tenant_id AND m.device_id = ${deviceId}::uuid))))
    ORDER BY p.name`;
}
