import type { SessionWrites, WillWrite } from '../batch.js';
import { type Statement, keys } from './statement.js';

/**
 * First in every transaction. It locks the process's own row until the commit and fails (division by zero) unless this is
 * the batch after the last one committed: so a batch is written once, and a process whose row was taken away writes nothing.
 */
export function markBatch(processId: string, batch: number): Statement {
  return {
    name: 'mark-batch',
    text: `WITH marked AS (UPDATE broker_processes SET batch = $2::int8 WHERE id = $1::uuid AND batch = $2::int8 - 1 RETURNING 1)
      SELECT 1 / count(*) FROM marked`,
    values: [processId, batch],
  };
}

/** Locks the sessions until the commit and yields the epochs of those that are there. */
export function fenceSessions(sessions: readonly SessionWrites[]): Statement {
  return {
    name: 'fence-sessions',
    text: fence('sessions'),
    values: keys(sessions),
  };
}

export function fenceWills(wills: readonly WillWrite[]): Statement {
  return {
    name: 'fence-wills',
    text: fence('wills'),
    values: keys(wills),
  };
}

/** Each row is locked as it is found: in the order of the keys, the same for everybody. */
function fence(table: string): string {
  return `SELECT k.tenant_id::text AS "tenantId", k.client_id AS "clientId", f.epoch
    FROM (SELECT * FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, client_id) ORDER BY tenant_id, client_id) AS k
    CROSS JOIN LATERAL (SELECT r.epoch::float8 FROM ${table} r
      WHERE r.tenant_id = k.tenant_id AND r.client_id = k.client_id FOR NO KEY UPDATE) AS f`;
}
