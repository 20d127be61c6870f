/** Changes of rights, from the api's side: recorded in numbered order, and confirmed by each broker process that applied them. */
import type { Receipt } from '#mqtt';
import type { PlatformTx, TenantTx } from './control-store.js';
import { hasHistory } from './device-history.js';

export type ChangeKind =
  | 'tenant'
  | 'profile'
  | 'group'
  | 'device'
  | 'credential'
  | 'trust-anchor'
  | 'token-issuer'
  | 'authenticator'
  | 'policy'
  | 'session'
  | 'ban'
  | 'host-name'
  | 'retained';

/** Ids that say whom the change concerns: deviceId, credentialId, anchorId, clientId …; an empty one concerns the whole tenant. Of retained messages a filter. */
export type ChangeSubject = Readonly<Record<string, string | boolean>>;

export interface NewChange {
  readonly kind: ChangeKind;
  readonly subject: ChangeSubject;
}

export interface ReceiptOf {
  readonly processId: string;
  readonly appliedAt: Date;
  readonly result: Receipt;
}

export interface ChangeProgress {
  readonly number: bigint;
  readonly kind: ChangeKind;
  readonly recordedAt: Date;
  readonly receipts: readonly ReceiptOf[];
  /** Broker processes that live and have not yet applied it. Empty: it is in force everywhere. */
  readonly waitingFor: readonly string[];
  /** Rows of a deleted device are still being removed: nothing leads to them any more. */
  readonly isClearing: boolean;
}

/** Every broker process that lives has confirmed it, and nothing is left of what it takes away. */
export function isApplied({ waitingFor, isClearing }: ChangeProgress): boolean {
  return waitingFor.length === 0 && !isClearing;
}

/**
 * Resolves to the change's number, which is also that of the operation that carries it out. Call it last in a transaction: it takes
 * a lock until the end, so that numbers commit in order and nobody who follows them skips one.
 */
export function recordChange(tx: TenantTx, change: NewChange): Promise<bigint> {
  return insertChange(tx, change);
}

async function insertChange(tx: Owner, change: NewChange): Promise<bigint> {
  const rows = await tx.db.$queryRaw<{ number: bigint }[]>`
    INSERT INTO changes (tenant_id, kind, subject)
    VALUES (${tx.tenantId}::uuid, ${change.kind}, ${JSON.stringify(change.subject)}::jsonb)
    RETURNING number`;
  const [row] = rows;
  if (row === undefined) throw new Error('INSERT … RETURNING returned no row');
  return row.number;
}

/** Whose the changes are that concern every tenant. */
export const nobody = '00000000-0000-0000-0000-000000000000';

/** Like recordChange, for what concerns all tenants. */
export function recordPlatformChange({ db }: PlatformTx, change: NewChange): Promise<bigint> {
  return insertChange({ db, tenantId: nobody }, change);
}

/** Undefined: there is no such change of the platform's own. */
export function readPlatformReceipts(
  { db }: PlatformTx,
  number: bigint,
): Promise<ChangeProgress | undefined> {
  return receiptsOf({ db, tenantId: nobody }, number);
}

/** Undefined: there is no such change of this tenant. */
export function readReceipts(tx: TenantTx, number: bigint): Promise<ChangeProgress | undefined> {
  return receiptsOf(tx, number);
}

/** The transaction, and whose rows are meant. */
type Owner = Pick<TenantTx, 'db' | 'tenantId'>;

async function receiptsOf(tx: Owner, number: bigint): Promise<ChangeProgress | undefined> {
  const change = await tx.db.change.findFirst({ where: { tenantId: tx.tenantId, number } });
  if (change === null) return undefined;
  // Who confirms between the two statements is missing in neither.
  const waitingFor = await tx.db.$queryRaw<{ id: string }[]>`
    SELECT id FROM broker_processes p
     WHERE lease_until > now() AND applied < ${number}
       AND NOT EXISTS (SELECT FROM change_receipts r
                        WHERE r.tenant_id = ${tx.tenantId}::uuid AND r.number = ${number} AND r.process_id = p.id)`;
  const receipts = await tx.db.changeReceipt.findMany({
    where: { tenantId: tx.tenantId, number },
    orderBy: { appliedAt: 'asc' },
  });
  const confirmed = new Set(receipts.map(({ processId }) => processId));
  return {
    number,
    kind: change.kind as ChangeKind,
    recordedAt: change.createdAt,
    receipts: receipts.map(({ processId, appliedAt, result }) => ({
      processId,
      appliedAt,
      result: result as unknown as Receipt,
    })),
    waitingFor: waitingFor.flatMap(({ id }) => (confirmed.has(id) ? [] : id)),
    isClearing: await isClearing(tx, change.subject),
  };
}

async function isClearing(tx: Owner, subject: unknown): Promise<boolean> {
  const { deviceId, isDeleted } = Object(subject) as Record<string, unknown>;
  return isDeleted === true && typeof deviceId === 'string' && hasHistory(tx, deviceId);
}
