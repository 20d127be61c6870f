/** Authorities that issue for a tenant, and what they have issued. */
import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type {
  IssuedCertificate,
  IssuingAuthority as IssuingAuthorityRow,
  TrustAnchor,
} from '../generated/client.js';

export type { IssuedCertificate };

/** Without its key: that is read for signing alone. */
export type IssuingAuthority = Omit<IssuingAuthorityRow, 'sealedKey'> & { readonly anchor: TrustAnchor };

export type Bytes = Uint8Array<ArrayBuffer>;

export interface NewIssuingAuthority {
  /** Of the trust anchor that it is. */
  readonly id: string;
  readonly sealedKey: Bytes;
  readonly certificateDays: number;
  readonly maxCertificateDays: number;
}

export interface IssuingAuthorityChange {
  readonly status?: string | undefined;
  readonly certificateDays?: number | undefined;
  readonly maxCertificateDays?: number | undefined;
}

const withAnchor = { omit: { sealedKey: true }, include: { anchor: true } } as const;

export function createIssuingAuthority(
  tx: TenantTx,
  authority: NewIssuingAuthority,
): Promise<IssuingAuthority> {
  return tx.db.issuingAuthority.create({ data: { tenantId: tx.tenantId, ...authority }, ...withAnchor });
}

export function findIssuingAuthority(tx: TenantTx, id: string): Promise<IssuingAuthority | null> {
  return tx.db.issuingAuthority.findUnique({
    where: { tenantId_id: { tenantId: tx.tenantId, id } },
    ...withAnchor,
  });
}

/** Oldest first. */
export function listIssuingAuthorities(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<IssuingAuthority[]> {
  return tx.db.issuingAuthority.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
    ...withAnchor,
  });
}

/** The one that was made last of those that issue. */
export function currentIssuingAuthority(tx: TenantTx): Promise<IssuingAuthority | null> {
  return tx.db.issuingAuthority.findFirst({
    where: { tenantId: tx.tenantId, status: 'active' },
    orderBy: { id: 'desc' },
    ...withAnchor,
  });
}

/** Its private key, as it is sealed. */
export async function sealedKeyOf(tx: TenantTx, id: string): Promise<Uint8Array | undefined> {
  const row = await tx.db.issuingAuthority.findUnique({
    where: { tenantId_id: { tenantId: tx.tenantId, id } },
    select: { sealedKey: true },
  });
  return row?.sealedKey;
}

/** Undefined: the row is not there in that version any more. */
export async function updateIssuingAuthority(
  tx: TenantTx,
  id: string,
  version: number,
  change: IssuingAuthorityChange,
): Promise<IssuingAuthority | undefined> {
  const { count } = await tx.db.issuingAuthority.updateMany({
    where: { tenantId: tx.tenantId, id, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
  });
  return count === 0 ? undefined : ((await findIssuingAuthority(tx, id)) ?? undefined);
}

// ------------------------------------------------------------------------------------------------------- certificates

export interface NewIssuedCertificate {
  readonly authorityId: string;
  readonly deviceId: string;
  readonly credentialId: string;
  readonly serial: string;
  readonly fingerprint: Bytes;
  readonly spkiHash: Bytes;
  readonly certificate: Bytes;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly issuedBy: string;
  readonly claimTokenId: string | null;
}

export function recordIssuedCertificate(
  tx: TenantTx,
  certificate: NewIssuedCertificate,
): Promise<IssuedCertificate> {
  return tx.db.issuedCertificate.create({ data: { tenantId: tx.tenantId, ...certificate } });
}

export function findIssuedCertificate(tx: TenantTx, id: string): Promise<IssuedCertificate | null> {
  return tx.db.issuedCertificate.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

export function findIssuedByCredential(
  tx: TenantTx,
  credentialId: string,
): Promise<IssuedCertificate | null> {
  return tx.db.issuedCertificate.findFirst({ where: { tenantId: tx.tenantId, credentialId } });
}

/** What a claim token has been answered with for this key before. */
export function findClaimed(
  tx: TenantTx,
  claimTokenId: string,
  spkiHash: Bytes,
): Promise<IssuedCertificate | null> {
  return tx.db.issuedCertificate.findFirst({ where: { tenantId: tx.tenantId, claimTokenId, spkiHash } });
}

/** Oldest first. */
export function listIssuedCertificates(
  tx: TenantTx,
  query: { readonly deviceId: string; readonly afterId: string | undefined; readonly limit: number },
): Promise<IssuedCertificate[]> {
  const { deviceId, afterId, limit } = query;
  return tx.db.issuedCertificate.findMany({
    where: { tenantId: tx.tenantId, deviceId, ...(afterId === undefined ? {} : { id: { gt: afterId } }) },
    orderBy: { id: 'asc' },
    take: limit,
  });
}

/** Credentials of a device's certificates that are over or revoked: they let nobody in any more. */
export async function dropSpentCredentials(tx: TenantTx, deviceId: string, now: Date): Promise<void> {
  await tx.db.$executeRaw`
    DELETE FROM credentials c USING issued_certificates i
     WHERE c.tenant_id = ${tx.tenantId}::uuid AND c.device_id = ${deviceId}::uuid
       AND i.tenant_id = c.tenant_id AND i.credential_id = c.id
       AND (i.not_after <= ${now} OR i.revoked_at IS NOT NULL)`;
}

/** Undefined: it was revoked before. From the commit on it is among what its anchor has revoked, and in the next list. */
export async function revokeIssuedCertificate(
  tx: TenantTx,
  id: string,
  reason: string,
): Promise<IssuedCertificate | undefined> {
  const { tenantId } = tx;
  const [revoked] = await tx.db.issuedCertificate.updateManyAndReturn({
    where: { tenantId, id, revokedAt: null },
    data: { revokedAt: new Date(), revocationReason: reason },
  });
  if (revoked === undefined) return undefined;
  await noteRevocations(tx, [revoked]);
  return revoked;
}

/** For a device that goes: whoever holds one of its keys must not come back under it. */
export async function revokeCertificatesOf(tx: TenantTx, deviceId: string): Promise<void> {
  const revoked = await tx.db.issuedCertificate.updateManyAndReturn({
    where: { tenantId: tx.tenantId, deviceId, revokedAt: null, notAfter: { gt: new Date() } },
    data: { revokedAt: new Date(), revocationReason: 'cessationOfOperation' },
  });
  await noteRevocations(tx, revoked);
}

async function noteRevocations(
  { db, tenantId }: TenantTx,
  revoked: readonly Pick<IssuedCertificate, 'authorityId' | 'serial'>[],
): Promise<void> {
  if (revoked.length === 0) return;
  await db.revokedCertificate.createMany({
    data: revoked.map(({ authorityId, serial }) => ({ tenantId, anchorId: authorityId, serial })),
    skipDuplicates: true,
  });
  await db.issuingAuthority.updateMany({
    where: { tenantId, id: { in: revoked.map(({ authorityId }) => authorityId) } },
    data: { crlNumber: { increment: 1 } },
  });
}

/** What a revocation list has to name: what would still be valid. */
export function revokedByAuthority(
  tx: TenantTx,
  authorityId: string,
  now: Date,
): Promise<Pick<IssuedCertificate, 'serial' | 'revokedAt' | 'revocationReason'>[]> {
  return tx.db.issuedCertificate.findMany({
    where: { tenantId: tx.tenantId, authorityId, revokedAt: { not: null }, notAfter: { gt: now } },
    select: { serial: true, revokedAt: true, revocationReason: true },
    orderBy: { revokedAt: 'asc' },
  });
}
