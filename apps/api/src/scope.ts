import type { Permission } from './permissions.js';

/** Who is asking. `actor` is the shown part of the API key: what audit rows name. */
export interface Caller {
  readonly keyId: string;
  readonly actor: string;
  /** Undefined: a key of the platform. */
  readonly tenantId: string | undefined;
  readonly permissions: ReadonlySet<Permission>;
}

/** A caller inside one tenant, whose right to be there has been checked. Services of a tenant's resources take it first. */
export interface TenantScope {
  readonly caller: Caller;
  readonly tenantId: string;
  readonly tenantSlug: string;
}
