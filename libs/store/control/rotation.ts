/**
 * How far a tenant's devices have come in changing their credentials. Counted from the credentials themselves, in one pass
 * over the tenant's; nothing is kept besides that could be wrong.
 */
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';

/** What counts as one rotation, and what as long ago or soon. */
export interface RotationWindow {
  /** A credential that takes another's place counts from then on. */
  readonly since: Date;
  /** Not used since then: unseen. */
  readonly unseenBefore: Date;
  /** Without a credential from then on: expiring. */
  readonly expiringBefore: Date;
}

export interface RotationCounts {
  readonly devices: number;
  /** Without any credential. */
  readonly bare: number;
  /** With a new credential beside the one it replaces, or in its place. */
  readonly rotating: number;
  /** Of these, such as have used the new one. */
  readonly moved: number;
  readonly pending: number;
  readonly unseen: number;
  readonly expiring: number;
}

export const rotationStates = ['bare', 'untouched', 'pending', 'moved', 'unseen', 'expiring'] as const;
export type RotationState = (typeof rotationStates)[number];

export interface RotationRow {
  readonly deviceId: string;
  readonly name: string;
  /** The latest that has taken another's place. */
  readonly replacementId: string | null;
  readonly replacementUsedAt: Date | null;
  readonly replacesId: string | null;
  readonly lastUsedAt: Date | null;
  /** When its last usable credential ends; null: never, or there is none. */
  readonly endsAt: Date | null;
}

export async function countRotation(tx: TenantTx, window: RotationWindow): Promise<RotationCounts> {
  const [counts] = await tx.db.$queryRaw<RotationCounts[]>`
    SELECT count(*)::int AS devices,
           (count(*) FILTER (WHERE ${matches.bare}))::int AS bare,
           (count(*) FILTER (WHERE replacement_id IS NOT NULL))::int AS rotating,
           (count(*) FILTER (WHERE ${matches.moved}))::int AS moved,
           (count(*) FILTER (WHERE ${matches.pending}))::int AS pending,
           (count(*) FILTER (WHERE ${unseen(window)}))::int AS unseen,
           (count(*) FILTER (WHERE ${expiring(window)}))::int AS expiring
      FROM (SELECT d.id, ${aggregates(window)}
              FROM devices d LEFT JOIN credentials c ON c.tenant_id = d.tenant_id AND c.device_id = d.id
             WHERE d.tenant_id = ${tx.tenantId}::uuid
             GROUP BY d.id) held`;
  if (counts === undefined) throw new Error('an aggregate without a row');
  return counts;
}

/** By id of the device. Each device is looked at by itself, so that a page ends with its last row. */
export function listRotation(
  tx: TenantTx,
  state: RotationState,
  window: RotationWindow,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<RotationRow[]> {
  const condition =
    state === 'unseen' ? unseen(window) : state === 'expiring' ? expiring(window) : matches[state];
  return tx.db.$queryRaw<RotationRow[]>`
    SELECT d.id AS "deviceId", d.name, replacement_id AS "replacementId", replacement_used_at AS "replacementUsedAt",
           replaces_id AS "replacesId", last_used_at AS "lastUsedAt", ends_at AS "endsAt"
      FROM devices d
      CROSS JOIN LATERAL (SELECT ${aggregates(window)} FROM credentials c
                           WHERE c.tenant_id = d.tenant_id AND c.device_id = d.id) held
     WHERE d.tenant_id = ${tx.tenantId}::uuid
       AND (${page.afterId ?? null}::uuid IS NULL OR d.id > ${page.afterId ?? null}::uuid)
       AND ${condition}
     ORDER BY d.id LIMIT ${page.limit}`;
}

/** Ids grow with time: the highest is the latest. */
function aggregates({ since }: RotationWindow): Prisma.Sql {
  const replacement = Prisma.sql`FILTER (WHERE c.replaces_id IS NOT NULL AND c.created_at >= ${since})`;
  return Prisma.sql`
    count(c.id) AS credentials, max(c.last_used_at) AS last_used_at,
    (array_agg(c.id ORDER BY c.id DESC) ${replacement})[1] AS replacement_id,
    (array_agg(c.replaces_id ORDER BY c.id DESC) ${replacement})[1] AS replaces_id,
    (array_agg(c.last_used_at ORDER BY c.id DESC) ${replacement})[1] AS replacement_used_at,
    CASE WHEN bool_or(c.not_after IS NULL AND c.disabled_at IS NULL) THEN NULL
         ELSE max(c.not_after) FILTER (WHERE c.disabled_at IS NULL) END AS ends_at`;
}

const matches = {
  bare: Prisma.sql`credentials = 0`,
  untouched: Prisma.sql`(credentials > 0 AND replacement_id IS NULL)`,
  pending: Prisma.sql`(replacement_id IS NOT NULL AND replacement_used_at IS NULL)`,
  moved: Prisma.sql`replacement_used_at IS NOT NULL`,
} as const;

function unseen({ unseenBefore }: RotationWindow): Prisma.Sql {
  return Prisma.sql`(last_used_at IS NULL OR last_used_at < ${unseenBefore})`;
}

function expiring({ expiringBefore }: RotationWindow): Prisma.Sql {
  return Prisma.sql`ends_at < ${expiringBefore}`;
}
