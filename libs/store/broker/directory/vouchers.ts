/** Whose word does a tenant take for its devices? Issuers of tokens, and a service of its own. */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import { gather, inPlaces } from './gather.js';

/** Who signs tokens for a tenant's devices. */
export interface DirectoryTokenIssuer {
  readonly id: string;
  /** The claim `iss`. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Null: the keys are in `jwks`. */
  readonly jwksUri: string | null;
  /** As stored. */
  readonly jwks: unknown;
  readonly identity: unknown;
  readonly leewayS: number;
  readonly maxLifetimeS: number;
  readonly isDisabled: boolean;
  readonly version: number;
}

/** A tenant's own service that is asked at CONNECT. */
export interface DirectoryAuthenticator {
  readonly url: string;
  readonly sealedSecret: Buffer;
  readonly timeoutMs: number;
  readonly maxConcurrent: number;
  readonly isEnabled: boolean;
  readonly version: number;
}

export class Vouchers {
  readonly #pool: Pool;
  readonly #issuers: DataLoader<readonly [string, string], DirectoryTokenIssuer | undefined, string>;
  readonly #authenticators: DataLoader<string, DirectoryAuthenticator | undefined, string>;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#issuers = gather((keys) => this.#readIssuers(keys));
    this.#authenticators = gather((ids) => this.#readAuthenticators(ids));
  }

  issuer(tenantId: string, issuer: string): Promise<DirectoryTokenIssuer | undefined> {
    return this.#issuers.load([tenantId, issuer]);
  }

  authenticator(tenantId: string): Promise<DirectoryAuthenticator | undefined> {
    return this.#authenticators.load(tenantId);
  }

  async #readIssuers(
    keys: readonly (readonly [string, string])[],
  ): Promise<(DirectoryTokenIssuer | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryTokenIssuer & { readonly place: string }>({
        name: 'token-issuers',
        text: readIssuers,
        values: [keys.map(([tenantId]) => tenantId), keys.map(([, issuer]) => issuer)],
      }),
    );
    return inPlaces(keys, rows);
  }

  async #readAuthenticators(ids: readonly string[]): Promise<(DirectoryAuthenticator | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryAuthenticator & { readonly place: string }>({
        name: 'authenticators',
        text: readAuthenticators,
        values: [ids],
      }),
    );
    return inPlaces(ids, rows);
  }
}

const readIssuers = `
  SELECT asked.place, i.id, i.issuer, i.audiences, i.algorithms, i.jwks_uri AS "jwksUri", i.jwks, i.identity,
         i.leeway_s AS "leewayS", i.max_lifetime_s AS "maxLifetimeS", i.disabled_at IS NOT NULL AS "isDisabled", i.version
    FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS asked (tenant_id, issuer, place)
    JOIN token_issuers i ON i.tenant_id = asked.tenant_id AND i.issuer = asked.issuer`;

const readAuthenticators = `
  SELECT asked.place, a.url, a.sealed_secret AS "sealedSecret", a.timeout_ms AS "timeoutMs",
         a.max_concurrent AS "maxConcurrent", a.enabled AS "isEnabled", a.version
    FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (tenant_id, place)
    JOIN authenticators a ON a.tenant_id = asked.tenant_id`;
