import { z } from 'zod';
import type { PastConnection } from '#store';
import { pageQuery } from '../http/paging.js';

export const pastConnectionQuery = z.strictObject(pageQuery);

const facts = {
  address: z.string().nullable(),
  transport: z.string().nullable(),
  protocol: z.int().nullable().describe('3, 4 (3.1.1) or 5'),
  username: z.string().nullable(),
  keepAliveS: z.int().nullable(),
  sessionExpiryS: z.int().nullable(),
};

export const pastConnectionView = z
  .object({
    clientId: z.string(),
    from: z.iso.datetime(),
    until: z.iso.datetime().nullable().describe('Null: it has not ended'),
    cause: z.string().nullable().describe('Why it ended'),
    reason: z.string().nullable().describe("The name of MQTT 5.0's reason code with which it ended"),
    ...facts,
  })
  .meta({ id: 'PastConnection' });

/** What an older version has written may lack some of it. */
const stored = z.object(facts).partial().catch({});
const ending = z.object({ reason: z.string() }).partial().catch({});

export function presentPastConnection(row: PastConnection): z.input<typeof pastConnectionView> {
  const { clientId, from, until, cause } = row;
  const told = stored.parse(row.detail);
  return {
    clientId,
    from: from.toISOString(),
    until: until?.toISOString() ?? null,
    cause,
    reason: ending.parse(row.ending ?? {}).reason ?? null,
    address: told.address ?? null,
    transport: told.transport ?? null,
    protocol: told.protocol ?? null,
    username: told.username ?? null,
    keepAliveS: told.keepAliveS ?? null,
    sessionExpiryS: told.sessionExpiryS ?? null,
  };
}
