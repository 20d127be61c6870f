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

export class PostgresJournal implements Journal {
  readonly #writer: Writer;
  #denials = new Map<string, DenialCount>();
  #kindsOfTenant = new Map<TenantId, number>();
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
    const note = quoted(given);
    const full = this.#isCrowded(note.tenantId);
    const key = full ? crowdKey(note) : kindKey(note);
    const known = this.#denials.get(key);
    if (known !== undefined) {
      known.count += note.count ?? 1;
      known.lastAt = Math.max(known.lastAt, note.at);
      return;
    }
    // Nothing is kept for a writer that cannot keep up: the count of what is lost says so.
    if (this.#denials.size >= maxKinds || this.#writer.isFull) {
      this.#dropped += 1;
      return;
    }
    this.#denials.set(key, full ? crowdOf(note, key) : kindOf(note, key));
    this.#kindsOfTenant.set(note.tenantId, (this.#kindsOfTenant.get(note.tenantId) ?? 0) + 1);
    this.#timer ??= setTimeout(() => this.#submitDenials(), gatherMs);
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

  #isCrowded(tenantId: TenantId): boolean {
    return (this.#kindsOfTenant.get(tenantId) ?? 0) >= maxKindsPerTenant;
  }

  #submitDenials(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#denials.size === 0) return;
    const denials = [...this.#denials.values()];
    for (const { tenantId } of denials) this.#deniedTenants.add(tenantId);
    this.#denials = new Map();
    this.#kindsOfTenant = new Map();
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

function crowdKey({ tenantId, action, reason }: DenialNote): string {
  return JSON.stringify([tenantId, action, reason.name]);
}

function crowdOf({ tenantId, action, reason, at, count = 1 }: DenialNote, key: string): DenialCount {
  return {
    tenantId,
    key: hash(key),
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
    count,
  };
}

function hash(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
