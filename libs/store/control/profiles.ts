import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Prisma, Profile } from '../generated/client.js';

export type { Profile };

export interface NewProfile {
  readonly name: string;
  readonly telemetry: Prisma.InputJsonArray;
}

/** A taken name breaks `profiles_tenant_id_name_key`. */
export function createProfile(tx: TenantTx, profile: NewProfile): Promise<Profile> {
  return tx.db.profile.create({ data: { tenantId: tx.tenantId, ...profile } });
}

export function findProfile(tx: TenantTx, id: string): Promise<Profile | null> {
  return tx.db.profile.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

export function findProfiles(tx: TenantTx, ids: readonly string[]): Promise<Profile[]> {
  return tx.db.profile.findMany({ where: { tenantId: tx.tenantId, id: { in: [...ids] } } });
}

export function findProfilesByName(tx: TenantTx, names: readonly string[]): Promise<Profile[]> {
  return tx.db.profile.findMany({ where: { tenantId: tx.tenantId, name: { in: [...names] } } });
}

/** Oldest first. */
export function listProfiles(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<Profile[]> {
  return tx.db.profile.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

/** Undefined: the row is not there in that version any more. */
export async function updateProfile(
  tx: TenantTx,
  id: string,
  version: number,
  change: Partial<NewProfile>,
): Promise<Profile | undefined> {
  const [updated] = await tx.db.profile.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
  });
  return updated;
}

/** False: not there in that version any more. A profile that devices have breaks a foreign key. */
export async function deleteProfile(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const deleted = await tx.db.profile.deleteMany({ where: { tenantId: tx.tenantId, id, version } });
  return deleted.count > 0;
}
