/** Where revocation lists are fetched from: what tenants name and what certificates say, whose turn it is, and how it went. */
import type { PlatformTx, TenantTx } from './control-store.js';

/** The tenant's own choice, in place of what it named before; those that certificates named stay. */
export async function nameCrlSources(
  { db, tenantId }: TenantTx,
  anchorId: string,
  urls: readonly string[],
): Promise<void> {
  await db.crlSource.deleteMany({
    where: { tenantId, anchorId, origin: 'named', url: { notIn: [...urls] } },
  });
  await db.$executeRaw`
    INSERT INTO crl_sources (tenant_id, anchor_id, url, origin)
    SELECT ${tenantId}::uuid, ${anchorId}::uuid, url, 'named' FROM unnest(${[...urls]}::text[]) AS url
    ON CONFLICT (tenant_id, anchor_id, url) DO UPDATE SET origin = 'named'`;
}

/** They are not heeded any more. */
export async function forgetSeenCrlSources({ db, tenantId }: TenantTx, anchorId: string): Promise<void> {
  await db.crlSource.deleteMany({ where: { tenantId, anchorId, origin: 'certificate' } });
}

export interface DueCrlSource {
  readonly tenantId: string;
  readonly anchorId: string;
  readonly url: string;
}

/**
 * Takes the next ones for this process: to others they are due again after `holdS`, should it die over them. One tenant's many, or slow
 * ones, do not keep the others': each tenant's first comes before anybody's second, and of those the one whose turn was longest ago.
 */
export function takeDueCrlSources({ db }: PlatformTx, limit: number, holdS: number): Promise<DueCrlSource[]> {
  return db.$queryRaw`
    UPDATE crl_sources s SET due_at = now() + ${holdS} * interval '1 second', tried_at = now()
      FROM (SELECT tenant_id, anchor_id, url, due_at,
                   row_number() OVER (PARTITION BY tenant_id ORDER BY due_at) AS turn
              FROM (SELECT *, max(tried_at) OVER (PARTITION BY tenant_id) AS served_at FROM crl_sources) every
             WHERE due_at <= now() ORDER BY turn, served_at NULLS FIRST, due_at LIMIT ${limit}) next
     WHERE s.tenant_id = next.tenant_id AND s.anchor_id = next.anchor_id AND s.url = next.url AND s.due_at <= now()
    RETURNING s.tenant_id AS "tenantId", s.anchor_id AS "anchorId", s.url`;
}

/** What is there is in force. */
export async function crlFetched(
  { db, tenantId }: TenantTx,
  { anchorId, url }: DueCrlSource,
  dueAt: Date,
): Promise<void> {
  await db.crlSource.updateMany({
    where: { tenantId, anchorId, url },
    data: { fetchedAt: new Date(), failures: 0, error: null, errorDetail: null, dueAt },
  });
}

const shortestRetryS = 30;
const longestRetryS = 3_600;

/** Tried again after half a minute, and after twice as long each time, but never later than an hour. */
export async function crlNotFetched(
  { db, tenantId }: TenantTx,
  { anchorId, url }: DueCrlSource,
  { code, message }: { readonly code: string; readonly message: string },
): Promise<void> {
  await db.$executeRaw`
    UPDATE crl_sources SET failures = failures + 1, error = ${code}, error_detail = ${message},
           due_at = now() + least(${longestRetryS}, ${shortestRetryS} * power(2, least(failures, 20))) * (0.9 + 0.2 * random()) * interval '1 second'
     WHERE tenant_id = ${tenantId}::uuid AND anchor_id = ${anchorId}::uuid AND url = ${url}`;
}
