/** Host names by which devices reach one tenant and no other. */
import type { TenantTx } from './control-store.js';
import type { TenantHost } from './generated/client.js';

export type { TenantHost };

/** In the order they were given. */
export function listTenantHosts(tx: TenantTx): Promise<TenantHost[]> {
  return tx.db.tenantHost.findMany({
    where: { tenantId: tx.tenantId },
    orderBy: [{ createdAt: 'asc' }, { host: 'asc' }],
  });
}

/** One that another tenant has breaks `tenant_hosts_host_key`. False: it is the tenant's already. */
export async function addTenantHost(tx: TenantTx, host: string): Promise<boolean> {
  const { tenantId } = tx;
  const there = await tx.db.tenantHost.findUnique({ where: { tenantId_host: { tenantId, host } } });
  if (there !== null) return false;
  await tx.db.tenantHost.create({ data: { tenantId, host } });
  return true;
}

export async function removeTenantHost(tx: TenantTx, host: string): Promise<boolean> {
  return (await tx.db.tenantHost.deleteMany({ where: { tenantId: tx.tenantId, host } })).count > 0;
}
