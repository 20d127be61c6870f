import { z } from 'zod';
import type { Denial } from '#store';
import { instant } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const action = z.enum(['connect', 'publish', 'subscribe', 'receive']);

export const denialQuery = z.strictObject({
  ...pageQuery,
  device: z.uuid().optional(),
  clientId: z.string().max(1_024).optional(),
  action: action.optional(),
  since: instant.optional().describe('Happened, last, at or after'),
});

export const denialView = z
  .object({
    id: z.string(),
    deviceId: z.uuid().nullable(),
    clientId: z.string(),
    username: z.string(),
    address: z.string(),
    action,
    topic: z.string(),
    reason: z.string().describe("Stable: the name of MQTT 5.0's reason code"),
    detail: z.string().describe('The rule that decided, or why there was none'),
    firstAt: z.iso.datetime(),
    lastAt: z.iso.datetime(),
    count: z.string().describe('How often the same client was refused the same thing for the same reason'),
  })
  .meta({ id: 'Denial' });

export function presentDenial(row: Denial): z.input<typeof denialView> {
  return {
    id: String(row.id),
    deviceId: row.deviceId,
    clientId: row.clientId,
    username: row.username,
    address: row.address,
    action: action.parse(row.action),
    topic: row.topic,
    reason: row.reason,
    detail: row.detail,
    firstAt: row.firstAt.toISOString(),
    lastAt: row.lastAt.toISOString(),
    count: String(row.count),
  };
}
