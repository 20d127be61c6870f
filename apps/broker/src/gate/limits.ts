import { z } from 'zod';

import { defaultLimits, type Limits } from '#mqtt';

const count = z.int().min(0);
const atLeastOne = z.int().min(1);
/** What a two-byte property of MQTT 5.0 can say, where 0 is not allowed. */
const twoBytes = z.int().min(1).max(65_535);

/** What a tenant's override may be. The bounds are those of the protocol. */
const overrides: Readonly<Record<keyof Limits, z.ZodType<number>>> = {
  maxPacketBytes: z.int().min(1_024).max(268_435_460),
  maxTopicBytes: z.int().min(1).max(65_535),
  maxTopicLevels: atLeastOne,
  maxClientIdBytes: z.int().min(23).max(65_535), // a server must take 23 (MQTT-3.1.3-5)
  maxUserProperties: count,
  maxSubscriptionsPerSession: count,
  maxSubscriptionsPerPacket: atLeastOne,
  receiveMaximum: twoBytes,
  maxInFlight: twoBytes,
  topicAliasMaximum: z.int().min(0).max(65_535),
  maxOutboundTopicAliases: z.int().min(0).max(65_535),
  maxQueuedMessages: count,
  maxQueuedBytes: count,
  maxOutboxBytes: z.int().min(1_024),
  maxKeepAliveS: z.int().min(0).max(65_535),
  maxSessionExpiryS: z.int().min(0).max(0xffff_ffff),
  maxConnections: count,
  maxSessions: count,
  maxTakeovers: count,
  maxRetainedMessages: count,
  maxRetainedBytes: count,
  publishRate: count,
  publishBytesRate: count,
};

interface Effective {
  readonly limits: Limits;
  /** Overrides that cannot be used: the default is in force. */
  readonly unusable: readonly string[];
}

/** Limits of a tenant that are the api's to keep (tenant.schema.ts). */
const notOurs: ReadonlySet<string> = new Set(['maxDevices']);

const maxRemembered = 10_000;

/** The defaults with a tenant's overrides in place: read once, and one object for all connections that have the same. */
export class TenantLimits {
  readonly #known = new Map<string, Effective>();

  of(stored: unknown): Effective {
    const text = JSON.stringify(stored ?? null);
    let effective = this.#known.get(text);
    if (effective === undefined) {
      if (this.#known.size >= maxRemembered) this.#known.clear();
      this.#known.set(text, (effective = limitsWith(stored)));
    }
    return effective;
  }
}

function limitsWith(stored: unknown): Effective {
  const entries = Object.entries(typeof stored === 'object' && stored !== null ? stored : {});
  if (entries.length === 0) return { limits: defaultLimits, unusable: [] };
  const limits: Record<keyof Limits, number> = { ...defaultLimits };
  const unusable: string[] = [];
  for (const [name, value] of entries) {
    if (notOurs.has(name)) continue;
    const parsed = isLimit(name) ? overrides[name].safeParse(value) : undefined;
    if (isLimit(name) && parsed?.success) limits[name] = parsed.data;
    else unusable.push(name);
  }
  return { limits: Object.freeze(limits), unusable };
}

function isLimit(name: string): name is keyof Limits {
  return Object.hasOwn(overrides, name);
}
