/** Now and then, from each broker process: what nobody will ask for again goes. A minute's work is bounded, whatever the tables hold. */
import type { Pool } from 'pg';

import type { TenantId } from '#mqtt';

const maxDenialsPerTenant = 10_000;
// Rows looked at in one go, by primary key: some tens of milliseconds. A million messages are gone through in 50 minutes.
const sliceRows = 20_000;

const nil = '00000000-0000-0000-0000-000000000000';

export class Sweeper {
  readonly #pool: Pool;
  /** Where the next slices begin. */
  #message: readonly [tenantId: string, id: string] = [nil, '0'];
  #retained: readonly [tenantId: string, topic: string] = [nil, ''];

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Bounds the denials of these tenants; goes on through retained messages and queued ones for those that expired or that nobody has. */
  async sweep(deniedTenants: readonly TenantId[]): Promise<void> {
    for (const tenantId of deniedTenants) await this.#boundDenials(tenantId);
    await this.#sweepRetained();
    await this.#sweepMessages();
  }

  async #boundDenials(tenantId: TenantId): Promise<void> {
    await this.#pool.query(
      `DELETE FROM denials WHERE tenant_id = $1::uuid AND last_at < (
         SELECT last_at FROM denials WHERE tenant_id = $1::uuid ORDER BY last_at DESC OFFSET $2::int8 LIMIT 1)`,
      [tenantId, maxDenialsPerTenant - 1],
    );
  }

  /** The broker has not shown these to anybody since they expired. */
  async #sweepRetained(): Promise<void> {
    const { rows } = await this.#pool.query<Last>(
      `WITH slice AS MATERIALIZED (SELECT tenant_id, topic, expires_at FROM retained_messages
           WHERE (tenant_id, topic) > ($1::uuid, $2) ORDER BY tenant_id, topic LIMIT $3::int4),
         gone AS (DELETE FROM retained_messages m USING slice s
           WHERE s.expires_at < now() - interval '1 minute' AND m.tenant_id = s.tenant_id AND m.topic = s.topic
             AND m.expires_at = s.expires_at)
       SELECT tenant_id::text AS tenant, topic AS key FROM slice ORDER BY tenant_id DESC, topic DESC LIMIT 1
         OFFSET (SELECT CASE WHEN count(*) < $3::int4 THEN count(*) ELSE 0 END FROM slice)`,
      [...this.#retained, sliceRows],
    );
    this.#retained = rows[0] === undefined ? [nil, ''] : [rows[0].tenant, rows[0].key];
  }

  /** Those whose last two entries were settled by two processes at once, or whose sessions were deleted under them. */
  async #sweepMessages(): Promise<void> {
    const { rows } = await this.#pool.query<Last>(
      `WITH slice AS MATERIALIZED (SELECT tenant_id, id FROM queued_messages
           WHERE (tenant_id, id) > ($1::uuid, $2::int8) ORDER BY tenant_id, id LIMIT $3::int4),
         gone AS (DELETE FROM queued_messages m USING slice s WHERE m.tenant_id = s.tenant_id AND m.id = s.id
           AND NOT EXISTS (SELECT FROM queue_entries e WHERE e.tenant_id = s.tenant_id AND e.message_id = s.id))
       SELECT tenant_id::text AS tenant, id::text AS key FROM slice ORDER BY tenant_id DESC, id DESC LIMIT 1
         OFFSET (SELECT CASE WHEN count(*) < $3::int4 THEN count(*) ELSE 0 END FROM slice)`,
      [...this.#message, sliceRows],
    );
    this.#message = rows[0] === undefined ? [nil, '0'] : [rows[0].tenant, rows[0].key];
  }
}

/** Of a full slice; none where the table's end was reached, and the next one begins at its beginning. */
interface Last {
  readonly tenant: string;
  readonly key: string;
}
