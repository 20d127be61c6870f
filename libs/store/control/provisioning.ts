/** How devices that nobody knows become devices of a tenant: by a claim token, or by a rule under a trust anchor. */
import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { ClaimToken as ClaimTokenRow, ProvisioningRule as RuleRow } from '../generated/client.js';

/** Without what proves it. */
export type ClaimToken = Omit<ClaimTokenRow, 'tokenHash'>;
/** Without its count of the minute. */
export type ProvisioningRule = Omit<RuleRow, 'windowStart' | 'windowCount'>;

export interface NewClaimToken {
  readonly id: string;
  readonly name: string;
  readonly tokenHash: Uint8Array<ArrayBuffer>;
  readonly profileId: string;
  readonly nameTemplate: string;
  readonly namePattern: string;
  readonly maxUses: number;
  readonly expiresAt: Date;
}

const omit = { tokenHash: true } as const;

/** For what must hold its own id, before it is there. */
export async function newId({ db }: TenantTx): Promise<string> {
  const [row] = await db.$queryRaw<{ id: string }[]>`SELECT uuidv7()::text AS id`;
  if (row === undefined) throw new Error('SELECT returned no row');
  return row.id;
}

/** A taken name breaks `claim_tokens_tenant_id_name_key`. */
export function createClaimToken(tx: TenantTx, token: NewClaimToken): Promise<ClaimToken> {
  return tx.db.claimToken.create({ data: { tenantId: tx.tenantId, ...token }, omit });
}

export function findClaimToken(tx: TenantTx, id: string): Promise<ClaimToken | null> {
  return tx.db.claimToken.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } }, omit });
}

export async function claimTokenHash(tx: TenantTx, id: string): Promise<Uint8Array | undefined> {
  const where = { tenantId_id: { tenantId: tx.tenantId, id } };
  return (await tx.db.claimToken.findUnique({ where, select: { tokenHash: true } }))?.tokenHash;
}

/** Oldest first. */
export function listClaimTokens(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<ClaimToken[]> {
  return tx.db.claimToken.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    omit,
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

export async function deleteClaimToken(tx: TenantTx, id: string): Promise<boolean> {
  return (await tx.db.claimToken.deleteMany({ where: { tenantId: tx.tenantId, id } })).count > 0;
}

/** Until the transaction ends nobody else uses it: what it counts is exact. */
export async function lockClaimToken(tx: TenantTx, id: string): Promise<ClaimToken | null> {
  await tx.db.$queryRaw`
    SELECT FROM claim_tokens WHERE tenant_id = ${tx.tenantId}::uuid AND id = ${id}::uuid FOR UPDATE`;
  return findClaimToken(tx, id);
}

export async function countClaim(tx: TenantTx, id: string): Promise<void> {
  await tx.db.claimToken.updateMany({
    where: { tenantId: tx.tenantId, id },
    data: { uses: { increment: 1 } },
  });
}

// -------------------------------------------------------------------------------------------------------------- rules

export interface NewProvisioningRule {
  readonly enabled: boolean;
  readonly profileId: string;
  readonly nameTemplate: string;
  readonly namePattern: string;
  readonly maxDevices: number;
  readonly perMinute: number;
}

const withoutWindow = { windowStart: true, windowCount: true } as const;

export function findProvisioningRule(tx: TenantTx, anchorId: string): Promise<ProvisioningRule | null> {
  return tx.db.provisioningRule.findUnique({
    where: { tenantId_anchorId: { tenantId: tx.tenantId, anchorId } },
    omit: withoutWindow,
  });
}

export function countRegistrations(tx: TenantTx, anchorId: string): Promise<number> {
  return tx.db.registration.count({ where: { tenantId: tx.tenantId, anchorId } });
}

/** `version` undefined: there is none yet. Undefined is returned where that is not so any more. */
export async function putProvisioningRule(
  tx: TenantTx,
  anchorId: string,
  version: number | undefined,
  rule: NewProvisioningRule,
): Promise<ProvisioningRule | undefined> {
  const { tenantId } = tx;
  if (version === undefined) {
    const [created] = await tx.db.provisioningRule.createManyAndReturn({
      data: [{ tenantId, anchorId, ...rule }],
      skipDuplicates: true,
      omit: withoutWindow,
    });
    return created;
  }
  const [updated] = await tx.db.provisioningRule.updateManyAndReturn({
    where: { tenantId, anchorId, version },
    data: { ...defined(rule), version: { increment: 1 }, updatedAt: new Date() },
    omit: withoutWindow,
  });
  return updated;
}

/** What it has registered is forgotten with it; the devices stay. */
export async function deleteProvisioningRule(
  tx: TenantTx,
  anchorId: string,
  version: number,
): Promise<boolean> {
  const { count } = await tx.db.provisioningRule.deleteMany({
    where: { tenantId: tx.tenantId, anchorId, version },
  });
  return count > 0;
}

/** Until the transaction ends nobody else registers by it: its counts are exact. */
export async function lockProvisioningRule(tx: TenantTx, anchorId: string): Promise<RuleRow | null> {
  const where = { tenantId_anchorId: { tenantId: tx.tenantId, anchorId } };
  await tx.db.$queryRaw`
    SELECT FROM provisioning_rules
     WHERE tenant_id = ${tx.tenantId}::uuid AND anchor_id = ${anchorId}::uuid FOR UPDATE`;
  return tx.db.provisioningRule.findUnique({ where });
}

/** Of a name that has registered before: its device, which may be gone by now. */
export async function findRegistration(
  tx: TenantTx,
  anchorId: string,
  name: string,
): Promise<{ readonly deviceId: string } | null> {
  const { tenantId } = tx;
  return tx.db.registration.findUnique({
    where: { tenantId_anchorId_name: { tenantId, anchorId, name } },
    select: { deviceId: true },
  });
}

export async function recordRegistration(
  tx: TenantTx,
  rule: RuleRow,
  registration: { readonly name: string; readonly deviceId: string },
  window: { readonly start: Date; readonly count: number },
): Promise<void> {
  const { tenantId } = tx;
  const { anchorId } = rule;
  await tx.db.registration.create({ data: { tenantId, anchorId, ...registration } });
  await tx.db.provisioningRule.updateMany({
    where: { tenantId, anchorId },
    data: { windowStart: window.start, windowCount: window.count },
  });
}
