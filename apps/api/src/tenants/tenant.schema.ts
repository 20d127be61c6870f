import { z } from 'zod';
import type { Tenant } from '#store';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A DNS label, because it becomes one in SNI; never the form of an id, because a path may name either. */
const slug = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, '1 to 63 of a-z, 0-9 and -, not first or last a -')
  .refine((text) => !uuidForm.test(text), {
    message: 'Not in the form of an id.',
    params: { code: 'reserved' },
  });

const count = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
const atLeastOne = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const uint16 = z.int().min(1).max(65_535);
const bytes = z
  .int()
  .min(0)
  .max(2 ** 40);

/** What it is of, and how much where it is absent, which is the broker's to say: test/tenant-limits.spec.ts compares. */
function limit<T extends z.ZodType>(value: T, ofWhat: string, whenAbsent: number | 'none'): T {
  return value.describe(`${ofWhat}. Default: ${whenAbsent}`);
}

/**
 * Overrides of the broker's limits, by its names (libs/mqtt/limits.ts); what is absent stays as the installation has it. And how many
 * devices there may be: any number where that is absent.
 */
export const tenantLimits = z
  .strictObject({
    maxPacketBytes: limit(z.int().min(1_024).max(268_435_460), 'One packet', 1_048_576),
    maxTopicBytes: limit(uint16, 'A topic or filter', 1_024),
    maxTopicLevels: limit(atLeastOne, 'A topic or filter', 32),
    // A server must take 23 (MQTT-3.1.3-5).
    maxClientIdBytes: limit(z.int().min(23).max(65_535), 'A client identifier', 256),
    maxUserProperties: limit(count, 'In a packet', 64),
    maxSubscriptionsPerSession: limit(count, 'Of a session', 10_000),
    maxSubscriptionsPerPacket: limit(atLeastOne, 'In a SUBSCRIBE', 1_000),
    receiveMaximum: limit(uint16, 'QoS 1 and 2 messages that a client has unacknowledged', 1_000),
    maxInFlight: limit(
      uint16,
      'QoS 1 and 2 messages that the server has unacknowledged towards a client',
      1_000,
    ),
    topicAliasMaximum: limit(z.int().min(0).max(65_535), 'Topic aliases of a client', 100),
    maxOutboundTopicAliases: limit(z.int().min(0).max(65_535), 'Topic aliases towards a client', 32),
    maxQueuedMessages: limit(count, 'What waits for a session', 100_000),
    maxQueuedBytes: limit(bytes, 'What waits for a session', 67_108_864),
    maxOutboxBytes: limit(
      z
        .int()
        .min(1_024)
        .max(2 ** 31 - 1),
      'What waits for a socket',
      4_194_304,
    ),
    maxKeepAliveS: limit(
      z.int().min(0).max(65_535),
      'A longer keep-alive, or none, is replaced by this; 0: any is taken',
      0,
    ),
    maxSessionExpiryS: limit(
      z.int().min(0).max(0xffff_ffff),
      'A longer Session Expiry Interval is cut',
      2_592_000,
    ),
    maxConnections: limit(count, 'Of the tenant', 100_000),
    maxSessions: limit(count, 'Of the tenant: those that outlive their connection', 200_000),
    maxTakeovers: limit(count, 'Of one client identifier in a minute; 0: no limit', 20),
    maxRetainedMessages: limit(count, 'Of the tenant', 100_000),
    maxRetainedBytes: limit(bytes, 'Of the tenant', 268_435_456),
    publishRate: limit(count, 'Messages a second of one connection; 0: no limit', 0),
    publishBytesRate: limit(count, 'Bytes of payload a second of one connection; 0: no limit', 0),
    maxDevices: limit(count, 'Of the tenant', 'none'),
  })
  .partial()
  .meta({ id: 'TenantLimits' });

const tenantSettings = z
  .strictObject({
    publishDenied: z
      .enum(['acknowledge', 'close'])
      .describe('What a 3.x publisher without the right sees; 5.0 always gets 0x87'),
    partialCover: z
      .enum(['refuse', 'narrow'])
      .describe(
        'A subscription whose filter is allowed in part: refused, or granted and each delivery checked',
      ),
    signInGraceS: z
      .int()
      .min(0)
      .max(86_400)
      .describe(
        'How long devices that had signed in may sign in again with the rights of before while the database is away; 0, the default: not at all',
      ),
  })
  .partial()
  .meta({ id: 'TenantSettings' });

export const newTenant = z
  .strictObject({
    slug,
    name: displayName,
    limits: tenantLimits.default({}),
    settings: tenantSettings.default({}),
  })
  .meta({ id: 'NewTenant', example: { slug: 'clinics', name: 'Clinics' } });
export type NewTenantInput = z.output<typeof newTenant>;

/** JSON Merge Patch: a limit or setting of null goes back to the installation's. */
export const tenantPatch = z
  .strictObject({
    name: displayName,
    status: z
      .enum(['active', 'suspended'])
      .describe('Suspended: no device gets in, and those that are in are closed'),
    limits: nullable(tenantLimits),
    settings: nullable(tenantSettings),
  })
  .partial()
  .meta({ id: 'TenantPatch' });
export type TenantPatchInput = z.output<typeof tenantPatch>;

export const tenantQuery = z.strictObject(pageQuery);

export const tenantView = z
  .object({
    id: z.uuid(),
    slug: z.string(),
    name: z.string(),
    status: z.enum(['active', 'suspended']),
    limits: z.record(z.string(), z.unknown()),
    settings: z.record(z.string(), z.unknown()),
    ...stamps,
  })
  .meta({ id: 'Tenant' });

export function presentTenant(row: Tenant): z.input<typeof tenantView> {
  return {
    id: row.id,
    slug: row.slug,
    name: row.name,
    status: row.status === 'active' ? 'active' : 'suspended',
    limits: objectOf(row.limits),
    settings: objectOf(row.settings),
    ...presentStamps(row),
  };
}

/** The tenant's choice for a subscription whose filter is allowed in part. */
export function grantsInPart({ settings }: Pick<Tenant, 'settings'>): boolean {
  return objectOf(settings)['partialCover'] === 'narrow';
}

/** Undefined: any number. */
export function maxDevicesOf(tenant: Pick<Tenant, 'limits'> | null): number | undefined {
  const most = objectOf(tenant?.limits)['maxDevices'];
  return typeof most === 'number' ? most : undefined;
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** The same members, each of which may be null. */
function nullable<T extends z.ZodRawShape>(schema: z.ZodObject<T>) {
  const members = Object.entries(schema.shape).map(
    ([name, member]) => [name, z.nullable(member as z.ZodType)] as const,
  );
  return z.strictObject(Object.fromEntries(members));
}
