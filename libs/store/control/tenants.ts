import type { PlatformTx, TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Prisma, Tenant } from '../generated/client.js';

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
  readonly addresses?: Prisma.InputJsonObject | undefined;
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

/**
 * One bounded bite of what a tenant's devices sent, for a deletion that must not hold one transaction for minutes.
 * True: there may be more.
 */
export async function deleteSomeTelemetry(tx: TenantTx, rows: number): Promise<boolean> {
  const deleted = await tx.db.$executeRaw`
    DELETE FROM telemetry WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM telemetry WHERE tenant_id = ${tx.tenantId}::uuid LIMIT ${rows}))`;
  return deleted === rows;
}

/** Everything that hangs on a tenant but its own row, its audit and the change that tells the brokers of its end. */
export async function emptyTenant(tx: TenantTx): Promise<void> {
  const { db, tenantId } = tx;
  const where = { tenantId };
  await deleteBrokerRows(tx);
  await db.changeReceipt.deleteMany({ where });
  await db.change.deleteMany({ where });
  await db.idempotencyKey.deleteMany({ where });
  // Before the tenant's row: a profile that devices have is not removed, not even in a cascade.
  await db.device.deleteMany({ where });
}

/** What no foreign key leads to, because the broker writes it at its own pace: also a moment after the tenant is gone. */
export async function deleteBrokerRows({ db, tenantId }: TenantTx): Promise<void> {
  const where = { tenantId };
  await db.telemetry.deleteMany({ where });
  await db.presence.deleteMany({ where });
  await db.presenceEvent.deleteMany({ where });
  await db.devicePresence.deleteMany({ where });
  await db.denial.deleteMany({ where });
  await db.ruleUse.deleteMany({ where });
  await db.observedTopic.deleteMany({ where });
  await db.queueEntry.deleteMany({ where });
  await db.queuedMessage.deleteMany({ where });
  await db.subscription.deleteMany({ where });
  await db.inboundPacket.deleteMany({ where });
  await db.session.deleteMany({ where });
  await db.retainedMessage.deleteMany({ where });
  await db.will.deleteMany({ where });
}

/** Its keys, profiles, groups and policies go with the row. */
export async function deleteTenant(tx: PlatformTx, id: string): Promise<void> {
  await tx.db.tenant.deleteMany({ where: { id } });
}
