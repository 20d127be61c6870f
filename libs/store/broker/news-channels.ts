/**
 * How a commit tells whoever follows a tenant's news (see tenant-news.ts) what to look at: by NOTIFY, which reaches every process
 * once the commit is there, and no one before. A word names the rows, and does not hold them.
 */
export const presenceChannel = 'moorage_presence';
export const denialChannel = 'moorage_denials';

/** A payload has less than 8 000 bytes: the tenant and so many identifiers of 36 characters. */
const mostNamed = 200;

/** For the devices of `rows` (tenant_id, device_id). */
export function announcePresence(rows: string): string {
  return announce(presenceChannel, 'device_id', rows);
}

/** For the denials of `rows` (tenant_id, id). */
export function announceDenials(rows: string): string {
  return announce(denialChannel, 'id', rows);
}

function announce(channel: string, key: string, rows: string): string {
  return `SELECT pg_notify('${channel}', tenant_id || ' ' || string_agg(${key}::text, ' '))
    FROM (SELECT tenant_id, ${key}, row_number() OVER (PARTITION BY tenant_id) / ${mostNamed} AS part FROM ${rows}) AS named
    GROUP BY tenant_id, part`;
}
