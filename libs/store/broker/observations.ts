/**
 * What devices do, and which rules allow it: from this, unused rules are found and policies suggested. A decision is noted when it is made
 * anew, not when it comes from a cache: at most once for a topic and connection. The same is written once a day, in batches, and only
 * so much of a device. It is for people: what is lost with a process is noted again by the next one.
 */
import type { Pool } from 'pg';

import type { RuleName } from '#mqtt';

import { withStoreErrors } from '../database/errors.js';

export interface Observation {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly clientId: string;
  readonly username: string;
  readonly action: 'publish' | 'subscribe';
  readonly topic: string;
  /** The rule that allowed it; undefined: no single one did. */
  readonly rule: RuleName | undefined;
  readonly at: number;
}

const writeEveryMs = 5_000;
/** How many wait to be written; what comes beyond that is noted another time. */
const mostWaiting = 20_000;
/**
 * How many go into one statement. Twenty thousand at once, as when ten thousand clients come back, kept the loop and PostgreSQL busy for
 * hundreds of milliseconds.
 */
const mostAtOnce = 500;
/** How many are remembered as written today; and how long their keys may be in all, for the memory is everybody's. */
const mostKnown = 100_000;
const mostKnownCharacters = 16_000_000;
/** An index of PostgreSQL's holds no more than 2 700; rules cannot name longer ones either. */
const mostTopicBytes = 1_024;
/** As many topics as are kept of a device; no more are noted in a day either, or a device with ten thousand would keep everybody busy. */
export const mostTopicsOfDevice = 500;
const dayMs = 86_400_000;

interface RuleUse extends RuleName {
  readonly tenantId: string;
  readonly at: number;
}

export class Observations {
  readonly #pool: Pool;
  readonly #onError: (error: unknown) => void;
  #topics: Observation[] = [];
  #rules: RuleUse[] = [];
  /** What has been noted today. A topic counts without its rule: after a change of policy the rules are new, and the topics are not. */
  #known = new Set<string>();
  #knownCharacters = 0;
  /** The rules among them, by the object that a compiled policy has for each: so a key is seldom made for a rule. */
  #usedRules = new WeakSet<RuleName>();
  /** How many topics of each device have been noted today. */
  #topicsOf = new Map<string, number>();
  #day = 0;
  #timer: NodeJS.Timeout | undefined;
  /** One after the other: two at once would wait for each other's rows. */
  #writing: Promise<void> = Promise.resolve();

  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#onError = onError;
  }

  note(observation: Observation): void {
    const { tenantId, deviceId, action, topic, rule, at } = observation;
    this.#begin(Math.floor(at / dayMs));
    if (rule !== undefined && !this.#usedRules.has(rule) && this.#rules.length < mostWaiting) {
      this.#usedRules.add(rule);
      if (this.#isNew(`${tenantId} ${rule.policyId} ${rule.version} ${rule.rule}`)) {
        this.#rules.push({ ...rule, tenantId, at });
        this.#schedule();
      }
    }
    if (this.#topics.length >= mostWaiting) return;
    if (topic.length * 3 > mostTopicBytes && Buffer.byteLength(topic) > mostTopicBytes) return;
    const ofDevice = this.#topicsOf.get(deviceId) ?? 0;
    if (ofDevice >= mostTopicsOfDevice || !this.#isNew(`${deviceId} ${action} ${topic}`)) return;
    this.#topicsOf.set(deviceId, ofDevice + 1);
    this.#topics.push(observation);
    this.#schedule();
  }

  #begin(day: number): void {
    if (day !== this.#day || this.#known.size >= mostKnown || this.#knownCharacters >= mostKnownCharacters) {
      this.#known = new Set();
      this.#knownCharacters = 0;
      this.#usedRules = new WeakSet();
      this.#topicsOf = new Map();
    }
    this.#day = day;
  }

  #isNew(key: string): boolean {
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    this.#knownCharacters += key.length;
    return true;
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => void this.write(), writeEveryMs).unref();
  }

  /** Resolves when all that was noted is written, or lost. */
  write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const topics = this.#topics;
    const rules = this.#rules;
    this.#topics = [];
    this.#rules = [];
    this.#writing = this.#writing.then(() => this.#write(topics, rules));
    return this.#writing;
  }

  async #write(topics: readonly Observation[], rules: readonly RuleUse[]): Promise<void> {
    try {
      for (let at = 0; at < topics.length; at += mostAtOnce)
        await this.#writeTopics(topics.slice(at, at + mostAtOnce));
      for (let at = 0; at < rules.length; at += mostAtOnce)
        await this.#writeRules(rules.slice(at, at + mostAtOnce));
    } catch (error) {
      // Safe to go on without: whoever does it tomorrow is noted tomorrow.
      this.#onError(error);
    }
  }

  async #writeTopics(seen: readonly Observation[]): Promise<void> {
    const topics = latest(seen, ({ deviceId, action, topic }) => `${deviceId} ${action} ${topic}`);
    await withStoreErrors(() =>
      this.#pool.query(writeTopics, [
        topics.map((one) => one.tenantId),
        topics.map((one) => one.deviceId),
        topics.map((one) => one.action),
        topics.map((one) => one.topic),
        topics.map((one) => one.clientId),
        topics.map((one) => one.username),
        topics.map((one) => new Date(one.at)),
        mostTopicsOfDevice,
      ]),
    );
  }

  async #writeRules(used: readonly RuleUse[]): Promise<void> {
    const rules = latest(used, (one) => `${one.tenantId} ${one.policyId} ${one.version} ${one.rule}`);
    await withStoreErrors(() =>
      this.#pool.query(writeRules, [
        rules.map((one) => one.tenantId),
        rules.map((one) => one.policyId),
        rules.map((one) => one.version),
        rules.map((one) => one.rule),
        rules.map((one) => new Date(one.at)),
      ]),
    );
  }
}

/** The last of each key, in the keys' order: two processes that write the same rows must not wait for each other. */
function latest<T>(seen: readonly T[], keyOf: (one: T) => string): T[] {
  const last = new Map<string, T>();
  for (const one of seen) last.set(keyOf(one), one);
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
