import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import { Prisma, type TokenIssuer } from '../generated/client.js';

export type { TokenIssuer };

export interface NewTokenIssuer {
  readonly name: string;
  readonly issuer: string;
  readonly audiences: string[];
  readonly algorithms: string[];
  /** One of the two. */
  readonly jwksUri: string | null;
  readonly jwks: Prisma.InputJsonObject | null;
  readonly identity: Prisma.InputJsonObject;
  readonly leewayS: number;
  readonly maxLifetimeS: number;
}

type Changeable = Omit<NewTokenIssuer, 'issuer'> & { readonly disabledAt: Date | null };
export type TokenIssuerChange = { readonly [Name in keyof Changeable]?: Changeable[Name] | undefined };

/** A taken name breaks `token_issuers_tenant_id_name_key`, a taken issuer `token_issuers_tenant_id_issuer_key`. */
export function createTokenIssuer(tx: TenantTx, issuer: NewTokenIssuer): Promise<TokenIssuer> {
  return tx.db.tokenIssuer.create({ data: { tenantId: tx.tenantId, ...issuer, jwks: jsonOf(issuer.jwks) } });
}

export function findTokenIssuer(tx: TenantTx, id: string): Promise<TokenIssuer | null> {
  return tx.db.tokenIssuer.findUnique({ where: { tenantId_id: { tenantId: tx.tenantId, id } } });
}

/** Oldest first. */
export function listTokenIssuers(
  tx: TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<TokenIssuer[]> {
  return tx.db.tokenIssuer.findMany({
    where: { tenantId: tx.tenantId, ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

/** Undefined: the row is not there in that version any more. */
export async function updateTokenIssuer(
  tx: TenantTx,
  id: string,
  version: number,
  { jwks, ...change }: TokenIssuerChange,
): Promise<TokenIssuer | undefined> {
  const [updated] = await tx.db.tokenIssuer.updateManyAndReturn({
    where: { tenantId: tx.tenantId, id, version },
    data: {
      ...defined(change),
      ...(jwks === undefined ? {} : { jwks: jsonOf(jwks) }),
      version: { increment: 1 },
      updatedAt: new Date(),
    },
  });
  return updated;
}

/** Credentials that demand it go with it. False: not there in that version any more. */
export async function deleteTokenIssuer(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const deleted = await tx.db.tokenIssuer.deleteMany({ where: { tenantId: tx.tenantId, id, version } });
  return deleted.count > 0;
}

function jsonOf(value: Prisma.InputJsonObject | null): Prisma.InputJsonObject | typeof Prisma.DbNull {
  return value ?? Prisma.DbNull;
}
