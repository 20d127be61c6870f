/**
 * The statements of a batch: one for each kind of change, whatever the number of rows, prepared once a connection.
 *
 * Rows come as binary arrays and `unnest`. Measured for telemetry of 110 bytes on 2 shared cores with fsync on, rows a second at
 * 5 000 / 1 000 / 100 rows a commit: COPY as text 50 K / 46 K / 27 K, COPY binary 63 K / 51 K / 26 K, unnest of binary arrays 43 K / 44 K / 32 K,
 * COPY into a temporary table and INSERT from it 34–60 K / 33–39 K / 14–16 K, unnest of arrays as text 32 K / 36 K / 23 K. COPY is refused on a
 * table with row-level security, which is a fence we keep, and saves little once a batch must take one round trip.
 */

import type { Batch, Effects, SessionWrites, WillWrite } from './batch.js';
import { Column } from './columns.js';
import { observedAt, parseJsonBody } from './json-body.js';
import { announceDenials, announcePresence } from './news-channels.js';
import { turnInStore } from './presence-machine.js';
import type { DenialCount, TelemetryWrite } from './writes.js';
import { optionsByte, principalJson, propertiesJson, toJson } from './rows.js';

export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: (string | number | Buffer)[];
}

// ------------------------------------------------------------------------------------------------------------- the fence

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

