/** Requests sent under an Idempotency-Key, and the answers they got. What an answer says is sealed before it comes here. */
import type { PlatformTx } from './control-store.js';

export interface KeptRequest {
  /** Shown part of the API key: two callers' keys never meet. */
  readonly scope: string;
  readonly key: string;
  /** Whose it is, as far as it is known: with the tenant it goes. */
  readonly tenantId: string | null;
  readonly requestHash: Buffer<ArrayBuffer>;
}

export interface EarlierRequest {
  readonly requestHash: Uint8Array;
  readonly isDone: boolean;
  /** Undefined while it runs, and where it was too large to be kept. */
  readonly answer: Uint8Array | undefined;
}

/** Answers are kept for a day. */
const keptMs = 24 * 3_600_000;
/** A request that has run for longer than any transaction may is one whose process died: the key is free again. */
const givenUpMs = 60_000;

/** Undefined: the key was free, and is taken now. */
export async function reserveRequest(
  tx: PlatformTx,
  request: KeptRequest,
): Promise<EarlierRequest | undefined> {
  const { scope, key, tenantId, requestHash } = request;
  const now = Date.now();
  await tx.db.idempotencyKey.deleteMany({
    where: {
      scope,
      key,
      OR: [
        { createdAt: { lt: new Date(now - keptMs) } },
        { status: null, createdAt: { lt: new Date(now - givenUpMs) } },
      ],
    },
  });
  const taken = await tx.db.idempotencyKey.createMany({
    data: [{ scope, key, tenantId, requestHash }],
    skipDuplicates: true,
  });
  if (taken.count === 1) return undefined;
  const row = await tx.db.idempotencyKey.findUniqueOrThrow({ where: { scope_key: { scope, key } } });
  const sealed = row.body;
  return {
    requestHash: row.requestHash,
    isDone: row.status !== null,
    answer: typeof sealed === 'string' ? Buffer.from(sealed, 'base64') : undefined,
  };
}

/** Once: where the request was given up and came again, the first to end has done the work, and the other has found it done. */
export async function keepAnswer(
  tx: PlatformTx,
  request: KeptRequest,
  status: number,
  sealed: Buffer | undefined,
): Promise<void> {
  const { scope, key, tenantId, requestHash } = request;
  await tx.db.idempotencyKey.updateMany({
    where: { scope, key, requestHash, status: null },
    data: { tenantId, status, ...(sealed === undefined ? {} : { body: sealed.toString('base64') }) },
  });
}

export async function forgetRequest(tx: PlatformTx, request: KeptRequest): Promise<void> {
  const { scope, key, requestHash } = request;
  await tx.db.idempotencyKey.deleteMany({ where: { scope, key, requestHash, status: null } });
}

/** How many requests of a tenant are kept, and how many bytes their answers take. */
export async function countKept(
  { db }: PlatformTx,
  tenantId: string,
): Promise<{ readonly requests: number; readonly bytes: number }> {
  const [row] = await db.$queryRaw<{ requests: number; bytes: number }[]>`
    SELECT count(*)::int AS requests, coalesce(sum(pg_column_size(body)), 0)::float8 AS bytes
      FROM idempotency_keys WHERE tenant_id = ${tenantId}::uuid`;
  return row ?? { requests: 0, bytes: 0 };
}

/** Removes what is older than it is kept; for a timer. */
export async function sweepRequests(tx: PlatformTx): Promise<void> {
  await tx.db.idempotencyKey.deleteMany({ where: { createdAt: { lt: new Date(Date.now() - keptMs) } } });
}
