/**
 * The live state of one tenant: its sessions, its subscription tree, its retained messages and wills. Whatever is published
 * here is looked up in this tree alone: another tenant's subscribers are not filtered out, they are out of reach.
 */
import { Commit } from './commit.js';
import type { Connection } from './connection.js';
import { Contests } from './contests.js';
import { handOver, type Reached } from './hand-over.js';
import { defaultLimits, type Limits } from './limits.js';
import { MatchCache, mayReceive, type Match } from './matches.js';
import type { ClientId, Message, Qos, Subscription, TenantId } from './message.js';
import type { ReceivedPublish } from './packets.js';
import type {
  Clock,
  Gate,
  InboundPacket,
  Journal,
  News,
  Policy,
  PresenceCause,
  Reading,
  Stored,
  StoredSession,
  TenantState,
  Vault,
} from './ports.js';
import { keptBytes, ownMessage, Publication } from './publication.js';
import type { Reason } from './reason.js';
import { RetainedStore } from './retained.js';
import { neverExpires, Session, type Placed } from './session.js';
import { SharedGroup } from './shared.js';
import { noStats, type SpaceStats } from './stats.js';
import { Sys } from './sys.js';
import { TenantNews } from './tenant-news.js';
import { Deadline } from './timers.js';
import { parseShared } from './topic.js';
import { unitsOfLookUp, type Turns } from './turns.js';
import { isUnavailable } from './vault-errors.js';
import { Wills } from './will.js';

/** What a space is given of the world. */
export interface SpacePorts {
  readonly gate: Gate;
  readonly vault: Vault;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly turns: Turns;
  readonly onFault: (error: unknown) => void;
  /** Where it is not given, `$tenant/` is silent. */
  readonly news: News | undefined;
  /** Of the software, for people. */
  readonly version: string;
}

/** How a connection came to its end. */
export interface Ending {
  readonly cause: PresenceCause;
  readonly reason: Reason;
  /** DISCONNECT 0x00 discards the will, a planned stop holds it, every other end makes it due. */
  readonly will: 'discarded' | 'held' | 'due';
}

/** Whose telemetry a message is, and where it says its own time. */
export type Reader = Pick<Reading, 'principal' | 'timeField'>;

/** A delivery to a session that is not durable, put off until the message is stored. */
interface PutOff {
  readonly session: Session;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  readonly group: SharedGroup | undefined;
  /** The session's rights when it was let in. */
  readonly acceptedUnder: Policy;
}

/** A session that has ended and is still in the vault. */
interface Leaving {
  readonly gone: Promise<void>;
  /** For a newcomer with its client identifier: whether it is gone, as soon as it is, or has taken longer than who signs in can wait. */
  readonly isGoneSoon: Promise<boolean>;
}

const noPayload = Buffer.alloc(0);
const retryHandOverMs = 1_000;
/** Of the ten seconds for a sign-in the Gate may have used five. */
const newcomerWaitsMs = 3_000;
/** What it costs to begin a session's time. */
const unitsOfExpiry = 8;

/** Rights of a session nobody has asked for since the process started: none. */
const noPolicy: Policy = Object.freeze({
  publishRight: () => ({
    allowed: false,
    maxQos: 0 as const,
    mayRetain: false,
    maxPayloadBytes: 0,
    telemetry: false,
    detail: 'not signed in',
  }),
  subscribeRight: () => ({ allowed: false, maxQos: 0 as const, detail: 'not signed in' }),
  mayReceive: () => false,
  receivesAll: false,
});

export class Space {
  readonly tenantId: TenantId;
  readonly gate: Gate;
  readonly vault: Vault;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly turns: Turns;
  readonly onFault: (error: unknown) => void;
  readonly news: News | undefined;
  readonly version: string;
  readonly sessions = new Map<ClientId, Session>();
  readonly retained = new RetainedStore();
  readonly wills: Wills;
  readonly stats: SpaceStats = noStats();
  readonly sys = new Sys(this);
  readonly tenantNews = new TenantNews(this);
  /** The number of the last change of rights that may concern this tenant: a sign-in that was judged before it is judged again. */
  rightsVersion = 0;
  /** By client identifier: newcomers that have signed in and wait for the session. Resolved when the last of them has it. */
  readonly arriving = new Map<ClientId, Promise<void>>();
  readonly connections = new Set<Connection>();
  readonly contests = new Contests();
  /** Sessions that have ended and still hand on what their shared subscriptions left. */
  readonly leaving = new Map<ClientId, Leaving>();
  /** How many clearings of retained messages are under way. */
  clearings = 0;
  /** A session with a long queue that the last published message was added to. */
  crowded: Session | undefined = undefined;

