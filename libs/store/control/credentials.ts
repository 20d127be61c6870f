import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import type { Credential as CredentialRow, Prisma } from '../generated/client.js';

/** Without what proves its secret: only sign-in reads that. */
export type Credential = Omit<CredentialRow, 'secretHash' | 'passwordHash' | 'scram'>;

/**
 * A password, generated or chosen, by what proves it; a certificate, pinned, or by its name under one anchor or any; tokens, by a
 * key of the device's, or by one issuer or any; or nothing: the tenant's authenticator knows.
 */
export type NewSecret =
  | {
      readonly kind: 'password';
      readonly secretHash: Buffer<ArrayBuffer>;
      readonly scram: Prisma.InputJsonObject;
    }
  | {
      readonly kind: 'password';
      readonly passwordHash: string;
    }
  | {
      readonly kind: 'certificate';
      readonly fingerprint: Buffer<ArrayBuffer> | null;
      readonly anchorId: string | null;
    }
  | { readonly kind: 'token'; readonly publicKey: Prisma.InputJsonObject }
  | { readonly kind: 'token'; readonly issuerId: string | null }
  | { readonly kind: 'external' };

export interface NewCredential {
  readonly deviceId: string;
  readonly authId: string;
  readonly secret: NewSecret;
  readonly clientIdRule: Prisma.InputJsonObject;
  readonly notBefore: Date | null;
  readonly notAfter: Date | null;
  /** Whose place it takes. */
  readonly replacesId?: string;
}

export interface CredentialChange {
  readonly clientIdRule?: Prisma.InputJsonObject | undefined;
  readonly notBefore?: Date | null | undefined;
  readonly notAfter?: Date | null | undefined;
  readonly disabledAt?: Date | null | undefined;
}

const omit = { secretHash: true, passwordHash: true, scram: true } as const;

/**
 * A taken authId breaks `credentials_tenant_id_auth_id_key`, a certificate that is pinned already
 * `credentials_tenant_id_fingerprint_key`, and an anchor or an issuer that is not there a foreign key.
 */
export function createCredential(
  tx: TenantTx,
  { secret, ...credential }: NewCredential,
): Promise<Credential> {
  return tx.db.credential.create({ data: { tenantId: tx.tenantId, ...credential, ...secret }, omit });
}

/** Of many devices, at once: as createCredential does, for all of them or for none. In any order. */
export function createCredentials(
  tx: TenantTx,
  credentials: readonly NewCredential[],
): Promise<Credential[]> {
  return tx.db.credential.createManyAndReturn({
    data: credentials.map(({ secret, ...credential }) => ({
      tenantId: tx.tenantId,
      ...credential,
      ...secret,
    })),
    omit,
  });
}

/** What new credentials would take for themselves, and what they refer to. Fingerprints in hexadecimal. */
export interface CredentialNeeds {
  readonly authIds: readonly string[];
  readonly fingerprints: readonly string[];
  readonly anchorIds: readonly string[];
  readonly issuerIds: readonly string[];
}

/** What of it there is already: taken, or there to be referred to. */
export async function findNeeded(
  { db, tenantId }: TenantTx,
  { authIds, fingerprints, anchorIds, issuerIds }: CredentialNeeds,
): Promise<{ readonly [Name in keyof CredentialNeeds]: ReadonlySet<string> }> {
  const pins = fingerprints.map((text) => Buffer.from(text, 'hex'));
  const taken = await db.credential.findMany({
    where: { tenantId, OR: [{ authId: { in: [...authIds] } }, { fingerprint: { in: pins } }] },
    select: { authId: true, fingerprint: true },
  });
  const ids = (given: readonly string[]) => ({ where: { tenantId, id: { in: [...new Set(given)] } } });
  const anchors = await db.trustAnchor.findMany({ ...ids(anchorIds), select: { id: true } });
  const issuers = await db.tokenIssuer.findMany({ ...ids(issuerIds), select: { id: true } });
  return {
    authIds: new Set(taken.map(({ authId }) => authId)),
    fingerprints: new Set(
      taken.flatMap(({ fingerprint }) =>
        fingerprint === null ? [] : Buffer.from(fingerprint).toString('hex'),
      ),
    ),
    anchorIds: new Set(anchors.map(({ id }) => id)),
    issuerIds: new Set(issuers.map(({ id }) => id)),
  };
}

export function findCredential(tx: TenantTx, id: string): Promise<Credential | null> {
  return tx.db.credential.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } }, omit });
}

/** Oldest first. */
export function listCredentials(
  tx: TenantTx,
  query: {
    readonly deviceId?: string | undefined;
    readonly afterId: string | undefined;
    readonly limit: number;
  },
): Promise<Credential[]> {
  return tx.db.credential.findMany({
    where: {
      tenantId: tx.tenantId,
      ...defined({ deviceId: query.deviceId }),
      ...(query.afterId === undefined ? {} : { id: { gt: query.afterId } }),
    },
    omit,
    orderBy: { id: 'asc' },
    take: query.limit,
  });
}

/** For a DataLoader: of all these devices, oldest first. */
export function credentialsOfDevices(tx: TenantTx, deviceIds: readonly string[]): Promise<Credential[]> {
  return tx.db.credential.findMany({
    where: { tenantId: tx.tenantId, deviceId: { in: [...deviceIds] } },
    omit,
    orderBy: { id: 'asc' },
  });
}

/** Undefined: the row is not there in that version any more. */
export async function updateCredential(
  tx: TenantTx,
  id: string,
  version: number,
  change: CredentialChange,
): Promise<Credential | undefined> {
  const [updated] = await tx.db.credential.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: { ...defined(change), version: { increment: 1 }, updatedAt: new Date() },
    omit,
  });
  return updated;
}

/** False: not there in that version any more. */
export async function deleteCredential(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const deleted = await tx.db.credential.deleteMany({ where: { tenantId: tx.tenantId, id, version } });
  return deleted.count > 0;
}
