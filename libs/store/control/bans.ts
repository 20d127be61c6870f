/** Bans: clients that may not connect, whatever they prove. A tenant's own, or the platform's, which hold for all tenants. */
import type { PlatformTx, TenantTx } from './control-store.js';
import type { Ban } from '../generated/client.js';

export type { Ban };

export type BanKind = 'client-id' | 'username' | 'address';

export interface NewBan {
  readonly kind: BanKind;
  readonly value: string;
  readonly reason: string;
  readonly expiresAt: Date | undefined;
  readonly createdBy: string;
}

export interface BanPage {
  readonly kind?: BanKind | undefined;
  readonly afterId: string | undefined;
  readonly limit: number;
}

/** Whose bans are meant: in a transaction of the platform, its own. */
type Tx = TenantTx | PlatformTx;

const ownerOf = (tx: Tx): string | null => (tx.scope === 'tenant' ? tx.tenantId : null);

/** A second ban of the same breaks the unique key of (tenant, kind, value). Of an address, `value` is what PostgreSQL reads as inet. */
export function createBan(tx: Tx, ban: NewBan): Promise<Ban> {
  const { kind, value, reason, expiresAt = null, createdBy } = ban;
  const range = kind === 'address' ? value : null;
  return tx.db.ban.create({
    data: { tenantId: ownerOf(tx), kind, value, range, reason, expiresAt, createdBy },
  });
}

/** Oldest first, those included that have expired and are not yet gone. */
export function listBans(tx: Tx, { kind, afterId, limit }: BanPage): Promise<Ban[]> {
  return tx.db.ban.findMany({
    where: {
      tenantId: ownerOf(tx),
      ...(kind === undefined ? {} : { kind }),
      ...(afterId === undefined ? {} : { id: { gt: afterId } }),
    },
    orderBy: { id: 'asc' },
    take: limit,
  });
}

export function findBan(tx: Tx, id: string): Promise<Ban | null> {
  return tx.db.ban.findFirst({ where: { id, tenantId: ownerOf(tx) } });
}

/** Whoever asks next waits until this transaction ends, so that what it adds is counted. */
export async function countBans(tx: Tx): Promise<number> {
  const lock = `bans of ${ownerOf(tx) ?? 'the platform'}`;
  await tx.db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${lock}, 0))`;
  return tx.db.ban.count({ where: { tenantId: ownerOf(tx) } });
}

/** False: somebody else was first. */
export async function deleteBan(tx: Tx, id: string): Promise<boolean> {
  return (await tx.db.ban.deleteMany({ where: { id, tenantId: ownerOf(tx) } })).count > 0;
}

/** One that has expired makes place for a new one of the same. */
export async function deleteExpiredBan(tx: Tx, kind: BanKind, value: string): Promise<void> {
  const where = { tenantId: ownerOf(tx), kind, value, expiresAt: { lte: new Date() } };
  await tx.db.ban.deleteMany({ where });
}

export interface BanQuestion {
  readonly clientId: string;
  /** Of a username the part before its `@`: what a tenant bans. */
  readonly authId: string;
  /** `authId@tenant-slug`: what the platform bans. */
  readonly username: string;
  /** Normalized, without a zone. */
  readonly address: string | undefined;
}

/** For explanations: the tenant's own ban that turns this client away. The broker's rule (directory/bans.ts): a username is banned by its authId. */
export async function findBanOn(
  tx: TenantTx,
  question: Omit<BanQuestion, 'username'>,
  at: Date,
): Promise<FoundBan | undefined> {
  const { clientId, authId, address = null } = question;
  const rows = await tx.db.$queryRaw<FoundBan[]>`
    SELECT kind, value, reason, expires_at AS "expiresAt" FROM bans
     WHERE tenant_id = ${tx.tenantId}::uuid AND (expires_at IS NULL OR expires_at > ${at})
       AND ((kind = 'client-id' AND value = ${clientId}) OR (kind = 'username' AND value = ${authId})
         OR range >>= ${address}::inet)
     LIMIT 1`;
  return rows[0];
}

/** The platform's, which holds for every tenant; by the whole username. */
export async function findPlatformBanOn(
  { db }: PlatformTx,
  question: Omit<BanQuestion, 'authId'>,
  at: Date,
): Promise<FoundBan | undefined> {
  const { clientId, username, address = null } = question;
  const rows = await db.$queryRaw<FoundBan[]>`
    SELECT kind, value, reason, expires_at AS "expiresAt" FROM bans
     WHERE tenant_id IS NULL AND (expires_at IS NULL OR expires_at > ${at})
       AND ((kind = 'client-id' AND value = ${clientId}) OR (kind = 'username' AND value = ${username})
         OR range >>= ${address}::inet)
     LIMIT 1`;
  return rows[0];
}

export type FoundBan = Pick<Ban, 'kind' | 'value' | 'reason' | 'expiresAt'>;

/** Housekeeping: bans that expired a while ago. */
export async function sweepBans({ db }: PlatformTx): Promise<void> {
  await db.ban.deleteMany({ where: { expiresAt: { lt: new Date(Date.now() - keptAfterMs) } } });
}

// Long enough that somebody who asks why a client could not connect yesterday finds the ban.
const keptAfterMs = 7 * 86_400_000;
