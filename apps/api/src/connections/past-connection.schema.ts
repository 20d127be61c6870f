import { z } from 'zod';
import type { PastConnection } from '#store';
import { pageQuery } from '../http/paging.js';

export const pastConnectionQuery = z.strictObject(pageQuery);

const facts = {
  address: z.string().nullable(),
  transport: z.string().nullable(),
  tls: z.string().nullable().describe('TLSv1.2 or TLSv1.3; null: without TLS'),
  protocol: z.int().nullable().describe('3, 4 (3.1.1) or 5'),
  username: z.string().nullable(),
  credentialId: z.string().nullable().describe('The credential it signed in with'),
  certificateCredentialId: z
    .string()
    .nullable()
    .describe('The credential of its certificate, where that was asked for beside another one'),
  keepAliveS: z.int().nullable(),
  sessionExpiryS: z.int().nullable(),
};

/** Of MQTT, without what TLS and WebSocket add; counted by the broker, and told when the connection ends. */
const traffic = {
  bytesReceived: z.int().nullable().describe('From the device; null until the connection has ended'),
  bytesSent: z.int().nullable(),
  messagesReceived: z.int().nullable().describe('PUBLISH packets from the device, refused ones included'),
  messagesSent: z.int().nullable().describe('PUBLISH packets to the device, repeated ones included'),
};

export const pastConnectionView = z
  .object({
    clientId: z.string(),
    from: z.iso.datetime(),
    until: z.iso.datetime().nullable().describe('Null: it has not ended'),
    cause: z.string().nullable().describe('Why it ended'),
    reason: z.string().nullable().describe("The name of MQTT 5.0's reason code with which it ended"),
    ...facts,
    ...traffic,
  })
  .meta({ id: 'PastConnection' });

/** What an older version has written may lack some of it. */
const stored = z.object(facts).partial().catch({});
const ending = z
  .object({ reason: z.string(), ...traffic })
  .partial()
  .catch({});

export function presentPastConnection(row: PastConnection): z.input<typeof pastConnectionView> {
  const { clientId, from, until, cause } = row;
  const told = stored.parse(row.detail);
  const end = ending.parse(row.ending ?? {});
  return {
    clientId,
    from: from.toISOString(),
    until: until?.toISOString() ?? null,
    cause,
    reason: end.reason ?? null,
    address: told.address ?? null,
    transport: told.transport ?? null,
    tls: told.tls ?? null,
    protocol: told.protocol ?? null,
    username: told.username ?? null,
    credentialId: told.credentialId ?? null,
    certificateCredentialId: told.certificateCredentialId ?? null,
    keepAliveS: told.keepAliveS ?? null,
    sessionExpiryS: told.sessionExpiryS ?? null,
    bytesReceived: end.bytesReceived ?? null,
    bytesSent: end.bytesSent ?? null,
    messagesReceived: end.messagesReceived ?? null,
    messagesSent: end.messagesSent ?? null,
  };
}