  readonly #matches: MatchCache;
  readonly #groups = new Map<string, SharedGroup>();
  readonly #publication = new Publication();
  readonly #expiries = new Map<Session, Deadline>();
  #lastEpoch = 0;
  #sessionCount = 0;
  #isClosed = false;
  /** The tenant's limits, as the last sign-in brought them. */
  #limits = defaultLimits;

  constructor(ports: SpacePorts, tenantId: TenantId) {
    this.tenantId = tenantId;
    this.gate = ports.gate;
    this.vault = ports.vault;
    this.journal = ports.journal;
    this.clock = ports.clock;
    this.news = ports.news;
    this.version = ports.version;
    this.turns = ports.turns;
    this.onFault = ports.onFault;
    this.wills = new Wills(this);
    this.#matches = new MatchCache(ports.turns);
  }

  /** Loads what the vault holds of the tenant. `graceMs`: how long clients of a process that ended may take to come back. */
  async open(graceMs: number): Promise<void> {
    const state = await this.vault.open(this.tenantId);
    this.sawEpoch(state.lastEpoch);
    const loading = this.#load(state);
    await this.turns.work(() => loading.next().done !== true);
    for (const will of state.wills) {
      this.#lastEpoch = Math.max(this.#lastEpoch, will.epoch);
      this.wills.resume(will, graceMs);
    }
  }

