/**
 * One transaction's worth of operations, boiled down to what is left to write: of a retained topic set three times the last,
 * of a message appended and settled nothing. It happens in two steps, for the database is the judge of epochs: `takeBatch`
 * cuts operations off the queue and lists the sessions whose rows must be locked and looked at, `coalesce` decides with
 * their epochs what each operation does.
 */
import type {
  ClientId,
  Message,
  PresenceEvent,
  Principal,
  QueueEntry,
  SessionKey,
  Subscription,
  TenantId,
  Will,
} from '#mqtt';

import { noSession, staleEpoch } from './vault-error.js';
import { isInTurn } from './presence-machine.js';
import type { Claim, DenialCount, Operation, TelemetryWrite } from './writes.js';
import { weightOf } from './writes.js';

export interface Batch {
  readonly operations: readonly Operation[];
  readonly sessions: ReadonlyMap<string, SessionWrites>;
  readonly wills: ReadonlyMap<string, WillWrite>;
}

/** A message that waits in queues; not written where nobody is left to wait for it. */
export interface MessageWrite {
  readonly id: bigint;
  readonly tenantId: TenantId;
  readonly message: Message;
  references: number;
}

export interface EntryWrite {
  readonly entry: QueueEntry;
  readonly of: MessageWrite;
  received: boolean;
}

/** All that one batch does to one session, under one epoch. */
export class SessionWrites {
  /** Set by the fence: `gone` is a session that is not there, `stale` one that somebody claimed with a higher epoch. */
  state: 'current' | 'gone' | 'stale' = 'gone';
  claim: Claim | undefined;
  /** Whether the claim found a session to go on with; set by the fence. */
  resumed = false;
  removed = false;
  release:
    | {
        readonly expiryIntervalS: number;
        readonly expiresAt: number | undefined;
        readonly sentTo: number;
      }
    | undefined;
  nextSequence = 0;
  /** Undefined: taken away. */
  readonly subscriptions = new Map<string, Subscription | undefined>();
  readonly entries = new Map<number, EntryWrite>();
  readonly received = new Set<number>();
  readonly settled = new Set<number>();
  /** False: released. */
  readonly inbound = new Map<number, boolean>();

  constructor(
    readonly tenantId: TenantId,
    readonly clientId: ClientId,
    readonly epoch: number,
  ) {}

  settle(sequence: number): void {
    const pending = this.entries.get(sequence);
    if (pending === undefined) {
      this.settled.add(sequence);
      this.received.delete(sequence);
      return;
    }
    pending.of.references -= 1;
    this.entries.delete(sequence);
  }

  remove(): void {
    for (const { of } of this.entries.values()) of.references -= 1;
    this.entries.clear();
    this.subscriptions.clear();
    this.received.clear();
    this.settled.clear();
    this.inbound.clear();
    this.release = undefined;
    this.nextSequence = 0;
    this.removed = true;
    this.state = 'gone';
  }
}

export interface WillWrite {
  readonly tenantId: TenantId;
  readonly clientId: ClientId;
  /** Of the stored will, then of what replaces it; set by the fence. */
  epoch: number;
  change:
    | { readonly principal: Principal; readonly will: Will | undefined; readonly dueAt: number | undefined }
    | undefined;
}

/** `isInTurn`: as far as this batch knows; the stored state has the last word. */
export interface PresenceWrite {
  readonly event: PresenceEvent;
  readonly isInTurn: boolean;
}

/** What is left to write of a batch, and what is to be said of each operation, by its index, once that is committed. */
export interface Effects {
  readonly errors: readonly (Error | undefined)[];
  readonly readings: readonly TelemetryWrite[];
  readonly messages: readonly MessageWrite[];
  readonly retained: ReadonlyMap<string, { readonly tenantId: TenantId; readonly message: Message }>;
  readonly presence: readonly PresenceWrite[];
  readonly denials: readonly DenialCount[];
}

