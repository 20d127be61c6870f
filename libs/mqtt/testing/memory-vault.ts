import type { Message, Subscription, Will } from '../message.js';
import type {
  ClaimedSession,
  ClientId,
  InboundPacket,
  Principal,
  QueuedMessage,
  QueueEntry,
  SessionKey,
  Stored,
  StoredSession,
  StoredWill,
  TenantId,
  TenantState,
  Vault,
} from '../ports.js';
import { MemoryStore } from './memory-store.js';

interface Entry {
  readonly entry: QueueEntry;
  readonly message: Message;
  released: boolean;
}

interface SessionRow {
  principal: Principal;
  epoch: number;
  expiryIntervalS: number;
  expiresAt: number | undefined;
  /** The vault, standing for its process, that holds the session; undefined: nobody is connected. */
  holder: MemoryVault | undefined;
  nextSequence: number;
  sentTo: number | undefined;
  readonly subscriptions: Map<string, Subscription>;
  readonly queue: Map<number, Entry>;
  readonly inbound: Set<number>;
}

interface WillRow extends StoredWill {
  readonly holder: MemoryVault;
}

interface TenantRows {
  readonly sessions: Map<ClientId, SessionRow>;
  readonly retained: Map<string, Message>;
  readonly wills: Map<ClientId, WillRow>;
}

type Rows = Map<TenantId, TenantRows>;

/** A real Vault whose disk is a Map. `reopen` is what the next process finds. */
export class MemoryVault implements Vault {
  readonly store: MemoryStore;
  readonly #rows: Rows;

  constructor(store: MemoryStore = new MemoryStore(), rows: Rows = new Map()) {
    this.store = store;
    this.#rows = rows;
  }