  /**
   * A step for each retained message, session and subscription. Times run when all are there: of a session whose time was over in between
   * the members of its shared subscriptions would not be known, whom what it leaves is for.
   */
  *#load({ retained, sessions }: TenantState): Generator<void> {
    for (const message of retained) {
      this.turns.spend(unitsOfLookUp(message.topic));
      this.retained.set(message);
      yield;
    }
    for (const stored of sessions) {
      const session = this.#restore(stored);
      for (const subscription of stored.subscriptions) {
        this.turns.spend(unitsOfLookUp(subscription.filter));
        this.subscribe(session, subscription);
        yield;
      }
      yield;
    }
    for (const { clientId, connected, expiresAt } of sessions) {
      const session = this.sessions.get(clientId);
      if (session === undefined) continue;
      this.turns.spend(unitsOfExpiry);
      if (connected) this.park(session); // its process is gone, and its connection with it: its time runs from now
      else this.#expireAt(session, expiresAt);
      yield;
    }
  }

  #restore(stored: StoredSession): Session {
    this.#lastEpoch = Math.max(this.#lastEpoch, stored.epoch);
    const session = new Session(this, stored.principal, noPolicy, this.#limits, stored.epoch, true);
    session.expiryIntervalS = stored.expiryIntervalS;
    session.restoreAway(stored);
    this.sessions.set(session.clientId, session);
    return session;
  }

  get subscriptionCount(): number {
    return this.#matches.filterCount;
  }

  /** Nobody is here or on the way, and nothing happens before the next session expires. */
  get isIdle(): boolean {
    const busy = this.connections.size + this.arriving.size + this.leaving.size + this.clearings;
    return busy === 0 && this.wills.isIdle;
  }

  /** When the first of the sessions that are away ends. */
  get nextExpiry(): number | undefined {
    let next: number | undefined;
    for (const { at } of this.#expiries.values()) if (next === undefined || at < next) next = at;
    return next;
  }

  /** Sessions whose client has not been here yet are held to what the tenant's others were told. */
  useLimits(limits: Limits): void {
    const { maxQueuedMessages, maxQueuedBytes } = this.#limits;
    this.#limits = limits;
    if (limits.maxQueuedMessages === maxQueuedMessages && limits.maxQueuedBytes === maxQueuedBytes) return;
    for (const session of this.sessions.values())
      if (session.connection === undefined) session.limits = limits;
  }

  /** Grows with every sign-in, also over restarts, so that late writes of an earlier connection are recognised. */
  nextEpoch(): number {
    this.#lastEpoch = Math.max(this.clock.now() * 1024, this.#lastEpoch + 1);
    return this.#lastEpoch;
  }

  /** The key of its subscriptions: those of a session that has ended are removed bit by bit, perhaps when its client is back already. */
  nextSessionNumber(): string {
    return (this.#sessionCount++).toString(36);
  }

  sawEpoch(epoch: number): void {
    this.#lastEpoch = Math.max(this.#lastEpoch, epoch);
  }

  // ---------------------------------------------------------------------------------------------------------- messages

  hasSubscribers(topic: string): boolean {
    return !this.#matches.find(topic).isEmpty;
  }

  /** Whether the tenant's limits leave room to retain it, once what has expired is gone. */
  mayRetain(message: Message, limits: Limits): boolean {
    if (message.payload.length === 0 || this.#hasRoomFor(message, limits)) return true;
    for (const expired of this.retained.expired(this.clock.now())) this.dropRetained(expired);
    return this.#hasRoomFor(message, limits);
  }

  #hasRoomFor(message: Message, limits: Limits): boolean {
    const held = this.retained.get(message.topic);
    const count = this.retained.count + (held === undefined ? 1 : 0);
    const bytes = this.retained.bytes + keptBytes(message) - (held === undefined ? 0 : keptBytes(held));
    return count <= limits.maxRetainedMessages && bytes <= limits.maxRetainedBytes;
  }

  /**
   * Brings a message to everyone it is for. Returns what has to be stored before it may be acknowledged; undefined: nothing.
   * `reader`: whose telemetry it is. `inbound`: the packet identifier of a durable publisher's QoS 2 message; then sessions
   * that are not durable get the message after the commit too, or a repeated one would reach them twice.
   */
  publish(
    message: Message,
    reader: Reader | undefined,
    inbound: InboundPacket | undefined,
    asReceived?: ReceivedPublish,
  ): Commit | undefined {
    const publication = this.#publication;
    publication.begin(message, message.receivedAt, asReceived);
    const putOff: PutOff[] | undefined = inbound === undefined ? undefined : [];
    const entries = this.#route(publication, putOff);
    if (!message.retain && reader === undefined && entries === undefined && inbound === undefined) {
      return undefined;
    }
    return this.#store(publication.kept(), reader, entries, inbound, putOff);
  }

  #route(publication: Publication, putOff: PutOff[] | undefined): Placed[] | undefined {
    const { message } = publication;
    const { direct, groups } = this.#matches.find(message.topic);
    if (direct.length + groups.length > 1) publication.share();
    let entries: Placed[] | undefined;
    for (let i = 0; i < direct.length; i++) {
      let match: Match | undefined = direct[i];
      if (match !== undefined && match.session.clientId === message.publisher) match = match.own;
      if (match === undefined || !mayReceive(match, message.topic)) continue;
      entries = this.#deliver(publication, match, undefined, entries, putOff);
    }
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i] as SharedGroup;
      const member = group.choose(message.topic, message.qos);
      if (member === undefined) this.stats.droppedSlow += 1;
      else entries = this.#deliver(publication, member, group, entries, putOff);
    }
    return entries;
  }

  #deliver(
    publication: Publication,
    match: Pick<Match, 'session' | 'qos' | 'retainAsPublished' | 'subscriptionIds'>,
    group: SharedGroup | undefined,
    entries: Placed[] | undefined,
    putOff: PutOff[] | undefined,
  ): Placed[] | undefined {
    const { message } = publication;
    const { session, subscriptionIds } = match;
    const qos = message.qos < match.qos ? message.qos : match.qos; // MQTT-3.8.4-8
    const retain = message.retain && match.retainAsPublished; // MQTT-3.3.1-12, -13
    if (qos > 0 && session.isDurable) {
      publication.kept();
      const entry = session.reserve(publication.message, qos as 1 | 2, retain, subscriptionIds);
      if (entry === undefined) return entries;
      if (entries === undefined) return [entry];
      entries.push(entry);
    } else if (putOff === undefined) session.offer(publication, qos, retain, subscriptionIds, group);
    else putOff.push({ session, qos, retain, subscriptionIds, group, acceptedUnder: session.policy });
    return entries;
  }

  #store(
    message: Message,
    reader: Reader | undefined,
    entries: Placed[] | undefined,
    inbound: InboundPacket | undefined,
    putOff: PutOff[] | undefined,
  ): Commit {
    const commit = new Commit();
    if (reader !== undefined) this.journal.telemetry({ ...reader, message }, commit.expect());
    if (message.retain) this.#retain(message, commit);
    if (entries !== undefined || inbound !== undefined) {
      const part = commit.expect();
      this.vault.append(message, entries ?? [], inbound, (error) => {
        if (error !== undefined) this.stats.storeErrors += 1;
        if (entries !== undefined) storedIn(message, entries, error);
        if (putOff !== undefined && error === undefined) this.#deliverLate(message, putOff);
        part(error);
      });
    }
    return commit;
  }

  #retain(message: Message, commit: Commit): void {
    const { topic } = message;
    const kept = message.payload.length === 0 ? undefined : message; // MQTT-3.3.1-6, -7: nothing is kept of it
    if (!this.retained.propose(topic, kept)) return;
    const part = commit.expect();
    this.vault.retain(this.tenantId, message, (error) => {
      this.retained.settle(topic, kept, error);
      part(error);
    });
  }

  /** It has expired. */
  dropRetained(message: Message): void {
    if (this.retained.get(message.topic) === message) this.clearRetained(message, () => undefined);
  }

  /** As an empty message clears the topic of this one, but that nobody has published one: subscribers are sent nothing. */
  clearRetained(message: Message, stored: Stored): void {
    const { topic } = message;
    this.retained.propose(topic, undefined);
    this.vault.retain(this.tenantId, { ...message, payload: noPayload }, (error) => {
      if (error !== undefined) this.stats.storeErrors += 1;
      this.retained.settle(topic, undefined, error);
      stored(error);
    });
  }

  #deliverLate(message: Message, putOff: readonly PutOff[]): void {
    const publication = this.#publication;
    publication.begin(message, this.clock.now());
    for (const { session, qos, retain, subscriptionIds, group, acceptedUnder } of putOff) {
      if (session.mayStillReceive(message.topic, acceptedUnder))
        session.offer(publication, qos, retain, subscriptionIds, group);
      else this.withheld(message, group);
    }
  }

  /** Who it was for may not have it any more. Another member of the shared subscription may. */
  withheld(message: Message, group: SharedGroup | undefined): void {
    if (group === undefined) this.stats.droppedDenied += 1;
    else this.passOn(message, group);
  }

  /** One message for one durable session: a retained one, or one that another member of a shared subscription left. */
  append(session: Session, message: Message, qos: 1 | 2, retain: boolean, ids: readonly number[]): void {
    const kept = ownMessage(message);
    const entry = session.reserve(kept, qos, retain, ids);
    if (entry === undefined) return;
    this.vault.append(kept, [entry], undefined, (error) => {
      if (error !== undefined) this.stats.storeErrors += 1;
      session.stored(entry.sequence, kept, error);
    });
  }

  // ----------------------------------------------------------------------------------------------------- subscriptions

  /** Returns whether the session had it before. */
  subscribe(session: Session, subscription: Subscription): boolean {
    const { filter } = subscription;
    const wasThere = session.subscriptions.has(filter);
    session.subscriptions.set(filter, subscription);
    const shared = parseShared(filter);
    if (shared === undefined) this.#matches.set(filter, session.number, { session, subscription });
    else this.#join(session, subscription, shared.group, shared.filter);
    if (!wasThere) {
      this.sys.subscribed(filter);
      this.tenantNews.subscribed(filter);
    }
    return wasThere;
  }

  /** What the vault says a session has, in as many turns of the loop as it takes. */
  resubscribe(session: Session, subscriptions: readonly Subscription[]): Promise<void> | undefined {
    let at = 0;
    return this.turns.work(() => {
      const subscription = subscriptions[at++];
      if (subscription === undefined || session.hasEnded) return false;
      this.turns.spend(unitsOfLookUp(subscription.filter));
      this.subscribe(session, subscription);
      return true;
    });
  }

  /** Returns whether the session had it. */
  unsubscribe(session: Session, filter: string): boolean {
    if (!session.subscriptions.delete(filter)) return false;
    const shared = parseShared(filter);
    if (shared === undefined) this.#matches.delete(filter, session.number);
    else this.#leave(session, filter, shared.group, shared.filter);
    this.sys.unsubscribed(filter);
    this.tenantNews.unsubscribed(filter);
    return true;
  }

  #join(session: Session, subscription: Subscription, groupName: string, filter: string): void {
    let group = this.#groups.get(subscription.filter);
    if (group === undefined) {
      group = new SharedGroup(filter);
      this.#groups.set(subscription.filter, group);
      this.#matches.set(filter, groupKey(groupName), group);
    }
    const { qos, retainAsPublished, subscriptionId } = subscription;
    const subscriptionIds = subscriptionId === undefined ? [] : [subscriptionId];
    group.join({ session, qos, retainAsPublished, subscriptionIds });
    session.regainShare(subscription.filter);
  }

  #leave(session: Session, fullFilter: string, groupName: string, filter: string): void {
    const group = this.#groups.get(fullFilter);
    group?.leave(session);
    if (group?.isEmpty !== true) return;
    this.#groups.delete(fullFilter);
    this.#matches.delete(filter, groupKey(groupName));
  }

  // ---------------------------------------------------------------------------------------------------------- sessions

  /** The connection is gone; what is left of its session, its will and its presence is settled here. */
  left(connection: Connection, session: Session, ending: Ending): void {
    this.connections.delete(connection);
    session.detach();
    const { will } = connection;
    const { principal, epoch } = session;
    const endsNow = !session.isDurable || session.expiryIntervalS === 0;
    if (will !== undefined && ending.will === 'due') {
      const delayS = endsNow ? 0 : Math.min(will.delayS, session.expiryIntervalS);
      this.wills.schedule(principal, epoch, will, delayS * 1000);
    } else if (ending.will === 'discarded') this.wills.discard(principal, epoch);
    this.journal.presence({
      principal,
      epoch,
      state: 'offline',
      cause: ending.cause,
      at: this.clock.now(),
      detail: {
        ...connection.facts,
        reason: ending.reason.name,
        bytesReceived: connection.bytesReceived,
        bytesSent: connection.outbox.bytesSent,
        messagesReceived: connection.messagesReceived,
        messagesSent: connection.messagesSent,
      },
      will: ending.will === 'discarded' ? undefined : will,
    });
    if (endsNow) this.end(session);
    else this.park(session);
  }

  /** Nobody is connected: the session's time runs. */
  park(session: Session): void {
    const { expiryIntervalS } = session;
    const expiresAt =
      expiryIntervalS === neverExpires ? undefined : this.clock.now() + expiryIntervalS * 1000;
    this.vault.release(session.key, expiryIntervalS, expiresAt, session.sentTo);
    this.#expireAt(session, expiresAt);
  }

  #expireAt(session: Session, expiresAt: number | undefined): void {
    if (expiresAt === undefined || this.#isClosed) return;
    this.#expiries.set(session, new Deadline(this.clock, expiresAt, () => this.end(session)));
  }

  /** The client is back: the session does not expire while it is connected. */
  keep(session: Session): void {
    this.#expiries.get(session)?.cancel();
    this.#expiries.delete(session);
  }

  /** Ends the session for good (4.1): subscriptions, queue, delayed will, and its rows in the vault. */
  end(session: Session): void {
    if (session.hasEnded) return;
    if (!session.isDurable) return this.forget(session);
    const shared = this.sharedOf(session);
    const besides = Array.from(session.lostShares, ([, filters]) => filters);
    const filters = [...session.subscriptions.keys(), ...besides.flat()];
    this.forget(session);
    if (shared.length === 0) return this.vault.remove(session.key);
    const gone = this.#handOver(session, filters, shared);
    const tooLong = new Promise<boolean>((resolve) => {
      this.clock.after(newcomerWaitsMs, () => resolve(false));
    });
    const isGoneSoon = Promise.race([gone.then(() => true), tooLong]);
    this.leaving.set(session.clientId, { gone, isGoneSoon });
  }

  /** Tried until the store is there, or the space is closed: then the next process finds the session, and ends it again. */
  async #handOver(
    session: Session,
    filters: readonly string[],
    shared: readonly SharedGroup[],
  ): Promise<void> {
    const reached: Reached = { sequence: 1, place: 0 };
    do {
      try {
        await handOver(session, filters, shared, reached);
      } catch (error) {
        if (isUnavailable(error)) {
          this.stats.storeErrors += 1; // the session with what is left is safe there
          await new Promise<void>((resolve) => this.clock.after(retryHandOverMs, resolve));
          continue;
        }
        this.onFault(error); // it would come again, and whoever waits for the session's end would wait for ever
      }
      this.vault.remove(session.key);
      break;
    } while (!this.#isClosed);
    this.leaving.delete(session.clientId);
  }

  /** The shared subscriptions that the session is a member of, and those it lost with the right to them. */
  sharedOf({ subscriptions, lostShares }: Session): readonly SharedGroup[] {
    if (this.#groups.size === 0) return [];
    const lost = Array.from(lostShares, ([filter]) => filter);
    return [...subscriptions.keys(), ...lost].flatMap((filter) => this.groupOf(filter) ?? []);
  }

  /** By the filter with `$share`; undefined: nobody has it, or it is none. */
  groupOf(filter: string): SharedGroup | undefined {
    return this.#groups.get(filter);
  }

  /** As `end`, where a claim with a clean start sees to the vault. */
  forget(session: Session): void {
    session.hasEnded = true;
    this.keep(session);
    const left = session.subscriptions.keys();
    const goOn = (): boolean => {
      const { done, value: filter } = left.next();
      if (done === true) return false;
      this.turns.spend(unitsOfLookUp(filter));
      return this.unsubscribe(session, filter);
    };
    this.turns.work(goOn)?.catch(this.onFault);
    if (this.sessions.get(session.clientId) === session) this.sessions.delete(session.clientId);
    this.wills.sessionEnded(session.clientId);
    for (const { message, group } of session.takeShared()) this.passOn(message, group);
  }

  /** To another member of the shared subscription, at that one's QoS; nobody, where nobody is left. */
  passOn(message: Message, group: SharedGroup): void {
    if (message.expiresAt !== undefined && message.expiresAt <= this.clock.now()) {
      this.stats.droppedExpired += 1; // MQTT-3.3.2-5: to whoever is chosen now it was never sent
      return;
    }
    const member = group.choose(message.topic, message.qos);
    if (member === undefined) return;
    const granted = message.qos < member.qos ? message.qos : member.qos; // MQTT-4.8.2-3
    const retain = message.retain && member.retainAsPublished;
    if (granted > 0 && member.session.isDurable) {
      this.append(member.session, message, granted as 1 | 2, retain, member.subscriptionIds);
      return;
    }
    const publication = new Publication();
    publication.begin(message, this.clock.now());
    member.session.offer(publication, granted, retain, member.subscriptionIds, group);
  }

  close(): void {
    this.#isClosed = true;
    this.sys.close();
    this.tenantNews.close();
    this.wills.close();
    for (const deadline of this.#expiries.values()) deadline.cancel();
    this.#expiries.clear();
  }
}

/** A group's name follows a slash, which is in no session's number: the keys of groups and of sessions cannot meet. */
function groupKey(groupName: string): string {
  return `/${groupName}`;
}

function storedIn(message: Message, entries: readonly Placed[], error: Error | undefined): void {
  for (const { owner, sequence } of entries) owner.stored(sequence, message, error);
}
