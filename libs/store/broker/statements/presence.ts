import type { Effects } from '../batch.js';
import { announcePresence } from '../news-channels.js';
import { turnInStore } from '../presence-machine.js';
import { toJson } from '../rows.js';
import { Rows, type Statement } from './statement.js';

/**
 * Every event is history, with its number among its device's; the current state follows those whose turn it is.
 *
 * The devices' new numbers come back as rows, and are found again as an array, by the device's place among them: to join the two, PostgreSQL
 * would go through all devices for each event (`steadyPlans` leaves it no hash), 1.8 s for two thousand devices that come at once and 0.3 so.
 */
export function followPresence(statements: Statement[], effects: Effects, processId: string): void {
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
           (SELECT array_agg(sequence ORDER BY tenant_id, device_id) FROM counted)[dense_rank() OVER (ORDER BY k.tenant_id, k.device_id)]
             + 1 - row_number() OVER (PARTITION BY k.tenant_id, k.device_id ORDER BY k.place DESC) AS sequence
         FROM k LEFT JOIN LATERAL (SELECT ${turnInStore('r', 'k')} AS is_in_turn FROM presence r
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