// In a batch a session has one epoch, so that a batch keeps the order of the queue: an operation under another epoch, or a claim of
// a session that the batch has already, waits for the next batch. That happens only where a client reconnects within the milliseconds
// of a commit. What belongs to one message stays in one batch.
export function takeBatch(queue: readonly Operation[], maxWeight: number): Batch {
  const sessions = new Map<string, SessionWrites>();
  const wills = new Map<string, WillWrite>();
  let weight = 0;
  let taken = 0;
  /** Where the message begins that the last operation belongs to: the batch may end there. */
  let cut = 0;
  for (const operation of queue) {
    if (!belongTogether(queue[taken - 1], operation)) cut = taken;
    weight += weightOf(operation);
    if (cut > 0 && weight > maxWeight) break;
    if (!join(operation, sessions, wills)) break;
    taken += 1;
  }
  // The sessions of what was cut off again are not this batch's to lock.
  if (taken < queue.length && cut < taken && cut > 0) return takeBatch(queue.slice(0, cut), Infinity);
  return { operations: queue.slice(0, taken), sessions, wills };
}

/**
 * The core asks for a message's writes one after the other, and in this order: the reading, the retained message, the queues
 * with the publisher's packet identifier, the place in another queue that it comes from, the end of the will that it was. Half of
 * them must not outlive a crash: a QoS 2 message would be sent again and be a second reading, a will would be published again.
 * Neighbours that only look like one message are kept together too, five at most, which costs nothing.
 */
export function belongTogether(before: Operation | undefined, after: Operation): boolean {
  if (before === undefined) return false;
  const place = messageOrder.indexOf(before.kind);
  return place >= 0 && messageOrder.indexOf(after.kind) > place;
}

const messageOrder: readonly Operation['kind'][] = ['telemetry', 'retain', 'append', 'settle', 'will'];

function join(
  operation: Operation,
  sessions: Map<string, SessionWrites>,
  wills: Map<string, WillWrite>,
): boolean {
  switch (operation.kind) {
    case 'claim': {
      const { tenantId, clientId } = operation.principal;
      const key = keyOf(tenantId, clientId);
      if (sessions.has(key)) return false;
      const writes = new SessionWrites(tenantId, clientId, operation.epoch);
      writes.claim = operation;
      sessions.set(key, writes);
      return true;
    }
    case 'append': {
      const { entries, inbound } = operation;
      for (const { session } of entries) if (!mayTouch(sessions, session)) return false;
      if (inbound !== undefined && !mayTouch(sessions, inbound.session)) return false;
      for (const { session } of entries) touch(sessions, session);
      if (inbound !== undefined) touch(sessions, inbound.session);
      return true;
    }
    case 'release':
    case 'remove':
    case 'subscribe':
    case 'unsubscribe':
    case 'receive':
    case 'settle':
    case 'forget':
      if (!mayTouch(sessions, operation.session)) return false;
      touch(sessions, operation.session);
      return true;
    case 'will': {
      const { tenantId, clientId } = operation.principal;
      const key = keyOf(tenantId, clientId);
      if (!wills.has(key)) wills.set(key, { tenantId, clientId, epoch: 0, change: undefined });
      return true;
    }
    case 'barrier':
    case 'telemetry':
    case 'retain':
    case 'presence':
    case 'denials':
      return true;
  }
}

function mayTouch(sessions: ReadonlyMap<string, SessionWrites>, session: SessionKey): boolean {
  const writes = sessions.get(keyOf(session.tenantId, session.clientId));
  return writes === undefined || writes.epoch === session.epoch;
}

function touch(sessions: Map<string, SessionWrites>, session: SessionKey): void {
  const key = keyOf(session.tenantId, session.clientId);
  if (!sessions.has(key))
    sessions.set(key, new SessionWrites(session.tenantId, session.clientId, session.epoch));
}

/** Tenant identifiers are UUIDs: what follows the first slash is the client's or topic's own. */
export function keyOf(tenantId: TenantId, name: string): string {
  return `${tenantId}/${name}`;
}

/** To be called once, after the fence has set every session's state and every will's epoch. */
export function coalesce(batch: Batch, nextMessageId: () => bigint): Effects {
  const errors: (Error | undefined)[] = [];
  const readings: TelemetryWrite[] = [];
  const messages: MessageWrite[] = [];
  const retained = new Map<string, { tenantId: TenantId; message: Message }>();
  const presence: PresenceWrite[] = [];
  const seen = new Map<string, PresenceEvent>();
  const denials: DenialCount[] = [];

  for (const operation of batch.operations) {
    switch (operation.kind) {
      case 'telemetry':
        readings.push(operation);
        errors.push(undefined);
        break;
      case 'retain':
        retained.set(keyOf(operation.tenantId, operation.message.topic), operation);
        errors.push(undefined);
        break;
      case 'will':
        errors.push(keepWill(batch, operation));
        break;
      case 'presence':
        presence.push(follow(seen, operation.event));
        errors.push(undefined);
        break;
      case 'denials':
        denials.push(...operation.denials);
        errors.push(undefined);
        break;
      case 'barrier':
      case 'claim':
        errors.push(undefined);
        break;
      case 'append':
        errors.push(append(batch, messages, operation, nextMessageId));
        break;
      case 'release':
      case 'remove':
      case 'subscribe':
      case 'unsubscribe':
      case 'receive':
      case 'settle':
      case 'forget':
        errors.push(changeSession(writesOf(batch, operation.session), operation));
    }
  }
  return { errors, readings, messages, retained, presence, denials };
}

