/**
 * What outlives a connection: subscriptions, and messages on their way in both directions.
 *
 * Towards the client every QoS 1 or 2 message has a sequence. A clean session gives it one when it is sent. A durable session
 * gives it one when the message is accepted: it is appended to the vault under it, sent once that is committed, and read
 * back under it after a reconnect or a crash. What is in memory of it is a window on the vault's queue (`window.ts`).
 */
import type { Connection } from './connection.js';
import { Drops } from './drops.js';
import { Flight, InFlight, packetIdOf } from './in-flight.js';
import type { Limits } from './limits.js';
import type { ClientId, Message, Qos, Subscription } from './message.js';
import { Pace } from './pace.js';
import type {
  ClaimedSession,
  Policy,
  Principal,
  QueuedMessage,
  QueueEntry,
  SessionKey,
  StoredSession,
} from './ports.js';
import { keptBytes, type Publication } from './publication.js';
import type { SharedGroup } from './shared.js';
import type { Space } from './space.js';
import { matches } from './topic.js';
import { pageBytes, pageMessages, Window, type Delivery } from './window.js';

/** MQTT 5.0, 3.1.2.11.2: this Session Expiry Interval is for ever. */
export const neverExpires = 0xffff_ffff;

const retryReadMs = 1_000;
/** How many messages of a queue are sent before others have their turn. */
const mostAtOnce = 64;
/** What it costs to queue a message, or to find that there is no room for it. */
const unitsOfQueued = 3;
const unitsOfDrop = 1;
/** A publisher that has used up its share of a turn, and adds to a queue as long as this, waits until the client has taken some of it (`Pace`). */
const crowdedMessages = 128;
const crowdedBytes = 256 * 1024;

interface SharedFlight {
  readonly message: Message;
  readonly qos: Qos;
  readonly group: SharedGroup;
}

/** A place in this session's queue. */
export interface Placed extends QueueEntry {
  readonly owner: Session;
}

export class Session {
  readonly space: Space;
  readonly clientId: ClientId;
  /** No other session of the space has it, or ever had. */
  readonly number: string;
  readonly subscriptions = new Map<string, Subscription>();
  /** Kept in the vault. A session that is not ends with its connection. */
  readonly isDurable: boolean;
  principal: Principal;
  limits: Limits;
  expiryIntervalS = 0;
  connection: Connection | undefined = undefined;
  hasEnded = false;
  /** Reviews of its subscriptions that are under way (`reviewSubscriptions`). */
  unreviewed = 0;
  /** The number of the last change of rights after which it was reviewed. */
  rightsVersion = 0;
  /** Grows with each sign-in and re-authentication: an answer of the Gate that was asked before is about somebody else. */
  signIns = 0;
  /** The Gate has been asked about its rights, and has not answered. */
  reviewsUnderWay = 0;

  /** Identifiers of QoS 2 messages taken over and not yet released by the client (MQTT-4.3.3-10). */
  #inbound: Set<number> | undefined = undefined;
  #key: SessionKey;
  #policy: Policy;

  readonly #window = new Window();
  /** Also counts what is in the vault and not in memory. */
  #queuedMessages = 0;
  #queuedBytes = 0;
  readonly #flight = new InFlight();
  #sharedFlights: Map<number, SharedFlight> | undefined = undefined;
  #lostShares: Map<string, readonly string[]> | undefined = undefined;
  #drops: Drops | undefined = undefined;
  #nextSequence = 1;
  #pace: Pace | undefined = undefined;

  // Of a durable session, by sequences:
  // - below #storedTo: committed, or failed
  // - below #loadedTo: has been in the window; #loaded messages
  // - below #sentTo: may have been sent on an earlier connection; nothing else was. Where a process was killed while it was sending
  //   (#isSentInDoubt), of those that wait only as many as may be in flight, the first ones, may have been sent.
  #storedTo = 1;
  #loadedTo = 1;
  #loaded = 0;
  #sentTo = 1;
  #isSentInDoubt = false;
  #reviewTo = 1;
  #isLoading = false;
  #settled: number[] = [];

