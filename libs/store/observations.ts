/**
 * What devices do and which rules let them: what unused grants and suggested policies are found by. Told by decisions that no
 * cache had, so at most once a topic and connection; written once a day for the same, in batches, and bounded for each device. It is
 * for people: what is lost with a process is noted again by the next one.
 */
import type { Pool } from 'pg';

import type { RuleName } from '#mqtt';

import { withStoreErrors } from './errors.js';

export interface Observation {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly clientId: string;
  readonly username: string;
  readonly action: 'publish' | 'subscribe';
  readonly topic: string;
  /** That allowed it; undefined: none did by itself. */
  readonly rule: RuleName | undefined;
  readonly at: number;
}

const writeEveryMs = 5_000;
/** Waiting to be written; what comes beyond is noted another time. */
const mostWaiting = 20_000;
/** Known to have been written today; and what their keys may take, for one tenant's long topics are everybody's memory. */
const mostKnown = 100_000;
const mostKnownCharacters = 16_000_000;
/** An index of PostgreSQL's holds no more than 2 700; rules cannot name longer ones either. */
const mostTopicBytes = 1_024;
export const mostTopicsOfDevice = 500;
const dayMs = 86_400_000;

export class Observations {
  readonly #pool: Pool;
  readonly #onError: (error: unknown) => void;
  #waiting: Observation[] = [];
  /** Of this day. */
  #known = new Set<string>();
  #knownCharacters = 0;
  #day = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#onError = onError;
  }

  note(observation: Observation): void {
    const { deviceId, action, topic, rule, at } = observation;
    const day = Math.floor(at / dayMs);
    if (day !== this.#day || this.#known.size >= mostKnown || this.#knownCharacters >= mostKnownCharacters) {
      this.#known = new Set();
      this.#knownCharacters = 0;
    }
    this.#day = day;
    const key = `${deviceId} ${action} ${rule?.policyId} ${rule?.version} ${rule?.rule} ${topic}`;
    if (this.#known.has(key) || this.#waiting.length >= mostWaiting) return;
    if (topic.length * 3 > mostTopicBytes && Buffer.byteLength(topic) > mostTopicBytes) return;
    this.#known.add(key);
    this.#knownCharacters += key.length;
    this.#waiting.push(observation);
    this.#timer ??= setTimeout(() => void this.write(), writeEveryMs).unref();
  }

  async write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const seen = this.#waiting;
    this.#waiting = [];
    if (seen.length === 0) return;
    // In the order of their keys: two processes that write the same rows must not wait for each other.
    const topics = latest(seen, ({ deviceId, action, topic }) => `${deviceId} ${action} ${topic}`);
    const rules = latest(seen, ({ tenantId, rule }) =>
      rule === undefined ? undefined : `${tenantId} ${rule.policyId} ${rule.version} ${rule.rule}`,
    );
    try {
      await withStoreErrors(async () => {
        await this.#pool.query(writeTopics, [
          topics.map((one) => one.tenantId),
          topics.map((one) => one.deviceId),
          topics.map((one) => one.action),
          topics.map((one) => one.topic),
          topics.map((one) => one.clientId),
          topics.map((one) => one.username),
          topics.map((one) => new Date(one.at)),
          mostTopicsOfDevice,
        ]);
        await this.#pool.query(writeRules, [
          rules.map((one) => one.tenantId),
          rules.map((one) => one.rule?.policyId),
          rules.map((one) => one.rule?.version),
          rules.map((one) => one.rule?.rule),
          rules.map((one) => new Date(one.at)),
        ]);
      });
    } catch (error) {
      // Safe to go on without: whoever does it tomorrow is noted tomorrow.
      this.#onError(error);
    }
  }
}

/** The last of each key, in the keys' order. */
function latest(
  seen: readonly Observation[],
  keyOf: (one: Observation) => string | undefined,
): Observation[] {
  const last = new Map<string, Observation>();
  for (const one of seen) {
    const key = keyOf(one);
    if (key !== undefined) last.set(key, one);
  }
  return Array.from(last)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, one]) => one);
}

// A device that has its number of topics keeps those it has: new ones are not noted until old ones are gone.
const writeTopics = `
  WITH seen AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
      AS seen (tenant_id, device_id, action, topic, client_id, username, at)),
  known AS (
    UPDATE observed_topics o SET last_at = s.at, client_id = s.client_id, username = s.username FROM seen s
     WHERE o.tenant_id = s.tenant_id AND o.device_id = s.device_id AND o.action = s.action AND o.topic = s.topic
    RETURNING o.tenant_id, o.device_id, o.action, o.topic)
  INSERT INTO observed_topics (tenant_id, device_id, action, topic, client_id, username, first_at, last_at)
  SELECT s.tenant_id, s.device_id, s.action, s.topic, s.client_id, s.username, s.at, s.at FROM (
      SELECT *, row_number() OVER (PARTITION BY tenant_id, device_id ORDER BY action, topic) AS place FROM seen
       WHERE (tenant_id, device_id, action, topic) NOT IN (SELECT * FROM known)) s
   WHERE s.place + (SELECT count(*) FROM observed_topics o WHERE o.tenant_id = s.tenant_id AND o.device_id = s.device_id) <= $8::int4
  ON CONFLICT DO NOTHING`;

const writeRules = `
  INSERT INTO rule_uses (tenant_id, policy_id, version, rule, last_at)
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::timestamptz[])
  ON CONFLICT (tenant_id, policy_id, version, rule) DO UPDATE SET last_at = greatest(rule_uses.last_at, excluded.last_at)`;
