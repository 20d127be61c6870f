import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { apiKeyPrefix, findApiKey, findTenant, noteApiKeyUse, verifyApiKey, type ControlStore } from '#store';
import { Failure, notFound } from '../failure.js';
import { permissionsOf, type Permission } from '../permissions.js';
import type { Caller, TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';

/** What one request may do, decided once at the edge. */
export interface Access {
  readonly caller: Caller;
  /** Set where the path names a tenant. */
  readonly scope: TenantScope | undefined;
  /** Of the presented key: what only its holder can make. Nothing stores it. */
  readonly holderKey: Buffer;
}

declare module 'fastify' {
  interface FastifyRequest {
    access: Access | undefined;
  }
}

/**
 * Turns `Authorization: Bearer moo_…` into who is asking, and a tenant's slug or id into the scope to work in. Keys are read
 * on every request: one that is revoked has lost its rights when the revocation's answer is sent, on every process.
 */
@Injectable()
export class AccessDesk {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
  ) {}

  async admit(
    authorization: string | undefined,
    tenantRef: string | undefined,
    permission: Permission,
    whose: string,
  ): Promise<Access> {
    const access = await this.identify(authorization, tenantRef, whose);
    if (!access.caller.permissions.has(permission)) {
      throw new Failure('forbidden', `The role of this key does not include ${permission}.`);
    }
    return access;
  }

  /** Who is asking, and inside which tenant; what they may do there is in `caller.permissions`. `whose`: turn at the store. */
  async identify(
    authorization: string | undefined,
    tenantRef: string | undefined,
    whose: string,
  ): Promise<Access> {
    const key = bearer(authorization);
    const prefix = key === undefined ? undefined : apiKeyPrefix(key);
    if (key === undefined || prefix === undefined) throw unauthenticated();
    return this.store.platform(async (tx) => {
      const row = await findApiKey(tx, prefix);
      const isRight = verifyApiKey(this.secretKey, key, row?.keyHash);
      const now = Date.now();
      if (row === null || !isRight || row.revokedAt !== null) throw unauthenticated();
      if (row.expiresAt !== null && row.expiresAt.getTime() <= now) throw unauthenticated();
      const ownTenant = row.tenantId === null ? null : await findTenant(tx, row.tenantId);
      const tenant = await tenantOf(tenantRef, row.tenantId, ownTenant, (ref) => findTenant(tx, ref));
      if (ownTenant?.status === 'suspended') {
        throw new Failure('tenant-suspended', 'The tenant of this key is suspended.');
      }
      if (now - (row.lastUsedAt?.getTime() ?? 0) > useNotedEveryMs) await noteApiKeyUse(tx, row.id);
      const caller: Caller = {
        keyId: row.id,
        actor: row.prefix,
        tenantId: ownTenant?.id,
        permissions: permissionsOf(row.role, row.tenantId === null),
      };
      const scope =
        tenant === undefined ? undefined : { caller, tenantId: tenant.id, tenantSlug: tenant.slug };
      return { caller, scope, holderKey: createHash('sha256').update('holder').update(key).digest() };
    }, whose);
  }
}

/** A tenant has one, whichever of its keys asks; each key of the platform has its own. */
export function turnOf({ tenantId, actor }: Caller): string {
  return tenantId ?? `key ${actor}`;
}

/** One for all from an address who have not shown yet that they know a secret. */
export function turnOfStranger(address: string): string {
  return `address ${address}`;
}

const useNotedEveryMs = 60_000;

function bearer(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +([\w-]{1,200})$/i.exec(authorization)?.[1];
}

function unauthenticated(): Failure {
  return new Failure('unauthenticated', 'Send a valid API key as Authorization: Bearer moo_…');
}

/** A key of another tenant sees what it would see if the tenant did not exist. */
async function tenantOf<T extends { id: string; slug: string }>(
  ref: string | undefined,
  keyTenantId: string | null,
  ownTenant: T | null,
  find: (ref: string) => Promise<T | null>,
): Promise<T | undefined> {
  if (ref === undefined) return undefined;
  if (keyTenantId === null) {
    const tenant = await find(ref);
    if (tenant === null) throw notFound();
    return tenant;
  }
  if (ownTenant === null || (ref !== ownTenant.id && ref !== ownTenant.slug)) throw notFound();
  return ownTenant;
}
