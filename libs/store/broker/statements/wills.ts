import type { Batch } from '../batch.js';
import { principalJson, propertiesJson } from '../rows.js';
import { ofSession, placed } from './places.js';
import { Rows, type Statement } from './statement.js';

export function keepWills(statements: Statement[], wills: Batch['wills'], processId: string): void {
  const kept = new Rows({
    tenant: 'uuid',
    client: 'text',
    epoch: 'int8',
    principal: 'jsonb',
    topic: 'text',
    payload: 'bytea',
    qos: 'int2',
    retain: 'boolean',
    properties: 'jsonb',
    delay: 'int8',
    expiry: 'int8',
    dueAt: 'timestamptz',
  });
  const discarded = new Rows({ tenant: 'uuid', client: 'text', epoch: 'int8' });
  for (const { tenantId, clientId, epoch, change } of wills.values()) {
    if (change === undefined) continue;
    const { principal, will, dueAt } = change;
    const { columns } = will === undefined ? discarded.next() : kept.next();
    columns.tenant.uuid(tenantId);
    columns.client.text(clientId);
    columns.epoch.int8(epoch);
    if (will === undefined) continue;
    kept.columns.principal.json(principalJson(principal));
    kept.columns.topic.text(will.topic);
    kept.columns.payload.bytes(will.payload);
    kept.columns.qos.int2(will.qos);
    kept.columns.retain.boolean(will.retain);
    if (will.properties === undefined) kept.columns.properties.null();
    else kept.columns.properties.json(propertiesJson(will.properties));
    kept.columns.delay.int8(will.delayS);
    if (will.messageExpiryS === undefined) kept.columns.expiry.null();
    else kept.columns.expiry.int8(will.messageExpiryS);
    kept.columns.dueAt.time(dueAt);
  }
  discarded.statement(
    statements,
    'discard-wills',
    `DELETE FROM wills w USING ${placed(
      'wills',
      'unnest($1::uuid[], $2::text[], $3::int8[]) AS k (tenant_id, client_id, epoch)',
      ofSession,
    )} WHERE w.ctid = k.place AND w.epoch <= k.epoch`,
  );
  // The fence has locked what is there; the condition is for a will that somebody else has made since.
  kept.statement(
    statements,
    'keep-wills',
    `INSERT INTO wills AS w (tenant_id, client_id, epoch, principal, topic, payload, qos, retain, properties, delay_s, message_expiry_s,
       due_at, process_id)
     SELECT k.*, $13::uuid FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::jsonb[], $5::text[], $6::bytea[], $7::int2[], $8::bool[],
       $9::jsonb[], $10::int8[], $11::int8[], $12::timestamptz[]) AS k (tenant_id, client_id) ORDER BY 1, 2
     ON CONFLICT (tenant_id, client_id) DO UPDATE SET epoch = excluded.epoch, principal = excluded.principal, topic = excluded.topic,
       payload = excluded.payload, qos = excluded.qos, retain = excluded.retain, properties = excluded.properties,
       delay_s = excluded.delay_s, message_expiry_s = excluded.message_expiry_s, due_at = excluded.due_at,
       process_id = excluded.process_id
     WHERE w.epoch <= excluded.epoch`,
    processId,
  );
}
