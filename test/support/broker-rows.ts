/** Rows as a broker would have written them, for tests of what is read back without one running. */
import { randomUUID } from 'node:crypto';
import { queryAsSuperuser } from './api.js';
import type { TestDatabase } from './postgres.js';

export interface ReadingRow {
  readonly at: string;
  readonly topic?: string;
  readonly body?: unknown;
  readonly raw?: Buffer;
}

export async function addReadings(
  database: TestDatabase,
  tenantId: string,
  deviceId: string,
  rows: readonly ReadingRow[],
): Promise<void> {
  for (const { at, topic = 'devices/d/telemetry', body, raw } of rows)
    await queryAsSuperuser(
      database,
      `INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, raw, qos) VALUES ($1, $2, $3, $4, $5, $6, 1)`,
      [tenantId, deviceId, at, topic, raw === undefined ? JSON.stringify(body ?? {}) : null, raw ?? null],
    );
}

export interface PresenceRow {
  readonly clientId: string;
  readonly state: 'online' | 'offline';
  readonly cause: string;
  readonly at: string;
  readonly will?: Buffer;
}

/** The current state and the event that led to it. */
export async function addPresence(
  database: TestDatabase,
  tenantId: string,
  deviceId: string,
  { clientId, state, cause, at, will }: PresenceRow,
): Promise<void> {
  await queryAsSuperuser(
    database,
    `INSERT INTO presence (tenant_id, client_id, device_id, epoch, state, cause, since, process_id, detail, will)
     VALUES ($1, $2, $3, 1, $4, $5, $6, $7, '{"transport":"tcp"}', $8)
     ON CONFLICT (tenant_id, client_id) DO UPDATE SET state = excluded.state, cause = excluded.cause,
       since = excluded.since, epoch = presence.epoch + 1, will = excluded.will`,
    [tenantId, clientId, deviceId, state, cause, at, randomUUID(), will ?? null],
  );
  await queryAsSuperuser(
    database,
    `INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause, will)
     VALUES ($1, $2, $3, $4, 1, $5, $6, $7)`,
    [tenantId, deviceId, at, clientId, state, cause, will ?? null],
  );
  await queryAsSuperuser(
    database,
    `INSERT INTO device_presence AS d (tenant_id, device_id, sequence) VALUES ($1, $2, 1)
     ON CONFLICT (tenant_id, device_id) DO UPDATE SET sequence = d.sequence + 1`,
    [tenantId, deviceId],
  );
}

/** A durable session that waits for its client, with messages in its queue. */
export async function addSession(
  database: TestDatabase,
  tenantId: string,
  deviceId: string,
  { clientId, queued }: { readonly clientId: string; readonly queued: readonly string[] },
): Promise<void> {
  await queryAsSuperuser(
    database,
    `INSERT INTO sessions (tenant_id, client_id, device_id, epoch, principal, expiry_interval_s, expires_at, queued_messages, queued_bytes)
     VALUES ($1, $2, $3, 1, '{}', 3600, now() + interval '1 hour', $4, $5)`,
    [tenantId, clientId, deviceId, queued.length, Buffer.byteLength(queued.join(''))],
  );
  await queryAsSuperuser(
    database,
    `INSERT INTO subscriptions (tenant_id, client_id, filter, options, subscription_id) VALUES ($1, $2, 'a/#', $3, 7)`,
    [tenantId, clientId, 0b01_1110],
  );
  for (const [index, payload] of queued.entries()) {
    const [message] = await queryAsSuperuser(
      database,
      `INSERT INTO queued_messages (tenant_id, id, topic, payload, publisher, received_at)
       SELECT $1, coalesce(max(id), 0) + 1, 'a/b', $2, 'somebody', now() FROM queued_messages RETURNING id`,
      [tenantId, Buffer.from(payload)],
    );
    await queryAsSuperuser(
      database,
      `INSERT INTO queue_entries (tenant_id, client_id, sequence, message_id, qos, retain, subscription_ids, bytes)
       VALUES ($1, $2, $3, $4, 1, false, '{}', $5)`,
      [tenantId, clientId, index + 1, message?.['id'], Buffer.byteLength(payload)],
    );
  }
}

export interface DenialRow {
  readonly clientId: string;
  readonly action: string;
  readonly topic?: string;
  readonly at: string;
  readonly deviceId?: string;
}

export async function addDenial(
  database: TestDatabase,
  tenantId: string,
  { clientId, action, topic = '', at, deviceId }: DenialRow,
): Promise<void> {
  await queryAsSuperuser(
    database,
    `INSERT INTO denials (tenant_id, key, device_id, client_id, username, address, action, topic, reason, detail, first_at, last_at)
     VALUES ($1, sha256($2::bytea), $3, $4, 'somebody@here', '127.0.0.1', $5, $6, 'not-authorized', 'no rule allows it', $7, $7)`,
    [tenantId, `${clientId} ${action} ${topic} ${at}`, deviceId ?? null, clientId, action, topic, at],
  );
}

export interface RetainedMessageRow {
  readonly topic: string;
  readonly payload?: Buffer;
  readonly at?: string;
  readonly expiresAt?: string;
  readonly properties?: object;
}

export async function addRetained(
  database: TestDatabase,
  tenantId: string,
  rows: readonly RetainedMessageRow[],
): Promise<void> {
  for (const { topic, payload = Buffer.from('{}'), at, expiresAt, properties } of rows)
    await queryAsSuperuser(
      database,
      `INSERT INTO retained_messages (tenant_id, topic, payload, qos, publisher, received_at, expires_at, properties)
       VALUES ($1, $2, $3, 1, 'somebody', coalesce($4, now()), $5, $6)`,
      [
        tenantId,
        topic,
        payload,
        at ?? null,
        expiresAt ?? null,
        properties === undefined ? null : JSON.stringify(properties),
      ],
    );
}