/** Yields the row number of each claim with its epoch, its next sequence and whether the session was there. */
export function claimSessions(claims: readonly SessionWrites[], processId: string): Statement {
  const tenants = new Column('uuid');
  const clients = new Column('text');
  const devices = new Column('uuid');
  const epochs = new Column('int8');
  const principals = new Column('jsonb');
  const intervals = new Column('int8');
  for (const { claim } of claims) {
    if (claim === undefined) continue;
    tenants.uuid(claim.principal.tenantId);
    clients.text(claim.principal.clientId);
    devices.uuid(claim.principal.deviceId);
    epochs.int8(claim.epoch);
    principals.json(principalJson(claim.principal));
    intervals.int8(claim.expiryIntervalS);
  }
  return {
    name: 'claim-sessions',
    text: `INSERT INTO sessions AS s (tenant_id, client_id, device_id, epoch, process_id, principal, expiry_interval_s)
      SELECT tenant_id, client_id, device_id, epoch, $7::uuid, principal, expiry
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int8[], $5::jsonb[], $6::int8[])
        AS k (tenant_id, client_id, device_id, epoch, principal, expiry)
      ORDER BY tenant_id, client_id
      ON CONFLICT (tenant_id, client_id) DO UPDATE SET device_id = excluded.device_id,
        epoch = greatest(excluded.epoch, s.epoch + 1), process_id = excluded.process_id, principal = excluded.principal,
        expiry_interval_s = excluded.expiry_interval_s, expires_at = NULL
      RETURNING tenant_id::text AS "tenantId", client_id AS "clientId", epoch::float8, (xmax <> 0) AS existed`,
    values: [...finish(tenants, clients, devices, epochs, principals, intervals), processId],
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

// --------------------------------------------------------------------------------------------------------- how rows are found

/**
 * A prepared statement keeps the plan that it was given while its tables were small, until they are analysed again: a hash of
 * the whole table for two rows, or one tenant's messages gone through for every entry of a queue. That cost a client with 20 000
 * messages waiting its sign-in. So the queues' statements leave the planner no choice: the keys come first, and each is looked
 * up by the primary key (LATERAL with OFFSET 0 is not taken apart), in whatever state the statistics are. `steadyPlans` adds
 * that the look-up is never a sequential scan. The rows so found stay where they are: their session or will is locked. A retained
 * message that another process sets meanwhile moves, and is then what came last.
 */
function found(table: string, keys: string, columns: readonly string[]): string {
  return `ctid = ANY (ARRAY(SELECT place FROM ${placed(table, keys, columns)}))`;
}

/** The keys with the place of each one's row, for a statement that needs more of them than that: to be joined by `ctid = k.place`. */
function placed(table: string, keys: string, columns: readonly string[]): string {
  const same = columns.map((column) => `r.${column} = k.${column}`).join(' AND ');
  return `(SELECT k.*, f.place FROM ${keys}
    CROSS JOIN LATERAL (SELECT r.ctid AS place FROM ${table} r WHERE ${same} OFFSET 0) AS f) AS k`;
}

const ofSession = ['tenant_id', 'client_id'];
const ofEntry = [...ofSession, 'sequence'];
const entryKeys = 'unnest($1::uuid[], $2::text[], $3::int8[]) AS k (tenant_id, client_id, sequence)';

/** For every connection of a broker: each statement touches few rows of tables that may be large, and has an index for them. */
export const steadyPlans = `SELECT set_config(name, 'off', false)
  FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name`;

// The messages whose last entry has just gone. The statement still sees the entries it deletes, so it looks for one more than
// these; it never looks at more. Two processes that settle the last two entries at once leave the message to the sweep.
const deleteUnreferenced = `DELETE FROM queued_messages WHERE ${found(
  'queued_messages',
  `(SELECT tenant_id, message_id AS id FROM (SELECT tenant_id, message_id, count(*) AS entries FROM gone GROUP BY 1, 2) AS g
    WHERE g.entries = (SELECT count(*) FROM (
      SELECT FROM queue_entries e WHERE e.tenant_id = g.tenant_id AND e.message_id = g.message_id LIMIT g.entries + 1) AS l)) AS k`,
  ['tenant_id', 'id'],
)}`;

const wiped = `k AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, client_id)),
  s AS (DELETE FROM subscriptions WHERE ${found('subscriptions', 'k', ofSession)}),
  i AS (DELETE FROM inbound_packets WHERE ${found('inbound_packets', 'k', ofSession)}),
  gone AS (DELETE FROM queue_entries WHERE ${found('queue_entries', 'k', ofSession)} RETURNING tenant_id, message_id)`;

/** What hangs on a session goes; the session stays. */
export function emptySessions(sessions: readonly SessionWrites[]): Statement {
  return {
    name: 'empty-sessions',
    text: `WITH ${wiped}, t AS (UPDATE sessions SET queued_messages = 0, queued_bytes = 0
        WHERE (queued_messages, queued_bytes) <> (0, 0) AND ${found('sessions', 'k', ofSession)})
      ${deleteUnreferenced}`,
    values: keys(sessions),
  };
}

function removeSessions(sessions: readonly SessionWrites[]): Statement {
  return {
    name: 'remove-sessions',
    text: `WITH ${wiped}, t AS (DELETE FROM sessions WHERE ${found('sessions', 'k', ofSession)})
      ${deleteUnreferenced}`,
    values: keys(sessions),
  };
}

/** What a session holds, for the claims of a batch and for a tenant that is opened. Its queue is counted as it changes, not here. */
export const sessionDetail = `
  s.tenant_id::text AS "tenantId", s.client_id AS "clientId", s.principal, s.epoch::float8, s.expiry_interval_s::float8 AS "expiryIntervalS",
  (extract(epoch FROM s.expires_at) * 1000)::float8 AS "expiresAt", s.process_id IS NOT NULL AS connected,
  s.next_sequence::float8 AS "nextSequence",
  (SELECT json_agg(json_build_array(u.filter, u.options, u.subscription_id)) FROM subscriptions u
    WHERE u.tenant_id = s.tenant_id AND u.client_id = s.client_id) AS subscriptions,
  s.queued_messages::float8 AS "queuedMessages", s.queued_bytes::float8 AS "queuedBytes",
  (SELECT json_agg(p.packet_id) FROM inbound_packets p
    WHERE p.tenant_id = s.tenant_id AND p.client_id = s.client_id) AS "inboundPacketIds"`;

export function readClaimed(claims: readonly SessionWrites[]): Statement {
  return {
    name: 'read-claimed',
    text: `SELECT ${sessionDetail} FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, client_id)
      CROSS JOIN LATERAL (SELECT * FROM sessions r WHERE r.tenant_id = k.tenant_id AND r.client_id = k.client_id OFFSET 0) AS s`,
    values: keys(claims),
  };
}

// ------------------------------------------------------------------------------------------------------------ the changes

/** In the order in which they must run; none for what has no rows. */
export function changes(batch: Batch, effects: Effects, processId: string): Statement[] {
  const live: SessionWrites[] = [];
  const removed: SessionWrites[] = [];
  for (const session of batch.sessions.values()) {
    if (session.removed) removed.push(session);
    else if (session.state === 'current') live.push(session);
  }
  const statements: Statement[] = [];
  if (removed.length > 0) statements.push(removeSessions(removed));
  if (live.length > 0) changeSessions(statements, live, effects);
  if (effects.retained.size > 0) retain(statements, effects.retained);
  if (batch.wills.size > 0) keepWills(statements, batch.wills, processId);
  if (effects.readings.length > 0) statements.push(insertTelemetry(effects.readings));
  if (effects.presence.length > 0) followPresence(statements, effects, processId);
  if (effects.denials.length > 0) statements.push(countDenials(effects.denials));
  return statements;
}

function changeSessions(statements: Statement[], sessions: readonly SessionWrites[], effects: Effects): void {
  changeSubscriptions(statements, sessions);
  if (effects.messages.length > 0) appendMessages(statements, sessions, effects);
  changeEntries(statements, sessions);
  changeInbound(statements, sessions);
  releaseSessions(statements, sessions);
}

function changeSubscriptions(statements: Statement[], sessions: readonly SessionWrites[]): void {
  const set = new Rows({ tenant: 'uuid', client: 'text', filter: 'text', options: 'int2', id: 'int4' });
  const unset = new Rows({ tenant: 'uuid', client: 'text', filter: 'text' });
  for (const { tenantId, clientId, subscriptions } of sessions) {
    for (const [filter, subscription] of subscriptions) {
      const { columns } = subscription === undefined ? unset.next() : set.next();
      columns.tenant.uuid(tenantId);
      columns.client.text(clientId);
      columns.filter.text(filter);
      if (subscription === undefined) continue;
      set.columns.options.int2(optionsByte(subscription));
      if (subscription.subscriptionId === undefined) set.columns.id.null();
      else set.columns.id.int4(subscription.subscriptionId);
    }
  }
  unset.statement(
    statements,
    'unsubscribe',
    `DELETE FROM subscriptions WHERE ${found(
      'subscriptions',
      'unnest($1::uuid[], $2::text[], $3::text[]) AS k (tenant_id, client_id, filter)',
      [...ofSession, 'filter'],
    )}`,
  );
  set.statement(
    statements,
    'subscribe',
    `INSERT INTO subscriptions (tenant_id, client_id, filter, options, subscription_id)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int2[], $5::int4[])
     ON CONFLICT (tenant_id, client_id, filter) DO UPDATE SET options = excluded.options, subscription_id = excluded.subscription_id`,
  );
}

function appendMessages(statements: Statement[], sessions: readonly SessionWrites[], effects: Effects): void {
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

function changeEntries(statements: Statement[], sessions: readonly SessionWrites[]): void {
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

function changeInbound(statements: Statement[], sessions: readonly SessionWrites[]): void {
  const kept = new Rows({ tenant: 'uuid', client: 'text', packet: 'int4' });
  const released = new Rows({ tenant: 'uuid', client: 'text', packet: 'int4' });
  for (const { tenantId, clientId, inbound } of sessions) {
    for (const [packetId, isKept] of inbound) {
      const { columns } = (isKept ? kept : released).next();
      columns.tenant.uuid(tenantId);
      columns.client.text(clientId);
      columns.packet.int4(packetId);
    }
  }
  kept.statement(
    statements,
    'keep-inbound',
    `INSERT INTO inbound_packets (tenant_id, client_id, packet_id) SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[])
     ON CONFLICT DO NOTHING`,
  );
  released.statement(
    statements,
    'release-inbound',
    `DELETE FROM inbound_packets WHERE ${found(
      'inbound_packets',
      'unnest($1::uuid[], $2::text[], $3::int4[]) AS k (tenant_id, client_id, packet_id)',
      [...ofSession, 'packet_id'],
    )}`,
  );
}

function releaseSessions(statements: Statement[], sessions: readonly SessionWrites[]): void {
  const released = new Rows({ tenant: 'uuid', client: 'text', expiry: 'int8', expiresAt: 'timestamptz' });
  for (const { tenantId, clientId, release } of sessions) {
    if (release === undefined) continue;
    const { columns } = released.next();
    columns.tenant.uuid(tenantId);
    columns.client.text(clientId);
    columns.expiry.int8(release.expiryIntervalS);
    columns.expiresAt.time(release.expiresAt);
  }
  released.statement(
    statements,
    'release-sessions',
    `UPDATE sessions s SET process_id = NULL, expiry_interval_s = k.expiry, expires_at = k.expires_at
     FROM ${placed(
       'sessions',
       'unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[]) AS k (tenant_id, client_id, expiry, expires_at)',
       ofSession,
     )} WHERE s.ctid = k.place`,
  );
}

function retain(statements: Statement[], retained: Effects['retained']): void {
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

function keepWills(statements: Statement[], wills: Batch['wills'], processId: string): void {
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

function insertTelemetry(readings: readonly TelemetryWrite[]): Statement {
  const count = readings.length;
  const tenants = new Column('uuid', count * 20);
  const devices = new Column('uuid', count * 20);
  const receivedAt = new Column('timestamptz', count * 12);
  const observed = new Column('timestamptz', count * 12);
  const topics = new Column('text', count * 40);
  const bodies = new Column('jsonb', count * 120);
  const raws = new Column('bytea', count * 4);
  const qualities = new Column('int2', count * 6);
  for (const { reading, asBytes } of readings) {
    const { principal, message, timeField } = reading;
    tenants.uuid(principal.tenantId);
    devices.uuid(principal.deviceId);
    receivedAt.time(message.receivedAt);
    topics.text(message.topic);
    qualities.int2(message.qos);
    const body = asBytes ? undefined : parseJsonBody(message.payload);
    observed.time(body && timeField !== undefined ? observedAt(body.value, timeField) : undefined);
    if (body === undefined) {
      bodies.null();
      raws.bytes(message.payload);
    } else {
      bodies.json(message.payload);
      raws.null();
    }
  }
  return {
    name: 'insert-telemetry',
    text: `INSERT INTO telemetry (tenant_id, device_id, received_at, observed_at, topic, body, raw, qos)
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::jsonb[], $7::bytea[], $8::int2[])`,
    values: finish(tenants, devices, receivedAt, observed, topics, bodies, raws, qualities),
  };
}

/** Every event is history, with its number among its device's; the current state follows those whose turn it is. */
function followPresence(statements: Statement[], effects: Effects, processId: string): void {
  const events = new Rows({
    tenant: 'uuid',
    device: 'uuid',
    client: 'text',
    at: 'timestamptz',
    epoch: 'int8',
    state: 'text',
    cause: 'text',
    detail: 'jsonb',
    will: 'bytea',
    isInTurn: 'boolean',
  });
  for (const { event, isInTurn } of effects.presence) {
    const { principal, epoch, state, cause, at, detail, will } = event;
    const { columns } = events.next();
    columns.tenant.uuid(principal.tenantId);
    columns.device.uuid(principal.deviceId);
    columns.client.text(principal.clientId);
    columns.at.time(at);
    columns.epoch.int8(epoch);
    columns.state.text(state);
    columns.cause.text(cause);
    columns.detail.json(toJson(will === undefined ? detail : { ...detail, willTopic: will.topic }));
    if (will === undefined) columns.will.null();
    else columns.will.bytes(will.payload);
    columns.isInTurn.boolean(isInTurn);
  }
  events.statement(
    statements,
    'presence',
    `WITH k AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::int8[], $6::text[], $7::text[],
         $8::jsonb[], $9::bytea[], $10::bool[]) WITH ORDINALITY
         AS k (tenant_id, device_id, client_id, at, epoch, state, cause, detail, will, in_turn, place)),
       counted AS (INSERT INTO device_presence AS d (tenant_id, device_id, sequence)
         SELECT tenant_id, device_id, count(*) FROM k GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT (tenant_id, device_id) DO UPDATE SET sequence = d.sequence + excluded.sequence
         RETURNING tenant_id, device_id, sequence),
       judged AS MATERIALIZED (SELECT k.*, k.in_turn AND coalesce(p.is_in_turn, true) AS applied,
           c.sequence + 1 - row_number() OVER (PARTITION BY k.tenant_id, k.device_id ORDER BY k.place DESC) AS sequence
         FROM k JOIN counted c ON c.tenant_id = k.tenant_id AND c.device_id = k.device_id
         LEFT JOIN LATERAL (SELECT ${turnInStore('r', 'k')} AS is_in_turn FROM presence r
           WHERE r.tenant_id = k.tenant_id AND r.client_id = k.client_id OFFSET 0) AS p ON true),
       history AS (INSERT INTO presence_events (tenant_id, device_id, client_id, at, epoch, state, cause, detail, will, sequence, applied)
         SELECT tenant_id, device_id, client_id, at, epoch, state, cause, detail, will, sequence, applied FROM judged ORDER BY place)
     INSERT INTO presence AS p (tenant_id, device_id, client_id, since, epoch, state, cause, detail, will, sequence, process_id)
     SELECT DISTINCT ON (tenant_id, client_id) tenant_id, device_id, client_id, at, epoch, state, cause, detail, will, sequence, $11::uuid
     FROM judged WHERE applied ORDER BY tenant_id, client_id, place DESC
     ON CONFLICT (tenant_id, client_id) DO UPDATE SET device_id = excluded.device_id, since = excluded.since, epoch = excluded.epoch,
       state = excluded.state, cause = excluded.cause, detail = excluded.detail, will = excluded.will, sequence = excluded.sequence,
       process_id = excluded.process_id
     WHERE ${turnInStore('p', 'excluded')}`,
    processId,
  );
  const devices = new Rows({ tenant: 'uuid', device: 'uuid' });
  for (const { principal } of new Map(
    effects.presence.map(({ event }) => [event.principal.deviceId, event]),
  ).values()) {
    const { columns } = devices.next();
    columns.tenant.uuid(principal.tenantId);
    columns.device.uuid(principal.deviceId);
  }
  devices.statement(
    statements,
    'announce-presence',
    announcePresence('unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, device_id)'),
  );
}

function countDenials(denials: readonly DenialCount[]): Statement {
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

// --------------------------------------------------------------------------------------------------------------- columns

type ColumnType = ConstructorParameters<typeof Column>[0];

/** Named columns that become the parameters $1, $2, … of one statement, in the order of their declaration. */
class Rows<Shape extends Readonly<Record<string, ColumnType>>> {
  readonly columns: { readonly [Name in keyof Shape]: Column };
  #count = 0;

  constructor(shape: Shape) {
    this.columns = Object.fromEntries(
      Object.entries(shape).map(([name, type]) => [name, new Column(type)]),
    ) as { [Name in keyof Shape]: Column };
  }

  /** Announces one more row. */
  next(): this {
    this.#count += 1;
    return this;
  }

  finish(): Buffer[] {
    return Object.values<Column>(this.columns).map((column) => column.finish());
  }

  /** Adds the statement where there is a row for it. */
  statement(statements: Statement[], name: string, text: string, ...more: string[]): void {
    if (this.#count > 0) statements.push({ name, text, values: [...this.finish(), ...more] });
  }
}

function finish(...columns: readonly Column[]): Buffer[] {
  return columns.map((column) => column.finish());
}

function keys(rows: readonly { readonly tenantId: string; readonly clientId: string }[]): Buffer[] {
  const tenants = new Column('uuid');
  const clients = new Column('text');
  for (const { tenantId, clientId } of rows) {
    tenants.uuid(tenantId);
    clients.text(clientId);
  }
  return finish(tenants, clients);
}