  constructor(
    space: Space,
    principal: Principal,
    policy: Policy,
    limits: Limits,
    epoch: number,
    isDurable: boolean,
  ) {
    this.space = space;
    this.clientId = principal.clientId;
    this.number = space.nextSessionNumber();
    this.principal = principal;
    this.#policy = policy;
    this.limits = limits;
    this.isDurable = isDurable;
    this.#key = { tenantId: principal.tenantId, clientId: principal.clientId, epoch };
  }

  get key(): SessionKey {
    return this.#key;
  }

  get epoch(): number {
    return this.#key.epoch;
  }

  set epoch(epoch: number) {
    this.#key = { ...this.#key, epoch };
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** What waits was accepted under the old rights: it is judged by the new ones when its turn comes. */
  set policy(policy: Policy) {
    this.#policy = policy;
    this.#reviewTo = this.#nextSequence;
  }

  // ---------------------------------------------------------------------------------------------------- from the client

  holdsInbound(packetId: number): boolean {
    return this.#inbound !== undefined && this.#inbound.has(packetId);
  }

  keepInbound(packetId: number): void {
    this.#inbound ??= new Set();
    this.#inbound.add(packetId);
  }

  forgetInbound(packetId: number): boolean {
    return this.#inbound !== undefined && this.#inbound.delete(packetId);
  }

  // ------------------------------------------------------------------------------------------------------ to the client

  /** Connected, and reading what it is sent. */
  get isListening(): boolean {
    return this.connection !== undefined && this.connection.outbox.hasRoom;
  }

  /** A QoS 1 or 2 message would be sent now, and not wait. */
  get isTaking(): boolean {
    const connection = this.connection;
    if (connection === undefined || !connection.outbox.hasRoom) return false;
    return this.#queuedMessages === 0 && this.#flight.count < connection.sendWindow;
  }

  /** Whether the queue takes another one. */
  get hasQueueRoom(): boolean {
    const { maxQueuedMessages, maxQueuedBytes } = this.limits;
    return !this.hasEnded && this.#queuedMessages < maxQueuedMessages && this.#queuedBytes < maxQueuedBytes;
  }

  mayReceive(topic: string): boolean {
    return this.connection === undefined || this.isEntitledTo(topic);
  }

  /** Whether its policy of now lets it have what a subscription of its matches. */
  isEntitledTo(topic: string): boolean {
    const { policy } = this;
    // While its subscriptions are being held against it, one that is still there says nothing.
    if (this.unreviewed > 0 && !policy.subscribeRight(topic).allowed) return false;
    return policy.receivesAll || policy.mayReceive(topic);
  }

  /** Delivers at once what needs no storing: QoS 0, and everything of a session that is not durable. */
  offer(
    publication: Publication,
    qos: Qos,
    retain: boolean,
    subscriptionIds: readonly number[],
    group: SharedGroup | undefined,
  ): void {
    const connection = this.connection;
    if (connection === undefined) return;
    if (qos === 0) {
      // Not past a retained message that waits: the older one would come last.
      if (this.#window.holdsQos0) this.#enqueue(publication.kept(), 0, retain, subscriptionIds, group);
      else if (connection.outbox.hasRoom) connection.sendShared(publication, 0, retain, subscriptionIds, 0);
      else this.space.stats.droppedSlow += 1;
      return;
    }
    const sequence = this.#nextSequence;
    if (
      this.#queuedMessages > 0 ||
      this.#flight.count >= connection.sendWindow ||
      !connection.outbox.hasRoom ||
      !this.#flight.mayBegin(sequence)
    ) {
      if (!this.hasQueueRoom) return this.#dropped(); // before it is copied
      this.#enqueue(publication.kept(), qos, retain, subscriptionIds, group);
      if (this.isCrowded) this.space.crowded = this;
      return;
    }
    if (!connection.sendShared(publication, qos, retain, subscriptionIds, packetIdOf(sequence))) return;
    this.#nextSequence += 1;
    this.#flight.begin(sequence, qos === 1 ? Flight.sent1 : Flight.sent2);
    if (group !== undefined) this.#keepShared(sequence, publication.kept(), qos, group);
  }

  /** A retained message for a new subscription; QoS 0 waits its turn too where there are many. */
  offerRetained(message: Message, qos: Qos, subscriptionIds: readonly number[]): void {
    if (this.connection !== undefined) this.#enqueue(message, qos, true, subscriptionIds, undefined);
  }

  #enqueue(
    message: Message,
    qos: Qos,
    retain: boolean,
    subscriptionIds: readonly number[],
    group: SharedGroup | undefined,
  ): void {
    if (!this.hasQueueRoom) return this.#dropped();
    this.space.turns.spend(unitsOfQueued);
    this.#window.push({
      sequence: 0,
      message,
      qos,
      retain,
      subscriptionIds,
      group,
      isRepeated: false,
      isReleased: false,
      acceptedUnder: this.#policy,
    });
    this.#queuedMessages += 1;
    this.#queuedBytes += keptBytes(message);
  }

  /**
   * The place in a durable session's queue that a message is appended under; undefined: the queue is full. The message must
   * own its bytes.
   */
  reserve(
    message: Message,
    qos: 1 | 2,
    retain: boolean,
    subscriptionIds: readonly number[],
  ): Placed | undefined {
    if (!this.hasQueueRoom) return this.hasEnded ? undefined : this.#dropped();
    const sequence = this.#nextSequence;
    this.#nextSequence += 1;
    this.#queuedMessages += 1;
    this.#queuedBytes += keptBytes(message);
    if (this.connection !== undefined && this.#loadedTo === sequence && this.#window.hasRoom) {
      this.#loadedTo = sequence + 1;
      this.#window.push({
        sequence,
        message,
        qos,
        retain,
        subscriptionIds,
        group: undefined,
        isRepeated: false,
        isReleased: false,
        acceptedUnder: this.#policy,
      });
    }
    return { owner: this, session: this.#key, sequence, qos, retain, subscriptionIds };
  }

  /** The queue is full and the newest message goes; its publisher, who cannot help it, is not told. The tenant is. */
  #dropped(): undefined {
    this.space.stats.droppedQueueFull += 1;
    this.space.turns.spend(unitsOfDrop);
    this.#drops ??= new Drops(this);
    this.#drops.note();
  }

  /** The append of this sequence is committed, or never will be. */
  stored(sequence: number, message: Message, error: Error | undefined): void {
    if (this.hasEnded) return;
    this.#storedTo = Math.max(this.#storedTo, sequence + 1);
    if (error !== undefined) {
      this.#window.remove(sequence);
      this.#uncount(message);
    }
    this.pump();
  }

  /** Sends what the client's receive window and its outbox allow. */
  pump(): void {
    const connection = this.connection;
    if (connection === undefined) return;
    let sent = 0;
    for (let delivery = this.#window.first; delivery !== undefined; delivery = this.#window.first) {
      if (!this.#maySend(delivery, connection)) break;
      this.#window.shift();
      this.#uncount(delivery.message);
      this.#send(delivery, connection);
      sent += 1;
      if (sent < mostAtOnce) continue;
      connection.outbox.wake(); // and goes on when that has been written
      break;
    }
    if (this.isDurable) this.#load(connection);
  }

  /** Never below 0: what was queued before a restart is counted by the vault, a little differently. */
  #uncount(message: Message): void {
    this.#queuedMessages = Math.max(0, this.#queuedMessages - 1);
    const bytes = keptBytes(message);
    this.#queuedBytes = Math.max(0, this.#queuedBytes - bytes);
    this.#pace?.took(bytes, this.isCrowded);
  }

  /** Its client does not take messages as fast as they come. */
  get isCrowded(): boolean {
    return this.#queuedMessages >= crowdedMessages || this.#queuedBytes >= crowdedBytes;
  }

  /** Whether `publisher` is to wait before it adds to the queue; then `goOn` is called. */
  holdUp(publisher: Connection, goOn: (wasInVain: boolean) => void): boolean {
    const { connection } = this;
    if (!this.isCrowded || connection === undefined || connection === publisher) return false;
    // Whoever waits itself is not read, and neither are its acknowledgements: two could wait for each other.
    if (connection.intake.isFollowing) return false;
    this.#pace ??= new Pace(this.space.clock);
    return this.#pace.wait(publisher.intake.followedInVainAt, goOn);
  }

  /** Nobody waits for it any more. */
  letGo(): void {
    this.#pace?.letGo();
  }

  get hasQueued(): boolean {
    return this.#window.length > 0;
  }

  #maySend(delivery: Delivery, connection: Connection): boolean {
    if (delivery.isReleased) return true; // PUBREL is not subject to the receive window (4.9)
    if (!connection.outbox.hasRoom) return false;
    if (delivery.qos === 0) return true;
    if (delivery.sequence === 0) return this.#mayBegin(connection, this.#nextSequence);
    return delivery.sequence < this.#storedTo && this.#mayBegin(connection, delivery.sequence);
  }

  #mayBegin(connection: Connection, sequence: number): boolean {
    return this.#flight.count < connection.sendWindow && this.#flight.mayBegin(sequence);
  }

  #send(delivery: Delivery, connection: Connection): void {
    const { message, qos, retain, subscriptionIds, isRepeated } = delivery;
    if (delivery.isReleased) {
      this.#flight.begin(delivery.sequence, Flight.released);
      return connection.sendRelease(packetIdOf(delivery.sequence)); // MQTT-4.4.0-1
    }
    const isLate = message.expiresAt !== undefined && message.expiresAt <= this.space.clock.now();
    if (isLate && !isRepeated) {
      this.space.stats.droppedExpired += 1; // MQTT-3.3.2-5
      return this.#settle(delivery.sequence);
    }
    if (!this.mayStillReceive(message.topic, delivery.acceptedUnder)) {
      this.space.withheld(message, delivery.group ?? this.#lostShareOf(delivery));
      return this.#settle(delivery.sequence);
    }
    const sequence = qos > 0 && delivery.sequence === 0 ? this.#nextSequence : delivery.sequence;
    const packetId = qos === 0 ? 0 : packetIdOf(sequence);
    if (!connection.sendAlone(message, qos, retain, isRepeated, subscriptionIds, packetId)) {
      return this.#settle(delivery.sequence);
    }
    if (qos === 0) return;
    if (delivery.sequence === 0) this.#nextSequence += 1;
    this.#flight.begin(sequence, qos === 1 ? Flight.sent1 : Flight.sent2);
    if (delivery.group !== undefined) this.#keepShared(sequence, message, qos, delivery.group);
  }

  /** Nothing is delivered after the right to it was gone, whenever it was accepted. Undefined: under rights that are not known. */
  mayStillReceive(topic: string, acceptedUnder: Policy | undefined): boolean {
    const policy = this.#policy;
    return acceptedUnder === policy || (policy.mayReceive(topic) && policy.subscribeRight(topic).allowed);
  }

  /**
   * The right to a shared subscription is gone, and what waits of it in the vault is the other members'. `besides`: the session's ordinary
   * subscriptions until then.
   */
  loseShare(filter: string, besides: readonly string[]): void {
    this.#lostShares ??= new Map();
    this.#lostShares.set(filter, besides);
  }

  /** It is a member again. */
  regainShare(filter: string): void {
    this.#lostShares?.delete(filter);
  }

  /** By filter: `$share/…`, and the ordinary ones beside it. */
  get lostShares(): Iterable<readonly [filter: string, besides: readonly string[]]> {
    return this.#lostShares ?? [];
  }

  /** Where it came by one, as far as the vault can tell (`hand-over.ts`), and cannot have been sent with QoS 2. */
  #lostShareOf({ message, qos, isRepeated }: Delivery): SharedGroup | undefined {
    if (qos === 2 && isRepeated) return undefined;
    const { topic } = message;
    for (const [filter, besides] of this.lostShares) {
      const group = this.space.groupOf(filter);
      if (group === undefined || !matches(group.filter, topic)) continue;
      if (!besides.some((one) => matches(one, topic))) return group;
    }
    return undefined;
  }

  #keepShared(sequence: number, message: Message, qos: Qos, group: SharedGroup): void {
    this.#sharedFlights ??= new Map();
    this.#sharedFlights.set(sequence, { message, qos, group });
  }

  // --------------------------------------------------------------------------------------------- the client acknowledges

  /** PUBACK, also with an error, ends the delivery (MQTT-4.4.0-2). */
  acknowledged(packetId: number): boolean {
    const sequence = this.#flight.find(packetId);
    if (sequence === 0 || this.#flight.stateOf(sequence) !== Flight.sent1) return false;
    this.#finish(sequence);
    return true;
  }

  /** PUBREC. Returns false where there is no such message. */
  received(packetId: number, isFailure: boolean): boolean {
    const sequence = this.#flight.find(packetId);
    if (sequence === 0) return false;
    const state = this.#flight.stateOf(sequence);
    if (state === Flight.released) this.connection?.sendRelease(packetId);
    if (state === Flight.released || state === Flight.received) return true;
    if (state !== Flight.sent2) return false;
    if (isFailure) this.#finish(sequence);
    else if (this.isDurable) this.#storeReceived(sequence);
    else this.#release(sequence);
    return true;
  }

  #storeReceived(sequence: number): void {
    this.#flight.setState(sequence, Flight.received);
    const connection = this.connection;
    this.space.vault.markReceived(this.#key, sequence, (error) => {
      if (this.connection !== connection || connection === undefined) return;
      if (error !== undefined) connection.storeFailed();
      else this.#release(sequence);
    });
  }

  #release(sequence: number): void {
    this.#flight.setState(sequence, Flight.released);
    this.connection?.sendRelease(packetIdOf(sequence));
  }

  /** PUBCOMP. */
  completed(packetId: number): boolean {
    const sequence = this.#flight.find(packetId);
    if (sequence === 0 || this.#flight.stateOf(sequence) !== Flight.released) return false;
    this.#finish(sequence);
    return true;
  }

  #finish(sequence: number): void {
    this.#flight.done(sequence);
    this.#sharedFlights?.delete(sequence);
    this.#settle(sequence);
    if (this.hasQueued || this.isDurable) this.pump();
  }

  #settle(sequence: number): void {
    if (!this.isDurable || sequence === 0) return;
    if (this.#settled.push(sequence) === 1) this.connection?.outbox.wake();
  }

  /** Once a turn: what the client is done with leaves the vault in one write. */
  flushSettled(): void {
    if (this.#settled.length === 0) return;
    const settled = this.#settled;
    this.#settled = [];
    this.space.vault.settle(this.#key, settled);
  }

  // -------------------------------------------------------------------------------------------------- coming and going

  /** What a claim found. `isKnown`: this object has followed the session since it was last claimed. */
  restore(claimed: ClaimedSession, isKnown: boolean): void {
    this.epoch = claimed.epoch;
    this.#nextSequence = Math.max(this.#nextSequence, claimed.nextSequence);
    this.#storedTo = Math.max(this.#storedTo, claimed.nextSequence);
    this.#reviewTo = claimed.nextSequence;
    this.#loadedTo = 1;
    this.#loaded = 0;
    if (!isKnown) this.#restoreSent(claimed.sentTo, claimed.nextSequence);
    const appendedSince = this.#nextSequence - claimed.nextSequence;
    this.#queuedMessages = claimed.queuedMessages + appendedSince;
    this.#queuedBytes = claimed.queuedBytes;
    this.#inbound = claimed.inboundPacketIds.length > 0 ? new Set(claimed.inboundPacketIds) : undefined;
    this.#flight.restart(1);
  }

  /** Its subscriptions are those that its policy of now allows: what is accepted from now on may be sent. */
  reviewed(): void {
    this.#reviewTo = this.#nextSequence;
  }

  /** A session that waits in the vault since before this process started. */
  restoreAway({ nextSequence, queuedMessages, queuedBytes, connected, sentTo }: StoredSession): void {
    this.#nextSequence = nextSequence;
    this.#storedTo = nextSequence;
    this.#queuedMessages = queuedMessages;
    this.#queuedBytes = queuedBytes;
    this.#restoreSent(connected ? undefined : sentTo, nextSequence);
  }

  /** A sequence whose append was lost is given again: nothing was sent that is not below the next one. */
  #restoreSent(sentTo: number | undefined, nextSequence: number): void {
    this.#sentTo = Math.min(sentTo ?? nextSequence, nextSequence);
    this.#isSentInDoubt = sentTo === undefined;
  }

  /** Of a session that is away: where the messages begin that no connection was sent. */
  get sentTo(): number {
    return this.#sentTo;
  }

  /** The connection is gone. What is in the vault is read again when the client comes back. */
  detach(): void {
    this.flushSettled();
    this.connection = undefined;
    this.letGo();
    if (!this.isDurable) return;
    if (this.#loadedTo >= this.#sentTo) this.#isSentInDoubt = false; // all that it was about was read, and sent or marked
    this.#sentTo = Math.max(this.#sentTo, this.#firstUnsent());
    this.#window.clear();
    this.#isLoading = false;
  }

  #firstUnsent(): number {
    for (const { sequence, isRepeated } of this.#window) if (sequence > 0 && !isRepeated) return sequence;
    return this.#loadedTo;
  }

  /**
   * What a member of shared subscriptions leaves unacknowledged when its session ends goes to the others: QoS 1, and QoS 2
   * that was not sent yet (MQTT-4.8.2-4, -5).
   */
  takeShared(): SharedFlight[] {
    const left: SharedFlight[] = [];
    for (const [, flight] of this.#sharedFlights ?? []) if (flight.qos === 1) left.push(flight);
    for (const { message, qos, group } of this.#window)
      if (group !== undefined) left.push({ message, qos, group });
    this.#sharedFlights = undefined;
    return left;
  }

  /** Whether an earlier connection may have been sent it. `place`: in the queue, from 0. */
  mayHaveSent(sequence: number, place: number): boolean {
    if (sequence >= this.#sentTo) return false;
    return !this.#isSentInDoubt || place < this.limits.maxInFlight;
  }

  // ------------------------------------------------------------------------------------------------- window on the vault

  #load(connection: Connection): void {
    if (this.#isLoading || this.#loadedTo >= this.#storedTo) return;
    if (!this.#window.hasRoomForPage) return;
    this.#isLoading = true;
    this.#readPage(connection, this.#storedTo).catch(() => {
      // The store is away: the messages are safe there, the connection stays.
      this.space.stats.storeErrors += 1;
      this.space.clock.after(retryReadMs, () => this.#goOn(connection));
    });
  }

  async #readPage(connection: Connection, committedTo: number): Promise<void> {
    const page = await this.space.vault.read(this.#key, this.#loadedTo, pageMessages, pageBytes);
    if (this.connection !== connection) return;
    this.#take(page, committedTo);
    this.#goOn(connection);
  }

  #goOn(connection: Connection): void {
    if (this.connection !== connection) return;
    this.#isLoading = false;
    this.pump();
  }

  #take(page: readonly QueuedMessage[], committedTo: number): void {
    for (const { sequence, qos, retain, subscriptionIds, released, message } of page) {
      const isRepeated = this.mayHaveSent(sequence, this.#loaded);
      this.#loaded += 1;
      if (!isRepeated && sequence < this.#sentTo) {
        this.#sentTo = sequence;
        this.#isSentInDoubt = false;
      }
      this.#window.push({
        sequence,
        message,
        qos,
        retain,
        subscriptionIds,
        group: undefined,
        isRepeated,
        isReleased: released,
        acceptedUnder: sequence < this.#reviewTo ? undefined : this.#policy,
      });
    }
    const last = page.at(-1);
    this.#loadedTo = last === undefined ? Math.max(this.#loadedTo, committedTo) : last.sequence + 1;
    if (last === undefined && this.#loadedTo >= this.#nextSequence) this.#resetCounts();
  }

  /** The vault's end is reached: what waits is what is in memory, whatever was dropped there meanwhile. */
  #resetCounts(): void {
    this.#queuedMessages = this.#window.length;
    this.#queuedBytes = this.#window.bytes;
  }
}
