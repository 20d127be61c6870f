import { announceDenials } from '../news-channels.js';
import type { DenialCount } from '../writes.js';
import { Rows, type Statement } from './statement.js';

export function countDenials(denials: readonly DenialCount[]): Statement {
  const rows = new Rows({
    tenant: 'uuid',
    key: 'bytea',
    device: 'uuid',
    client: 'text',
    username: 'text',
    address: 'text',
    action: 'text',
    topic: 'text',
    reason: 'text',
    detail: 'text',
    firstAt: 'timestamptz',
    lastAt: 'timestamptz',
    count: 'int8',
  });
  for (const denial of denials) {
    const { columns } = rows.next();
    columns.tenant.uuid(denial.tenantId);
    columns.key.bytes(denial.key);
    if (denial.deviceId === undefined) columns.device.null();
    else columns.device.uuid(denial.deviceId);
    columns.client.text(denial.clientId);
    columns.username.text(denial.username);
    columns.address.text(denial.remoteAddress);
    columns.action.text(denial.action);
    columns.topic.text(denial.topic);
    columns.reason.text(denial.reason);
    columns.detail.text(denial.detail);
    columns.firstAt.time(denial.firstAt);
    columns.lastAt.time(denial.lastAt);
    columns.count.int8(denial.count);
  }
  // Two batches' rows of one key may be in one: a statement may update a row only once.
  return {
    name: 'count-denials',
    text: `WITH counted AS (INSERT INTO denials AS d (tenant_id, key, device_id, client_id, username, address, action, topic, reason, detail, first_at, last_at, count)
      SELECT tenant_id, key, min(device_id::text)::uuid, min(client_id), min(username), min(address), min(action), min(topic), min(reason),
        min(detail), min(first_at), max(last_at), sum(count)
      FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::timestamptz[], $12::timestamptz[], $13::int8[])
        AS k (tenant_id, key, device_id, client_id, username, address, action, topic, reason, detail, first_at, last_at, count)
      GROUP BY tenant_id, key ORDER BY tenant_id, key
      ON CONFLICT (tenant_id, key) DO UPDATE SET last_at = greatest(d.last_at, excluded.last_at), count = d.count + excluded.count
        RETURNING tenant_id, id)
      ${announceDenials('counted')}`,
    values: rows.finish(),
  };
}
