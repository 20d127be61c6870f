/** Host names by which devices reach one tenant and no other. */
import type { TenantTx } from './control-store.js';
import type { TenantHost } from '../generated/client.js';

export type { TenantHost };

/** In the order they were given. */
export function listTenantHosts(tx: TenantTx): Promise<TenantHost[]> {
  return tx.db.tenantHost.findMany({
    where: { tenantId: tx.tenantId },
    orderBy: [{ createdAt: 'asc' }, { host: 'asc' }],
  });
}

/** One that a tenant has, this one or another, breaks a unique key. */
export async function addTenantHost({ db, tenantId }: TenantTx, host: string): Promise<void> {
  await db.tenantHost.create({ data: { tenantId, host } });
}

export async function removeTenantHost(tx: TenantTx, host: string): Promise<boolean> {
  return (await tx.db.tenantHost.deleteMany({ where: { tenantId: tx.tenantId, host } })).count > 0;
}
