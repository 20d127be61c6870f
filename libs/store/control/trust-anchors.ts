import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { CrlSource, Prisma, TrustAnchor as Row } from '../generated/client.js';

export type { CrlSource };

export interface TrustAnchor extends Row {
  /** Where its revocation list is fetched from, by address. */
  readonly crlSources: readonly CrlSource[];
}

const include = { crlSources: { orderBy: { url: 'asc' } } } satisfies Prisma.TrustAnchorInclude;

type Bytes = Uint8Array<ArrayBuffer>;

/** What is kept of the authority's certificate. */
export interface AnchorCertificate {
  readonly certificate: Bytes;
  readonly subject: string;
  readonly fingerprint: Bytes;
  readonly spkiHash: Bytes;
  readonly keyId: Bytes;
  readonly subjectHash: Bytes;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface NewTrustAnchor extends AnchorCertificate {
  readonly name: string;
  readonly identity: Prisma.InputJsonObject;
  readonly challenge: string;
  readonly crlWhenStale: string;
  readonly crlGraceS: number;
  readonly ocsp?: string;
  readonly ocspUrl?: string | null;
  readonly crlFromCertificates?: boolean;
  readonly crlRefreshS?: number;
  readonly crlExpectedAt?: Date | null;
}

export interface TrustAnchorChange extends Partial<AnchorCertificate> {
  readonly name?: string | undefined;
  readonly provenAt?: Date | undefined;
  readonly crlWhenStale?: string | undefined;
  readonly crlGraceS?: number | undefined;
  readonly ocsp?: string | undefined;
  readonly ocspUrl?: string | null | undefined;
  readonly crlFromCertificates?: boolean | undefined;
  readonly crlRefreshS?: number | undefined;
  readonly crlExpectedAt?: Date | null | undefined;
}

export interface NewRevocationList {
  /** Decimal. */
  readonly number: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Each once. */
  readonly serials: readonly string[];
}

/** A taken name breaks `trust_anchors_tenant_id_name_key`, a key that is an anchor already `trust_anchors_tenant_id_spki_hash_key`. */
export function createTrustAnchor(tx: TenantTx, anchor: NewTrustAnchor): Promise<TrustAnchor> {
  return tx.db.trustAnchor.create({ data: { tenantId: tx.tenantId, ...anchor }, include });
}

export function findTrustAnchor(tx: TenantTx, id: string): Promise<TrustAnchor | null> {
  return tx.db.trustAnchor.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } }, include });
}

/** Oldest first. */
export function listTrustAnchors(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<TrustAnchor[]> {
  return tx.db.trustAnchor.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
    include,
  });
}

/** Undefined: the row is not there in that version any more. */
export async function updateTrustAnchor(
  tx: TenantTx,
  id: string,
  version: number,
  change: TrustAnchorChange,
): Promise<TrustAnchor | undefined> {
  const [updated] = await tx.db.trustAnchor.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
  });
  return updated === undefined ? undefined : withSources(tx, updated);
}

async function withSources(tx: TenantTx, row: Row): Promise<TrustAnchor> {
  const crlSources = await tx.db.crlSource.findMany({
    where: { tenantId: tx.tenantId, anchorId: row.id },
    orderBy: { url: 'asc' },
  });
  return { ...row, crlSources };
}

/** In place of the one before. Undefined: the anchor is not there in that version any more. */
export async function replaceRevocationList(
  tx: TenantTx,
  id: string,
  version: number,
  list: NewRevocationList,
): Promise<TrustAnchor | undefined> {
  const [updated] = await tx.db.trustAnchor.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: {
      crlNumber: list.number,
      crlThisUpdate: list.thisUpdate,
      crlNextUpdate: list.nextUpdate,
      crlEntries: list.serials.length,
      version: { increment: 1 },
      updatedAt: new Date(),
    },
  });
  if (updated === undefined) return undefined;
  const { tenantId } = tx;
  // What has changed, and not all of it: a list of a large fleet has a hundred thousand entries, and is replaced every hour. An array of
  // its own for each statement would be sent twice.
  await tx.db.$executeRaw`
    WITH listed AS MATERIALIZED (SELECT serial FROM unnest(${[...list.serials]}::text[]) AS serial),
      gone AS (
        DELETE FROM revoked_certificates r WHERE tenant_id = ${tenantId}::uuid AND anchor_id = ${id}::uuid
           AND NOT EXISTS (SELECT FROM listed l WHERE l.serial = r.serial))
    INSERT INTO revoked_certificates (tenant_id, anchor_id, serial)
    SELECT ${tenantId}::uuid, ${id}::uuid, l.serial FROM listed l
     WHERE NOT EXISTS (SELECT FROM revoked_certificates r
                        WHERE r.tenant_id = ${tenantId}::uuid AND r.anchor_id = ${id}::uuid AND r.serial = l.serial)`;
  return withSources(tx, updated);
}

/** Credentials that demand it go with it. False: not there in that version any more. */
export async function deleteTrustAnchor(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const deleted = await tx.db.trustAnchor.deleteMany({ where: { tenantId: tx.tenantId, id, version } });
  return deleted.count > 0;
}
