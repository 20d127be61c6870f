/** Now and then: what nobody will ask for again goes. */
import type { Pool } from 'pg';

import type { TenantId } from '#mqtt';

const maxDenialsPerTenant = 10_000;

/** Bounds the denials of these tenants; clears expired retained messages and messages that two processes settled at once. */
export async function sweep(pool: Pool, deniedTenants: readonly TenantId[]): Promise<void> {
  for (const tenantId of deniedTenants)
    await pool.query(
      `DELETE FROM denials WHERE tenant_id = $1::uuid AND last_at < (
         SELECT last_at FROM denials WHERE tenant_id = $1::uuid ORDER BY last_at DESC OFFSET $2::int8 LIMIT 1)`,
      [tenantId, maxDenialsPerTenant - 1],
    );
  // The broker has not shown these to anybody since they expired.
  await pool.query(`DELETE FROM retained_messages WHERE expires_at < now() - interval '1 minute'`);
  await pool.query(
    `DELETE FROM queued_messages m WHERE NOT EXISTS (
       SELECT FROM queue_entries e WHERE e.tenant_id = m.tenant_id AND e.message_id = m.id)`,
  );
}
