import { z } from 'zod';
import type { SessionRow } from '#store';
import { pageQuery } from '../http/paging.js';
import type { SessionDetail } from './session.service.js';

export const sessionQuery = z.strictObject({
  ...pageQuery,
  device: z.uuid().optional(),
  online: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
});

const session = {
  clientId: z.string(),
  deviceId: z.uuid(),
  online: z.boolean(),
  since: z.iso.datetime().nullable().describe('Online, or away, since then'),
  connection: z.unknown().describe('Address, transport, protocol …; of the last connection where it is away'),
  durable: z.boolean().describe('It outlives its connection'),
  expiryIntervalS: z.int().nullable(),
  expiresAt: z.iso.datetime().nullable().describe('Set while away'),
  createdAt: z.iso.datetime().nullable().describe('Of a durable session'),
  queuedMessages: z.int(),
} as const;

export const sessionView = z.object(session).meta({ id: 'Session' });

export const sessionDetailView = z
  .object({
    ...session,
    queuedBytes: z.int(),
    subscriptions: z
      .array(
        z.object({
          filter: z.string(),
          qos: z.int(),
          noLocal: z.boolean(),
          retainAsPublished: z.boolean(),
          retainHandling: z.int(),
          subscriptionId: z.int().nullable(),
        }),
      )
      .describe('The first 1 000'),
    isComplete: z
      .boolean()
      .describe(
        'False: it has more subscriptions, or the broker process that knows them did not answer in time',
      ),
  })
  .meta({ id: 'SessionDetail' });

export function presentSession(row: SessionRow): z.input<typeof sessionView> {
  return {
    clientId: row.clientId,
    deviceId: row.deviceId,
    online: row.online,
    since: row.since?.toISOString() ?? null,
    connection: row.detail,
    durable: row.durable,
    expiryIntervalS: row.expiryIntervalS === null ? null : Number(row.expiryIntervalS),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    createdAt: row.createdAt?.toISOString() ?? null,
    queuedMessages: Number(row.queuedMessages),
  };
}

export function presentSessionDetail({
  session,
  subscriptions,
  isComplete,
  queuedBytes,
}: SessionDetail): z.input<typeof sessionDetailView> {
  return {
    ...presentSession(session),
    queuedBytes,
    isComplete,
    // The Subscription Options byte (MQTT 5.0, 3.8.3.1).
    subscriptions: subscriptions.map(({ filter, options, subscriptionId }) => ({
      filter,
      qos: options & 0b11,
      noLocal: (options & 0b100) !== 0,
      retainAsPublished: (options & 0b1000) !== 0,
      retainHandling: (options >> 4) & 0b11,
      subscriptionId,
    })),
  };
}
