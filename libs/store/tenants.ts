import type { PlatformTx, TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Prisma, Tenant } from './generated/client.js';

export type { Tenant };

export interface NewTenant {
  readonly slug: string;
  readonly name: string;
  readonly limits: Prisma.InputJsonObject;
  readonly settings: Prisma.InputJsonObject;
}

export interface TenantChange {
  readonly name?: string | undefined;
  readonly status?: string | undefined;
  readonly limits?: Prisma.InputJsonObject | undefined;
  readonly settings?: Prisma.InputJsonObject | undefined;
}

/** A taken slug breaks `tenants_slug_key`. */
export function createTenant(tx: PlatformTx, tenant: NewTenant): Promise<Tenant> {
  return tx.db.tenant.create({ data: tenant });
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** By id or slug. A slug may have the form of an id: the id goes first. */
export async function findTenant(tx: PlatformTx | TenantTx, ref: string): Promise<Tenant | null> {
  const byId = uuid.test(ref) ? await tx.db.tenant.findUnique({ where: { id: ref } }) : null;
  return byId ?? tx.db.tenant.findUnique({ where: { slug: ref } });
}

export function listTenants(
  tx: PlatformTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<Tenant[]> {
  return tx.db.tenant.findMany({
    where: page.afterId === undefined ? {} : { id: { gt: page.afterId } },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

/** Undefined: the row is not there in that version any more. */
export async function updateTenant(
  tx: PlatformTx,
  id: string,
  version: number,
  change: TenantChange,
): Promise<Tenant | undefined> {
  const [updated] = await tx.db.tenant.updateManyAndReturn({
    where: { id, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
  });
  return updated;
}
