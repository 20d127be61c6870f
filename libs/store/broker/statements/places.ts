/**
 * A prepared statement keeps the plan that it was given while its tables were small, until they are analysed again: a hash of
 * the whole table for two rows, or one tenant's messages gone through for every entry of a queue. That cost a client with 20 000
 * messages waiting its sign-in. So the queues' statements leave the planner no choice: the keys come first, and each is looked
 * up by the primary key (LATERAL with OFFSET 0 is not taken apart), in whatever state the statistics are. `steadyPlans` adds
 * that the look-up is never a sequential scan. The rows so found stay where they are: their session or will is locked. A retained
 * message that another process sets meanwhile moves, and is then what came last.
 */
export function found(table: string, keys: string, columns: readonly string[]): string {
  return `ctid = ANY (ARRAY(SELECT place FROM ${placed(table, keys, columns)}))`;
}

/** The keys with the place of each one's row, for a statement that needs more of them than that: to be joined by `ctid = k.place`. */
export function placed(table: string, keys: string, columns: readonly string[]): string {
  const same = columns.map((column) => `r.${column} = k.${column}`).join(' AND ');
  return `(SELECT k.*, f.place FROM ${keys}
    CROSS JOIN LATERAL (SELECT r.ctid AS place FROM ${table} r WHERE ${same} OFFSET 0) AS f) AS k`;
}

export const ofSession = ['tenant_id', 'client_id'];
export const ofEntry = [...ofSession, 'sequence'];
export const entryKeys = 'unnest($1::uuid[], $2::text[], $3::int8[]) AS k (tenant_id, client_id, sequence)';

/** For every connection of a broker: each statement touches few rows of tables that may be large, and has an index for them. */
export const steadyPlans = `SELECT set_config(name, 'off', false)
  FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name`;
