import { z } from 'zod';
import type { Presence, PresenceEvent } from '#store';
import { pageQuery } from '../http/paging.js';

const state = z.enum(['online', 'offline']);

export const presenceQuery = z.strictObject({
  ...pageQuery,
  state: state.optional(),
  device: z.uuid().optional(),
});
export const presenceHistoryQuery = z.strictObject(pageQuery);

const will = z.base64().nullable().describe('Payload of the will that this end set off');
const detail = z.unknown().describe('Address, transport, protocol; at the end the reason');
const cause = z
  .string()
  .describe('connected, clean, will, keep-alive, network, kicked, taken-over, presumed …');

export const presenceView = z
  .object({
    clientId: z.string(),
    deviceId: z.uuid(),
    state,
    cause,
    since: z.iso.datetime(),
    epoch: z.string().describe('Grows with every connection of the client'),
    detail,
    will,
  })
  .meta({ id: 'Presence' });

export const presenceEventView = z
  .object({
    id: z.string(),
    clientId: z.string(),
    deviceId: z.uuid(),
    state,
    cause,
    at: z.iso.datetime(),
    epoch: z.string(),
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
    detail: row.detail,
    will: base64(row.will),
  };
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('base64');
}
