import { z } from 'zod';
import { isMqttText, isTopic } from '#access';
import type { RetainedRow } from '#store';
import { topicFilter } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true');

export const retainedQuery = z.strictObject({
  ...pageQuery,
  topic: topicFilter.optional(),
  payload: flag.describe('true: with body, raw and properties; pages may then be shorter'),
});

/** Everything is `#`, which is to be said: nothing is cleared by leaving something out. */
export const clearQuery = z.strictObject({
  topic: topicFilter,
  dryRun: flag.describe('true: count them, and clear none'),
});

/** One topic; a text that cannot be one names nothing. A message is found by it whatever the tenant's limit is now. */
export const retainedPath = z
  .string()
  .max(65_535)
  .refine((topic) => isTopic(topic) && isMqttText(topic));

const content = {
  body: z.unknown().describe('The payload, where it is JSON; null where it is not, or was not asked for'),
  raw: z.base64().nullable().describe('The payload, where it is not JSON; otherwise null'),
  properties: z
    .unknown()
    .describe(
      'As published with MQTT 5.0: payloadFormatIndicator, contentType, responseTopic, correlationData (base64), userProperties; null: none, or not asked for',
    ),
};

export const retainedView = z
  .object({
    topic: z.string(),
    qos: z.int(),
    payloadBytes: z.int(),
    receivedAt: z.iso.datetime().describe('When it was set'),
    publisher: z.string().describe('Client identifier of whoever set it, by a message or by its will'),
    expiresAt: z.iso.datetime().nullable(),
    hasContent: z.boolean().describe('false: body, raw and properties were not asked for'),
    ...content,
  })
  .meta({ id: 'RetainedMessage' });

export const clearingView = z
  .object({
    dryRun: z.boolean(),
    messages: z.int().describe('How many stood when it began; in a dry run: would be cleared'),
  })
  .meta({ id: 'RetainedClearing' });

export function presentRetained(row: RetainedRow): z.input<typeof retainedView> {
  const { topic, qos, payloadBytes, receivedAt, publisher, expiresAt, content: held } = row;
  return {
    topic,
    qos,
    payloadBytes,
    receivedAt: receivedAt.toISOString(),
    publisher,
    expiresAt: expiresAt?.toISOString() ?? null,
    hasContent: held !== undefined,
    body: held?.body ?? null,
    raw: held === undefined || held.raw === null ? null : Buffer.from(held.raw).toString('base64'),
    properties: held?.properties ?? null,
  };
}
