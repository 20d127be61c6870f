import type { TenantTx } from './control-store.js';
import type { Group } from '../generated/client.js';

export type { Group };

/** A taken name breaks `groups_tenant_id_name_key`. */
export function createGroup(tx: TenantTx, name: string): Promise<Group> {
  return tx.db.group.create({ data: { tenantId: tx.tenantId, name } });
}

export function findGroup(tx: TenantTx, id: string): Promise<Group | null> {
  return tx.db.group.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

export function findGroups(tx: TenantTx, ids: readonly string[]): Promise<Group[]> {
  return tx.db.group.findMany({ where: { tenantId: tx.tenantId, id: { in: [...ids] } } });
}

export function findGroupsByName(tx: TenantTx, names: readonly string[]): Promise<Group[]> {
  return tx.db.group.findMany({ where: { tenantId: tx.tenantId, name: { in: [...names] } } });
}

/** Oldest first. */
export function listGroups(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<Group[]> {
  return tx.db.group.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

/** Undefined: the row is not there in that version any more. */
export async function renameGroup(
  tx: TenantTx,
  id: string,
  version: number,
  name: string,
): Promise<Group | undefined> {
  const [updated] = await tx.db.group.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: { name, version: { increment: 1 }, updatedAt: new Date() },
  });
  return updated;
}

/** False: not there in that version any more. */
export async function deleteGroup(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const deleted = await tx.db.group.deleteMany({ where: { tenantId: tx.tenantId, id, version } });
  return deleted.count > 0;
}

/** True: it was not a member before. */
export async function addGroupMember(tx: TenantTx, groupId: string, deviceId: string): Promise<boolean> {
  const added = await tx.db.groupMember.createMany({
    data: [{ tenantId: tx.tenantId, groupId, deviceId }],
    skipDuplicates: true,
  });
  return added.count > 0;
}

/** True: it was a member. */
export async function removeGroupMember(tx: TenantTx, groupId: string, deviceId: string): Promise<boolean> {
  const removed = await tx.db.groupMember.deleteMany({ where: { tenantId: tx.tenantId, groupId, deviceId } });
  return removed.count > 0;
}