  /** The vault of a process that starts after this one was killed: what was not committed is lost. */
  reopen(store: MemoryStore = new MemoryStore()): MemoryVault {
    this.store.dropUncommitted();
    return new MemoryVault(store, this.#rows);
  }

  get isFull(): boolean {
    return this.store.isFull;
  }

  whenReady(callback: () => void): void {
    this.store.whenReady(callback);
  }

  flush(): Promise<void> {
    return this.store.flush();
  }

  async tenantsWithWork(): Promise<readonly TenantId[]> {
    this.#failIfDown();
    return [...this.#rows].filter(([, rows]) => this.#hasWork(rows)).map(([id]) => id);
  }

  #hasWork(rows: TenantRows): boolean {
    for (const will of rows.wills.values()) if (this.#isOrphan(will)) return true;
    for (const row of rows.sessions.values())
      if (row.expiresAt !== undefined || (row.holder !== undefined && row.holder !== this)) return true;
    return false;
  }

  #isOrphan(will: WillRow): boolean {
    return will.dueAt !== undefined || will.holder !== this;
  }

  async open(tenantId: TenantId): Promise<TenantState> {
    this.#failIfDown();
    const rows = this.#tenant(tenantId);
    return {
      lastEpoch: Math.max(
        0,
        ...[...rows.sessions.values(), ...rows.wills.values()].map(({ epoch }) => epoch),
      ),
      sessions: [...rows.sessions].map(([clientId, row]) => asStored(clientId, row)),
      retained: [...rows.retained.values()],
      wills: [...rows.wills.values()]
        .filter((row) => this.#isOrphan(row))
        .map(({ principal, epoch, will, dueAt }) => ({ principal, epoch, will, dueAt })),
    };
  }

  claim(
    principal: Principal,
    epoch: number,
    expiryIntervalS: number,
    cleanStart: boolean,
  ): Promise<ClaimedSession> {
    return new Promise((resolve, reject) => {
      let claimed: ClaimedSession | undefined;
      this.store.write(
        () => {
          claimed = this.#claim(principal, epoch, expiryIntervalS, cleanStart);
        },
        (error) => {
          if (claimed === undefined) reject(error ?? new Error('not claimed'));
          else resolve(claimed);
        },
      );
    });
  }

  #claim(principal: Principal, epoch: number, expiryIntervalS: number, cleanStart: boolean): ClaimedSession {
    const { sessions } = this.#tenant(principal.tenantId);
    const known = sessions.get(principal.clientId);
    const resumed = known !== undefined && !cleanStart;
    const row = resumed ? known : emptyRow(principal, known?.nextSequence ?? 1);
    row.principal = principal;
    row.epoch = Math.max(epoch, (known?.epoch ?? 0) + 1);
    row.expiryIntervalS = expiryIntervalS;
    row.expiresAt = undefined;
    if (row.holder !== undefined) row.sentTo = undefined;
    row.holder = this;
    sessions.set(principal.clientId, row);
    return { ...asStored(principal.clientId, row), resumed };
  }

  release(session: SessionKey, expiryIntervalS: number, expiresAt: number | undefined, sentTo: number): void {
    this.store.write(() => {
      const row = this.#tenant(session.tenantId).sessions.get(session.clientId);
      if (row === undefined) return;
      refuseStale(session, row.epoch);
      row.holder = undefined;
      row.expiryIntervalS = expiryIntervalS;
      row.expiresAt = expiresAt;
      row.sentTo = sentTo;
    }, undefined);
  }

  remove(session: SessionKey, stored?: Stored): void {
    this.store.write(() => {
      const { sessions } = this.#tenant(session.tenantId);
      const row = sessions.get(session.clientId);
      if (row === undefined) return;
      refuseStale(session, row.epoch);
      sessions.delete(session.clientId);
    }, stored);
  }

  subscribe(session: SessionKey, subscriptions: readonly Subscription[], stored: Stored): void {
    this.store.write(() => {
      const row = this.#session(session);
      for (const subscription of subscriptions) row.subscriptions.set(subscription.filter, subscription);
    }, stored);
  }

  unsubscribe(session: SessionKey, filters: readonly string[], stored: Stored): void {
    this.store.write(() => {
      const row = this.#session(session);
      for (const filter of filters) row.subscriptions.delete(filter);
    }, stored);
  }

  append(
    message: Message,
    entries: readonly QueueEntry[],
    inbound: InboundPacket | undefined,
    stored: Stored,
  ): void {
    this.store.write(() => {
      // All or nothing, as a transaction would: every epoch is looked at before the first row changes.
      const rows = entries.map(({ session }) => this.#sessionIfAny(session));
      const publisher = inbound && this.#session(inbound.session);
      entries.forEach((entry, i) => {
        const row = rows[i];
        if (row === undefined) return;
        row.queue.set(entry.sequence, { entry, message, released: false });
        row.nextSequence = Math.max(row.nextSequence, entry.sequence + 1);
      });
      if (inbound) publisher?.inbound.add(inbound.packetId);
    }, stored);
  }

  async read(
    session: SessionKey,
    fromSequence: number,
    maxMessages: number,
    maxBytes: number,
  ): Promise<readonly QueuedMessage[]> {
    this.#failIfDown();
    const row = this.#sessionIfAny(session);
    if (row === undefined) return [];
    const found: QueuedMessage[] = [];
    let bytes = 0;
    for (const [sequence, { entry, message, released }] of [...row.queue].sort(bySequence)) {
      if (sequence < fromSequence) continue;
      bytes += message.payload.length;
      if (found.length > 0 && (found.length >= maxMessages || bytes > maxBytes)) break;
      const { qos, retain, subscriptionIds } = entry;
      found.push({ sequence, qos, retain, subscriptionIds, released, message });
    }
    return found;
  }

  markReceived(session: SessionKey, sequence: number, stored: Stored): void {
    this.store.write(() => {
      const entry = this.#session(session).queue.get(sequence);
      if (entry) entry.released = true;
    }, stored);
  }

  settle(session: SessionKey, sequences: readonly number[]): void {
    this.store.write(() => {
      const row = this.#sessionIfAny(session);
      for (const sequence of sequences) row?.queue.delete(sequence);
    }, undefined);
  }

  forgetInbound(packet: InboundPacket, stored: Stored): void {
    this.store.write(() => {
      this.#sessionIfAny(packet.session)?.inbound.delete(packet.packetId);
    }, stored);
  }

  retain(tenantId: TenantId, message: Message, stored: Stored): void {
    this.store.write(() => {
      const { retained } = this.#tenant(tenantId);
      if (message.payload.length === 0) retained.delete(message.topic);
      else retained.set(message.topic, message);
    }, stored);
  }

  keepWill(
    principal: Principal,
    epoch: number,
    will: Will | undefined,
    dueAt: number | undefined,
    stored?: Stored,
  ): void {
    this.store.write(() => {
      const { wills } = this.#tenant(principal.tenantId);
      const known = wills.get(principal.clientId);
      if (known !== undefined) refuseStale({ ...principal, epoch }, known.epoch);
      if (will === undefined) wills.delete(principal.clientId);
      else wills.set(principal.clientId, { principal, epoch, will, dueAt, holder: this });
    }, stored);
  }

  #tenant(tenantId: TenantId): TenantRows {
    let rows = this.#rows.get(tenantId);
    if (rows === undefined) {
      rows = { sessions: new Map(), retained: new Map(), wills: new Map() };
      this.#rows.set(tenantId, rows);
    }
    return rows;
  }

  #session(key: SessionKey): SessionRow {
    const row = this.#sessionIfAny(key);
    if (row === undefined) throw new Error(`no durable session of ${key.clientId}`);
    return row;
  }

  #sessionIfAny(key: SessionKey): SessionRow | undefined {
    const row = this.#tenant(key.tenantId).sessions.get(key.clientId);
    if (row !== undefined) refuseStale(key, row.epoch);
    return row;
  }

  #failIfDown(): void {
    if (this.store.failure !== undefined) throw this.store.failure;
  }
}

function emptyRow(principal: Principal, nextSequence: number): SessionRow {
  return {
    principal,
    epoch: 0,
    expiryIntervalS: 0,
    expiresAt: undefined,
    holder: undefined,
    nextSequence,
    sentTo: undefined,
    subscriptions: new Map(),
    queue: new Map(),
    inbound: new Set(),
  };
}

function asStored(clientId: ClientId, row: SessionRow): StoredSession {
  let queuedBytes = 0;
  for (const { message } of row.queue.values()) queuedBytes += message.payload.length;
  return {
    clientId,
    principal: row.principal,
    epoch: row.epoch,
    expiryIntervalS: row.expiryIntervalS,
    expiresAt: row.expiresAt,
    connected: row.holder !== undefined,
    nextSequence: row.nextSequence,
    sentTo: row.sentTo,
    subscriptions: [...row.subscriptions.values()],
    queuedMessages: row.queue.size,
    queuedBytes,
    inboundPacketIds: [...row.inbound],
  };
}

function refuseStale(key: SessionKey, epoch: number): void {
  if (key.epoch < epoch) throw new Error(`stale epoch ${key.epoch} of ${key.clientId}: it is ${epoch}`);
}

function bySequence(a: readonly [number, unknown], b: readonly [number, unknown]): number {
  return a[0] - b[0];
}
