/** Whose name is that, and may its clients come? */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import { gather } from './gather.js';

/** Whose a host name is. */
export interface DirectoryHost {
  readonly tenantId: string;
  readonly slug: string;
}

export class Tenants {
  readonly #pool: Pool;
  readonly #hosts: DataLoader<string, DirectoryHost | undefined, string>;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#hosts = gather((hosts) => this.#readHosts(hosts));
  }

  async find(tenantSlug: string): Promise<{ readonly id: string } | undefined> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<{ id: string }>('SELECT id FROM tenants WHERE slug = $1', [tenantSlug]),
    );
    return rows[0];
  }

  ofHost(host: string): Promise<DirectoryHost | undefined> {
    return this.#hosts.load(host);
  }

  async isActive(tenantId: string): Promise<boolean> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query(`SELECT FROM tenants WHERE id = $1 AND status = 'active'`, [tenantId]),
    );
    return rows.length > 0;
  }

  async #readHosts(hosts: readonly string[]): Promise<(DirectoryHost | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryHost & { readonly host: string }>({
        name: 'hosts',
        text: readHosts,
        values: [[...new Set(hosts)]],
      }),
    );
    const byHost = new Map(rows.map(({ host, tenantId, slug }) => [host, { tenantId, slug }]));
    return hosts.map((host) => byHost.get(host));
  }
}

const readHosts = `
  SELECT h.host, t.id AS "tenantId", t.slug FROM tenant_hosts h JOIN tenants t ON t.id = h.tenant_id
   WHERE h.host = ANY($1::text[])`;
