/** Is it kept out, by its tenant or by the platform? */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import { gather } from './gather.js';

/** Whom a ban may be on: a client of a tenant's. */
export interface BanQuery {
  readonly tenantId: string;
  readonly clientId: string;
  readonly authId: string;
  /** `authId@tenant-slug`: what the platform bans. */
  readonly username: string;
  /** Normalized; undefined: it is not known. */
  readonly address: string | undefined;
  readonly now: number;
}

export interface DirectoryBan {
  readonly kind: 'client-id' | 'username' | 'address';
  readonly reason: string;
  readonly isPlatform: boolean;
}

/** One of those that a tenant's clients have to be held against. */
export interface DirectoryListedBan {
  readonly kind: DirectoryBan['kind'];
  /** Of an address: the range. */
  readonly value: string;
}

/** More are not listed: to ask about a client costs the same however many there are. */
const mostListed = 1_000;

export class Bans {
  readonly #pool: Pool;
  readonly #bans: DataLoader<BanQuery, DirectoryBan | undefined, string>;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#bans = gather((queries) => this.#read(queries));
  }

  find(query: BanQuery): Promise<DirectoryBan | undefined> {
    return this.#bans.load(query);
  }

  /** The tenant's and the platform's, those included that are over and not yet gone. Undefined: they are too many. */
  async of(tenantId: string): Promise<readonly DirectoryListedBan[] | undefined> {
    const { rows } = await withStoreErrors(() => this.#pool.query<DirectoryListedBan>(listBans, [tenantId]));
    return rows.length > mostListed ? undefined : rows;
  }

  async #read(queries: readonly BanQuery[]): Promise<(DirectoryBan | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<BanRow>(readBans, [
        queries.map((query) => query.tenantId),
        queries.map((query) => query.clientId),
        queries.map((query) => query.authId),
        queries.map((query) => query.username),
        queries.map((query) => query.address ?? null),
        queries.map((query) => new Date(query.now)),
      ]),
    );
    const found: (DirectoryBan | undefined)[] = queries.map(() => undefined);
    for (const row of rows) {
      found[Number(row.place) - 1] = { kind: row.kind, reason: row.reason, isPlatform: row.is_platform };
    }
    return found;
  }
}

interface BanRow {
  readonly place: string;
  readonly kind: DirectoryBan['kind'];
  readonly reason: string;
  readonly is_platform: boolean;
}

// Of each a limited count by itself; an OR over both would not stop at an index.
const listBans = `
  SELECT kind, coalesce(network(range)::text, value) AS value FROM (
    (SELECT kind, value, range FROM bans WHERE tenant_id = $1 LIMIT ${mostListed + 1})
    UNION ALL
    (SELECT kind, value, range FROM bans WHERE tenant_id IS NULL LIMIT ${mostListed + 1})) b`;

// Equality by the unique index and ranges by the GiST index: a client costs the same with ten bans and with a million.
const readBans = `
  SELECT asked.place, ban.kind, ban.reason, ban.tenant_id IS NULL AS is_platform
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::inet[], $6::timestamptz[])
           WITH ORDINALITY AS asked (tenant_id, client_id, auth_id, username, address, now, place)
   CROSS JOIN LATERAL (
      SELECT b.* FROM (
        SELECT * FROM bans WHERE tenant_id = asked.tenant_id AND kind = 'client-id' AND value = asked.client_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id = asked.tenant_id AND kind = 'username' AND value = asked.auth_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id IS NULL AND kind = 'client-id' AND value = asked.client_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id IS NULL AND kind = 'username' AND value = asked.username
        UNION ALL
        SELECT * FROM bans WHERE range >>= asked.address AND (tenant_id = asked.tenant_id OR tenant_id IS NULL)
      ) b
       WHERE b.expires_at IS NULL OR b.expires_at > asked.now
       ORDER BY b.tenant_id IS NULL LIMIT 1
    ) ban`;
