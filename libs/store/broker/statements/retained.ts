import type { Effects } from '../batch.js';
import { propertiesJson } from '../rows.js';
import { found } from './places.js';
import { Rows, type Statement } from './statement.js';

export function retain(statements: Statement[], retained: Effects['retained']): void {
  const set = new Rows({
    tenant: 'uuid',
    topic: 'text',
    payload: 'bytea',
    qos: 'int2',
    properties: 'jsonb',
    publisher: 'text',
    receivedAt: 'timestamptz',
    expiresAt: 'timestamptz',
  });
  const cleared = new Rows({ tenant: 'uuid', topic: 'text' });
  for (const { tenantId, message } of retained.values()) {
    const { columns } = message.payload.length === 0 ? cleared.next() : set.next();
    columns.tenant.uuid(tenantId);
    columns.topic.text(message.topic);
    if (message.payload.length === 0) continue;
    set.columns.payload.bytes(message.payload);
    set.columns.qos.int2(message.qos);
    if (message.properties === undefined) set.columns.properties.null();
    else set.columns.properties.json(propertiesJson(message.properties));
    set.columns.publisher.text(message.publisher);
    set.columns.receivedAt.time(message.receivedAt);
    set.columns.expiresAt.time(message.expiresAt);
  }
  cleared.statement(
    statements,
    'clear-retained',
    `DELETE FROM retained_messages WHERE ${found(
      'retained_messages',
      'unnest($1::uuid[], $2::text[]) AS k (tenant_id, topic)',
      ['tenant_id', 'topic'],
    )}`,
  );
  set.statement(
    statements,
    'set-retained',
    `INSERT INTO retained_messages (tenant_id, topic, payload, qos, properties, publisher, received_at, expires_at)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::int2[], $5::jsonb[], $6::text[], $7::timestamptz[], $8::timestamptz[])
     ORDER BY 1, 2
     ON CONFLICT (tenant_id, topic) DO UPDATE SET payload = excluded.payload, qos = excluded.qos, properties = excluded.properties,
       publisher = excluded.publisher, received_at = excluded.received_at, expires_at = excluded.expires_at`,
  );
}
