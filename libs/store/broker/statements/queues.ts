import type { Effects, SessionWrites } from '../batch.js';
import { propertiesJson } from '../rows.js';
import { entryKeys, found, ofEntry, ofSession, placed } from './places.js';
import { Rows, type Statement } from './statement.js';

export function appendMessages(
  statements: Statement[],
  sessions: readonly SessionWrites[],
  effects: Effects,
): void {
  const messages = new Rows({
    tenant: 'uuid',
    id: 'int8',
    topic: 'text',
    payload: 'bytea',
    qos: 'int2',
    retain: 'boolean',
    properties: 'jsonb',
    publisher: 'text',
    receivedAt: 'timestamptz',
    expiresAt: 'timestamptz',
  });
  for (const { tenantId, id, message, references } of effects.messages) {
    if (references === 0) continue;
    const { columns } = messages.next();
    columns.tenant.uuid(tenantId);
    columns.id.int8(id);
    columns.topic.text(message.topic);
    columns.payload.bytes(message.payload);
    columns.qos.int2(message.qos);
    columns.retain.boolean(message.retain);
    if (message.properties === undefined) columns.properties.null();
    else columns.properties.json(propertiesJson(message.properties));
    columns.publisher.text(message.publisher);
    columns.receivedAt.time(message.receivedAt);
    columns.expiresAt.time(message.expiresAt);
  }
  messages.statement(
    statements,
    'append-messages',
    `INSERT INTO queued_messages (tenant_id, id, topic, payload, qos, retain, properties, publisher, received_at, expires_at)
     SELECT * FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::bytea[], $5::int2[], $6::bool[], $7::jsonb[], $8::text[],
       $9::timestamptz[], $10::timestamptz[])`,
  );

  const entries = new Rows({
    tenant: 'uuid',
    client: 'text',
    sequence: 'int8',
    message: 'int8',
    qos: 'int2',
    retain: 'boolean',
    state: 'int2',
    subscriptionIds: 'text',
    bytes: 'int4',
  });
  const next = new Rows({
    tenant: 'uuid',
    client: 'text',
    sequence: 'int8',
    messages: 'int8',
    bytes: 'int8',
  });
  for (const session of sessions) {
    let bytes = 0;
    for (const { entry, of, received } of session.entries.values()) {
      const { columns } = entries.next();
      columns.tenant.uuid(session.tenantId);
      columns.client.text(session.clientId);
      columns.sequence.int8(entry.sequence);
      columns.message.int8(of.id);
      columns.qos.int2(entry.qos);
      columns.retain.boolean(entry.retain);
      columns.state.int2(received ? 1 : 0);
      // An array of arrays cannot be ragged: each is cast from its text.
      if (entry.subscriptionIds.length === 0) columns.subscriptionIds.null();
      else columns.subscriptionIds.text(`{${entry.subscriptionIds.join(',')}}`);
      columns.bytes.int4(of.message.payload.length);
      bytes += of.message.payload.length;
    }
    if (session.nextSequence > 0) {
      const { columns } = next.next();
      columns.tenant.uuid(session.tenantId);
      columns.client.text(session.clientId);
      columns.sequence.int8(session.nextSequence);
      columns.messages.int8(session.entries.size);
      columns.bytes.int8(bytes);
    }
  }
  entries.statement(
    statements,
    'append-entries',
    `INSERT INTO queue_entries (tenant_id, client_id, sequence, message_id, qos, retain, state, subscription_ids, bytes)
     SELECT tenant_id, client_id, sequence, message_id, qos, retain, state, ids::int4[], bytes
     FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[], $5::int2[], $6::bool[], $7::int2[], $8::text[], $9::int4[])
       AS k (tenant_id, client_id, sequence, message_id, qos, retain, state, ids, bytes)
     ON CONFLICT (tenant_id, client_id, sequence) DO UPDATE SET message_id = excluded.message_id, qos = excluded.qos,
       retain = excluded.retain, state = excluded.state, subscription_ids = excluded.subscription_ids, bytes = excluded.bytes`,
  );
  // Also for messages that were settled before they were written: a sequence is never used again.
  next.statement(
    statements,
    'next-sequence',
    `UPDATE sessions s SET next_sequence = greatest(s.next_sequence, k.next), queued_messages = s.queued_messages + k.messages,
       queued_bytes = s.queued_bytes + k.bytes
     FROM ${placed(
       'sessions',
       'unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[], $5::int8[]) AS k (tenant_id, client_id, next, messages, bytes)',
       ofSession,
     )} WHERE s.ctid = k.place`,
  );
}

export function changeEntries(statements: Statement[], sessions: readonly SessionWrites[]): void {
  const received = new Rows({ tenant: 'uuid', client: 'text', sequence: 'int8' });
  const settled = new Rows({ tenant: 'uuid', client: 'text', sequence: 'int8' });
  for (const session of sessions) {
    for (const [rows, sequences] of [
      [received, session.received],
      [settled, session.settled],
    ] as const) {
      for (const sequence of sequences) {
        const { columns } = rows.next();
        columns.tenant.uuid(session.tenantId);
        columns.client.text(session.clientId);
        columns.sequence.int8(sequence);
      }
    }
  }
  received.statement(
    statements,
    'receive-entries',
    `UPDATE queue_entries SET state = 1 WHERE ${found('queue_entries', entryKeys, ofEntry)}`,
  );
  settled.statement(
    statements,
    'settle-entries',
    `WITH gone AS (DELETE FROM queue_entries WHERE ${found('queue_entries', entryKeys, ofEntry)}
         RETURNING tenant_id, client_id, message_id, bytes),
       c AS (UPDATE sessions s SET queued_messages = greatest(s.queued_messages - k.messages, 0),
           queued_bytes = greatest(s.queued_bytes - k.bytes, 0)
         FROM ${placed(
           'sessions',
           '(SELECT tenant_id, client_id, count(*) AS messages, sum(bytes) AS bytes FROM gone GROUP BY 1, 2) AS k',
           ofSession,
         )} WHERE s.ctid = k.place)
     ${deleteUnreferenced}`,
  );
}

// The messages whose last entry has just gone. The statement still sees the entries it deletes, so it looks for one more than
// these; it never looks at more. Two processes that settle the last two entries at once leave the message to the sweep.
export const deleteUnreferenced = `DELETE FROM queued_messages WHERE ${found(
  'queued_messages',
  `(SELECT tenant_id, message_id AS id FROM (SELECT tenant_id, message_id, count(*) AS entries FROM gone GROUP BY 1, 2) AS g
    WHERE g.entries = (SELECT count(*) FROM (
      SELECT FROM queue_entries e WHERE e.tenant_id = g.tenant_id AND e.message_id = g.message_id LIMIT g.entries + 1) AS l)) AS k`,
  ['tenant_id', 'id'],
)}`;
