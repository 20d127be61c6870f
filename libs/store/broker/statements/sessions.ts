import type { SessionWrites } from '../batch.js';
import { Column } from '../columns.js';
import { optionsByte, principalJson } from '../rows.js';
import { found, ofSession, placed } from './places.js';
import { deleteUnreferenced } from './queues.js';
import { Rows, type Statement, finish, keys } from './statement.js';

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
        expiry_interval_s = excluded.expiry_interval_s, expires_at = NULL,
        sent_to = CASE WHEN s.process_id IS NULL THEN s.sent_to END
      RETURNING tenant_id::text AS "tenantId", client_id AS "clientId", epoch::float8, (xmax <> 0) AS existed`,
    values: [...finish(tenants, clients, devices, epochs, principals, intervals), processId],
  };
}

/** What a session holds, for the claims of a batch and for a tenant that is opened. Its queue is counted as it changes, not here. */
export const sessionDetail = `
  s.tenant_id::text AS "tenantId", s.client_id AS "clientId", s.principal, s.epoch::float8, s.expiry_interval_s::float8 AS "expiryIntervalS",
  (extract(epoch FROM s.expires_at) * 1000)::float8 AS "expiresAt", s.process_id IS NOT NULL AS connected,
  s.next_sequence::float8 AS "nextSequence", s.sent_to::float8 AS "sentTo",
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

export function changeSubscriptions(statements: Statement[], sessions: readonly SessionWrites[]): void {
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

export function changeInbound(statements: Statement[], sessions: readonly SessionWrites[]): void {
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

export function releaseSessions(statements: Statement[], sessions: readonly SessionWrites[]): void {
  const released = new Rows({
    tenant: 'uuid',
    client: 'text',
    expiry: 'int8',
    expiresAt: 'timestamptz',
    sentTo: 'int8',
  });
  for (const { tenantId, clientId, release } of sessions) {
    if (release === undefined) continue;
    const { columns } = released.next();
    columns.tenant.uuid(tenantId);
    columns.client.text(clientId);
    columns.expiry.int8(release.expiryIntervalS);
    columns.expiresAt.time(release.expiresAt);
    columns.sentTo.int8(release.sentTo);
  }
  released.statement(
    statements,
    'release-sessions',
    `UPDATE sessions s SET process_id = NULL, expiry_interval_s = k.expiry, expires_at = k.expires_at, sent_to = k.sent_to
     FROM ${placed(
       'sessions',
       'unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[], $5::int8[]) AS k (tenant_id, client_id, expiry, expires_at, sent_to)',
       ofSession,
     )} WHERE s.ctid = k.place`,
  );
}

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

export function removeSessions(sessions: readonly SessionWrites[]): Statement {
  return {
    name: 'remove-sessions',
    text: `WITH ${wiped}, t AS (DELETE FROM sessions WHERE ${found('sessions', 'k', ofSession)})
      ${deleteUnreferenced}`,
    values: keys(sessions),
  };
}