type SessionChange = Extract<
  Operation,
  { readonly kind: 'release' | 'remove' | 'subscribe' | 'unsubscribe' | 'receive' | 'settle' | 'forget' }
>;

function changeSession(session: SessionWrites, operation: SessionChange): Error | undefined {
  if (session.state === 'stale') return staleEpoch(session);
  if (session.state === 'gone') {
    const isMissed =
      operation.kind === 'subscribe' || operation.kind === 'unsubscribe' || operation.kind === 'receive';
    return isMissed ? noSession(session) : undefined;
  }
  switch (operation.kind) {
    case 'release':
      session.release = operation;
      break;
    case 'remove':
      session.remove();
      break;
    case 'subscribe':
      for (const subscription of operation.subscriptions)
        session.subscriptions.set(subscription.filter, subscription);
      break;
    case 'unsubscribe':
      for (const filter of operation.filters) session.subscriptions.set(filter, undefined);
      break;
    case 'receive': {
      const pending = session.entries.get(operation.sequence);
      if (pending === undefined) session.received.add(operation.sequence);
      else pending.received = true;
      break;
    }
    case 'settle':
      for (const sequence of operation.sequences) session.settle(sequence);
      break;
    case 'forget':
      session.inbound.set(operation.packetId, false);
      break;
  }
  return undefined;
}

/** All or nothing: a message refused for one session is stored for none, so that who sends it again loses nothing. */
function append(
  batch: Batch,
  messages: MessageWrite[],
  operation: Extract<Operation, { readonly kind: 'append' }>,
  nextMessageId: () => bigint,
): Error | undefined {
  const { message, entries, inbound } = operation;
  const publisher = inbound && writesOf(batch, inbound.session);
  if (publisher?.state === 'stale') return staleEpoch(publisher);
  if (publisher?.state === 'gone') return noSession(publisher);
  for (const { session } of entries) {
    const writes = writesOf(batch, session);
    if (writes.state === 'stale') return staleEpoch(writes);
  }
  let write: MessageWrite | undefined;
  for (const entry of entries) {
    const writes = writesOf(batch, entry.session);
    if (writes.state === 'gone') continue;
    if (write === undefined) {
      write = { id: nextMessageId(), tenantId: writes.tenantId, message, references: 0 };
      messages.push(write);
    }
    write.references += 1;
    writes.entries.set(entry.sequence, { entry, of: write, received: false });
    writes.nextSequence = Math.max(writes.nextSequence, entry.sequence + 1);
  }
  if (inbound !== undefined) publisher?.inbound.set(inbound.packetId, true);
  return undefined;
}

function writesOf(batch: Batch, session: SessionKey): SessionWrites {
  const writes = batch.sessions.get(keyOf(session.tenantId, session.clientId));
  if (writes === undefined) throw new Error('a session that the batch was not cut for');
  return writes;
}

function keepWill(batch: Batch, operation: Extract<Operation, { readonly kind: 'will' }>): Error | undefined {
  const { principal, epoch, will, dueAt } = operation;
  const write = batch.wills.get(keyOf(principal.tenantId, principal.clientId));
  if (write === undefined) throw new Error('a will that the batch was not cut for');
  if (epoch < write.epoch) return staleEpoch({ clientId: principal.clientId, epoch });
  write.epoch = epoch;
  write.change = { principal, will, dueAt };
  return undefined;
}

function follow(seen: Map<string, PresenceEvent>, event: PresenceEvent): PresenceWrite {
  const key = keyOf(event.principal.tenantId, event.principal.clientId);
  const changes = isInTurn(seen.get(key), event);
  if (changes) seen.set(key, event);
  return { event, isInTurn: changes };
}
