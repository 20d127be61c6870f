import { z } from 'zod';
import type { DevicePresence, Presence, PresenceEvent } from '#store';
import { instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const state = z.enum(['online', 'offline']);

export const presenceQuery = z.strictObject({
  ...pageQuery,
  state: state.optional(),
  device: z.uuid().optional(),
});

const deviceState = z
  .enum(['never-seen', 'online', 'offline', 'suspended'])
  .describe(
    'suspended: the device is disabled, or its tenant suspended; else online while one of its clients is',
  );

export const devicePresenceQuery = z.strictObject({ ...pageQuery, state: deviceState.optional() });
export const presenceHistoryQuery = z.strictObject({
  ...pageQuery,
  from: instant.optional().describe('At or after'),
  to: instant.optional().describe('Before'),
});
export type PresenceHistoryListing = z.output<typeof presenceHistoryQuery>;

const will = z.base64().nullable().describe('Payload of the will that this end set off');
const detail = z.unknown().describe('Address, transport, protocol; at the end the reason');
const cause = z
  .string()
  .describe('connected, clean, will, keep-alive, network, kicked, taken-over, presumed …');

const sequence = z.string().describe("Number among the device's presence events; it grows by one");

export const presenceView = z
  .object({
    clientId: z.string(),
    deviceId: z.uuid(),
    state,
    cause,
    since: z.iso.datetime(),
    epoch: z.string().describe('Grows with every connection of the client'),
    sequence,
    detail,
    will,
  })
  .meta({ id: 'Presence' });

export const devicePresenceView = z
  .object({
    deviceId: z.uuid(),
    device: z.string(),
    state: deviceState,
    cause: cause.nullable(),
    since: z.iso.datetime().nullable(),
    sequence,
    clients: z
      .array(z.object({ clientId: z.string(), state, cause, since: z.iso.datetime(), epoch: z.string() }))
      .readonly()
      .describe('The online ones first, the newest first; of many the first twenty'),
  })
  .meta({ id: 'DevicePresence' }) satisfies z.ZodType<DevicePresence>;

export const presenceEventView = z
  .object({
    id: z.string(),
    clientId: z.string(),
    deviceId: z.uuid(),
    state,
    cause,
    at: z.iso.datetime(),
    epoch: z.string(),
    sequence,
    applied: z.boolean().describe('false: it came late and changed nothing'),
    detail,
    will,
  })
  .meta({ id: 'PresenceEvent' });

export function presentPresence(row: Presence): z.input<typeof presenceView> {
  return {
    clientId: row.clientId,
    deviceId: row.deviceId,
    state: state.parse(row.state),
    cause: row.cause,
    since: row.since.toISOString(),
    epoch: String(row.epoch),
    sequence: String(row.sequence),
    detail: row.detail,
    will: base64(row.will),
  };
}

export function presentPresenceEvent(row: PresenceEvent): z.input<typeof presenceEventView> {
  return {
    id: String(row.id),
    clientId: row.clientId,
    deviceId: row.deviceId,
    state: state.parse(row.state),
    cause: row.cause,
    at: row.at.toISOString(),
    epoch: String(row.epoch),
    sequence: String(row.sequence),
    applied: row.applied,
    detail: row.detail,
    will: base64(row.will),
  };
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('base64');
}
