import { z } from 'zod';
import type { TelemetryRow } from '#store';
import { instant, topicFilter } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const timeWindow = {
  from: instant.optional().describe('Received at or after'),
  to: instant.optional().describe('Received before'),
  topic: topicFilter.optional(),
} as const;

export const telemetryQuery = z.strictObject({
  ...pageQuery,
  ...timeWindow,
  order: z.enum(['newest', 'oldest']).default('newest'),
});
export type TelemetryQueryInput = z.output<typeof telemetryQuery>;

export const telemetryCountQuery = z.strictObject({ ...timeWindow, device: z.uuid().optional() });
export const deviceTelemetryCountQuery = z.strictObject(timeWindow);

export const telemetryView = z
  .object({
    id: z.string(),
    deviceId: z.uuid(),
    receivedAt: z.iso.datetime(),
    observedAt: z.iso
      .datetime()
      .nullable()
      .describe("The device's own time, where its profile names the field"),
    topic: z.string(),
    body: z.unknown().describe('The payload, where it is JSON; null where it is not'),
    raw: z.base64().nullable().describe('The bytes of a payload that cannot be kept as JSON; otherwise null'),
    qos: z.int(),
  })
  .meta({ id: 'TelemetryReading' });

export const telemetryCountView = z
  .object({ count: z.int().describe('Exact up to 1 000 000, which means: that many or more') })
  .meta({ id: 'TelemetryCount' });

export function presentTelemetry(row: TelemetryRow): z.input<typeof telemetryView> {
  return {
    id: String(row.id),
    deviceId: row.deviceId,
    receivedAt: row.receivedAt.toISOString(),
    observedAt: row.observedAt?.toISOString() ?? null,
    topic: row.topic,
    body: row.body,
    raw: row.raw === null ? null : Buffer.from(row.raw).toString('base64'),
    qos: row.qos,
  };
}
