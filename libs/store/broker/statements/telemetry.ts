import { Column } from '../columns.js';
import { observedAt, parseJsonBody } from '../../json-body.js';
import type { TelemetryWrite } from '../writes.js';
import { type Statement, finish } from './statement.js';

export function insertTelemetry(readings: readonly TelemetryWrite[]): Statement {
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
