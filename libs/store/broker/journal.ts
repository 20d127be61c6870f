/** The Journal in PostgreSQL: readings and presence go through the writer; denials are counted here first. */
import { createHash } from 'node:crypto';

import type { DenialNote, Journal, PresenceEvent, Reading, Stored, TenantId } from '#mqtt';

import type { Writer } from './writer.js';
import type { DenialCount } from './writes.js';

// Within this time what is refused again is one row's count; it is also how late a denial is seen.
const gatherMs = 250;
// Kinds of denials of one tenant in that time; what is beyond is counted under its action and reason alone.
const maxKindsPerTenant = 100;
const maxKinds = 5_000;
// Of what a denial quotes, in characters: as long as topics are by default.
const mostQuoted = 1_024;

/** Of one tenant. */
interface Denials {
  readonly kinds: Map<string, DenialCount>;
  /** What is counted together: one for each action and reason. */
  readonly crowds: DenialCount[];
}

export class PostgresJournal implements Journal {
  readonly #writer: Writer;
  #denials = new Map<TenantId, Denials>();
  #kept = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #deniedTenants = new Set<TenantId>();
  #dropped = 0;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  telemetry(reading: Reading, stored: Stored): void {
    this.#writer.submit({ kind: 'telemetry', reading, asBytes: false, stored });
  }

  presence(event: PresenceEvent): void {
    this.#writer.submit({ kind: 'presence', event, stored: undefined });
  }

  denied(given: DenialNote): void {
    const ofTenant = this.#ofTenant(given.tenantId);
    const { kinds } = ofTenant;
    // Ten thousand are made in one go by a policy that takes a right from everybody: what is counted together is made no key of.
    if (kinds.size >= maxKindsPerTenant) return this.#deniedToCrowd(ofTenant, given);
    const note = quoted(given);
    const key = kindKey(note);
    const known = kinds.get(key);
    if (known !== undefined) count(known, note);
    else if (this.#mayKeepOne()) kinds.set(key, kindOf(note, key));
  }

  #deniedToCrowd({ crowds }: Denials, note: DenialNote): void {
    const known = crowds.find(({ action, reason }) => action === note.action && reason === note.reason.name);
    if (known !== undefined) count(known, note);
    else if (this.#mayKeepOne()) crowds.push(crowdOf(note));
  }

  #ofTenant(tenantId: TenantId): Denials {
    let denials = this.#denials.get(tenantId);
    if (denials === undefined) this.#denials.set(tenantId, (denials = { kinds: new Map(), crowds: [] }));
    return denials;
  }

  /** Nothing is kept for a writer that cannot keep up: the count of what is lost says so. */
  #mayKeepOne(): boolean {
    const isFull = this.#kept >= maxKinds || this.#writer.isFull;
    if (isFull) this.#dropped += 1;
    else this.#kept += 1;
    this.#timer ??= setTimeout(() => this.#submitDenials(), gatherMs);
    return !isFull;
  }

  /** Denials that were not recorded. */
  get droppedDenials(): number {
    return this.#dropped;
  }

  /** Tenants whose denials have grown since this was asked last. */
  takeDeniedTenants(): TenantId[] {
    const tenants = [...this.#deniedTenants];
    this.#deniedTenants.clear();
    return tenants;
  }

  /** Resolves when all that was given to the writer, and the denials gathered here, are committed or have failed. */
  flush(): Promise<void> {
    this.#submitDenials();
    return this.#writer.flush();
  }

  /** What is not committed by now fails. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writer.close();
  }

  #submitDenials(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const denials = Array.from(this.#denials.values()).flatMap(({ kinds, crowds }) => [
      ...kinds.values(),
      ...crowds,
    ]);
    this.#denials = new Map();
    this.#kept = 0;
    if (denials.length === 0) return;
    for (const { tenantId } of denials) this.#deniedTenants.add(tenantId);
    this.#writer.submit({ kind: 'denials', denials, stored: undefined });
  }
}

/** Strangers choose how long a username or topic is that they are refused for. */
function quoted(note: DenialNote): DenialNote {
  const { clientId, username, topic, detail } = note;
  const longest = Math.max(clientId.length, username.length, topic.length, detail.length);
  if (longest <= mostQuoted) return note;
  const cut = (text: string): string => (text.length <= mostQuoted ? text : `${text.slice(0, mostQuoted)}…`);
  return {
    ...note,
    clientId: cut(clientId),
    username: cut(username),
    topic: cut(topic),
    detail: cut(detail),
  };
}

function kindKey(note: DenialNote): string {
  const { tenantId, deviceId, clientId, username, remoteAddress, action, topic, reason, detail } = note;
  return JSON.stringify([
    tenantId,
    deviceId ?? '',
    clientId,
    username,
    remoteAddress,
    action,
    topic,
    reason.name,
    detail,
  ]);
}

function kindOf(note: DenialNote, key: string): DenialCount {
  const { tenantId, deviceId, clientId, username, remoteAddress, action, topic, reason, detail, at } = note;
  return {
    tenantId,
    key: hash(key),
    deviceId,
    clientId,
    username,
    remoteAddress,
    action,
    topic,
    reason: reason.name,
    detail,
    firstAt: at,
    lastAt: at,
    count: note.count ?? 1,
  };
}

function crowdOf({ tenantId, action, reason, at, count: times = 1 }: DenialNote): DenialCount {
  return {
    tenantId,
    key: hash(JSON.stringify([tenantId, action, reason.name])),
    deviceId: undefined,
    clientId: '',
    username: '',
    remoteAddress: '',
    action,
    topic: '',
    reason: reason.name,
    detail: 'many different ones in a short time, counted together',
    firstAt: at,
    lastAt: at,
    count: times,
  };
}

function count(known: DenialCount, { at, count: times = 1 }: DenialNote): void {
  known.count += times;
  known.lastAt = Math.max(known.lastAt, at);
}

function hash(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
