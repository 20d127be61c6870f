import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Authenticator as AuthenticatorRow } from '../generated/client.js';

/** Without the secret: only the broker reads that. */
export type Authenticator = Omit<AuthenticatorRow, 'sealedSecret'>;

export interface NewAuthenticator {
  readonly url: string;
  readonly sealedSecret: Uint8Array<ArrayBuffer>;
  readonly timeoutMs: number;
  readonly maxConcurrent: number;
  readonly enabled: boolean;
}

const omit = { sealedSecret: true } as const;

/** The tenant's own; null: there is none. */
export function findAuthenticator(tx: TenantTx): Promise<Authenticator | null> {
  return tx.db.authenticator.findUnique({ where: { tenantId: tx.tenantId }, omit });
}

/** A second one breaks `authenticators_pkey`. */
export function createAuthenticator(tx: TenantTx, authenticator: NewAuthenticator): Promise<Authenticator> {
  return tx.db.authenticator.create({ data: { tenantId: tx.tenantId, ...authenticator }, omit });
}

/** Undefined: it is not there in that version any more. */
export async function updateAuthenticator(
  tx: TenantTx,
  version: number,
  change: Partial<NewAuthenticator>,
): Promise<Authenticator | undefined> {
  const [updated] = await tx.db.authenticator.updateManyAndReturn({
    where: { tenantId: tx.tenantId, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
    omit,
  });
  return updated;
}

/** False: not there in that version any more. */
export async function deleteAuthenticator(tx: TenantTx, version: number): Promise<boolean> {
  const deleted = await tx.db.authenticator.deleteMany({ where: { tenantId: tx.tenantId, version } });
  return deleted.count > 0;
}
