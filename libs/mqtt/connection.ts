/**
 * The life of one connection, top to bottom: frames come in by its intake, become packets, go to their handlers; replies go out
 * through the outbox; and there is one way out, `closed`. Whatever is thrown in between ends this connection and no other.
 */
import { InboundAliases, OutboundAliases } from './aliases.js';
import type { Broker } from './broker.js';
import { decode } from './codec.js';
import { encodeConnack, encodeDisconnect, encodeAcknowledge } from './encode.js';
import { authenticate } from './handlers/auth.js';
import { completed, received, acknowledged, released } from './handlers/acknowledge.js';
import { connect } from './handlers/connect.js';
import { disconnect } from './handlers/disconnect.js';
import { ping } from './handlers/ping.js';
import { publish } from './handlers/publish.js';
import { subscribe } from './handlers/subscribe.js';
import { unsubscribe } from './handlers/unsubscribe.js';
import { Hold, type HoldBit } from './hold.js';
import { Intake } from './intake.js';
import { defaultLimits, limitsBeforeSignIn, type Limits } from './limits.js';
import type { Message, ProtocolVersion, Qos, Will } from './message.js';
import { Outbox } from './outbox.js';
import type { ClientPacket } from './packets.js';
import type {
  DenialNote,
  Grant,
  Link,
  LinkSink,
  PresenceCause,
  PublishRight,
  SignIn,
  Timer,
} from './ports.js';
import { encodePublish, type Publication } from './publication.js';
import { PublishRights } from './publish-rights.js';
import { inConnack, inDisconnect, Reasons, type Reason } from './reason.js';
import { Receipts, type ReceiptType } from './receipts.js';
import { serversTopic } from './rights.js';
import type { Session } from './session.js';
import type { Ending, Space } from './space.js';
import { Deadline, RateLimit, rightsWaitMs } from './timers.js';
import { mostRemembered } from './topic.js';
import { ProtocolViolation } from './violation.js';

/** An exchange of AUTH packets that is under way (MQTT 5.0, 4.12). */
export interface Authentication {
  /** Takes the client's packet, which is waited for; undefined: it is the Gate's turn. */
  readonly next: ((data: Buffer | undefined) => void) | undefined;
}

/** A sign-in that the client thought better of. */
const calledOff: Ending = { cause: 'clean', reason: Reasons.success, will: 'discarded' };
/** What it costs to lay a message that is encoded already into an outbox, in `Turns`' units. */
const unitsOfDelivery = 1;
/** Bytes of a PUBACK, PUBREC or DISCONNECT beside its Reason String. */
const mostAround = 16;

/** What a 5.0 client was told in CONNACK holds as long as its connection: whoever keeps to it does no wrong. */
function withTold(limits: Limits, { receiveMaximum, maxPacketBytes, topicAliasMaximum }: Limits): Limits {
  return { ...limits, receiveMaximum, maxPacketBytes, topicAliasMaximum };
}

export class Connection implements LinkSink {
  readonly broker: Broker;
  readonly link: Link;
  readonly intake: Intake;
  readonly outbox: Outbox;
  state: 'new' | 'signing-in' | 'open' | 'closed' = 'new';
  version: ProtocolVersion | undefined = undefined;
  session: Session | undefined = undefined;
  publishDenied: Grant['publishDenied'] = 'acknowledge';
  limits: Limits = limitsBeforeSignIn;
  /** What CONNACK said of Retain Available. */
  offersRetain = true;
  will: Will | undefined = undefined;
  authentication: Authentication | undefined = undefined;
  /** Session Expiry Interval of CONNECT: from 0, DISCONNECT may not raise it. */
  requestedExpiryS = 0;
  /** The method of CONNECT, which every later AUTH must name (MQTT-4.12.1-1). */
  authenticationMethod: string | undefined = undefined;
  /** For people: presence, sessions, logs. */
  facts: Readonly<Record<string, string | number | boolean>> = {};
  // What is told of it when it has ended, beside what the outbox counts.
  bytesReceived = 0;
  messagesReceived = 0;
  messagesSent = 0;
  /** Nothing larger is sent to the client (MQTT-3.1.2-24). */
  maximumPacketSize = Number.MAX_SAFE_INTEGER;
  /** QoS 1 and 2 messages that may be unacknowledged towards this client. */
  sendWindow = 0;
  receipts: Receipts;

  /** Of its last PUBLISH. */
  #lastTopic = '';
  /** The client sends nothing more. */
  #hasFinished = false;
  /** The link is gone, and some of what it brought is still held. */
  #hasLeft = false;
  #signInDeadline: Deadline | undefined;
  #keepAlive: Deadline | undefined;
  #keepAliveMs = 0;
  #expiry: Deadline | undefined;
  #review: Deadline | undefined;
  /** Of the policy and the limits of now; many clients never publish. */
  #rights: PublishRights | undefined = undefined;
  #inboundAliases: InboundAliases | undefined;
  #outboundAliases: OutboundAliases | undefined;
  /** CONNACK has told the client of its limits. */
  #isWelcomed = false;
  #mayExplain = false;
  /** QoS 1 and 2 messages of the client's that are not acknowledged to the end (4.9). */
  #openInbound = 0;
  #messageRate: RateLimit | undefined;
  #bytesRate: RateLimit | undefined;
  #rateTimer: Timer | undefined;

  constructor(broker: Broker, link: Link) {
    this.broker = broker;
    this.link = link;
    this.intake = new Intake(broker, link, this);
    this.outbox = new Outbox(link, broker.turns, defaultLimits.maxOutboxBytes, this.#flushed);
    this.receipts = new Receipts(this.outbox, 4);
    this.awaitSignIn();
  }

  /** From here on the client has so long to prove who it is, at its sign-in and again when it authenticates anew. */
  awaitSignIn(): void {
    const { clock, preAuthLimits } = this.broker;
    this.#signInDeadline = new Deadline(clock, clock.now() + preAuthLimits.signInDeadlineMs, () => {
      const isClientsTurn = this.authentication?.next !== undefined;
      if (isClientsTurn) this.end(Reasons.notAuthorized, 'network');
      else if (this.state === 'open') this.awaitSignIn(); // the Gate takes its time: who the client was, it stays
      else this.end(Reasons.serverUnavailable, 'network');
    });
  }

  /** It is known who the client is. */
  signedIn(): void {
    this.#signInDeadline?.cancel();
    this.#signInDeadline = undefined;
  }

  // --------------------------------------------------------------------------------------------------- packets come in

  received(chunk: Buffer): void {
    if (this.state === 'closed') return;
    this.bytesReceived += chunk.length;
    this.intake.received(chunk);
    // The keep-alive is the time between two packets (3.1.2.10): a large one may take longer than that over a slow link.
    if (chunk.length > 0 && this.intake.isMidPacket) this.#isHeard(this.intake.now);
    if (this.session !== undefined) this.session.space.stats.bytesReceived += chunk.length;
  }

  coming(): void {
    this.#isHeard(this.broker.clock.now());
  }

  place(): Buffer | undefined {
    return this.intake.place();
  }

  /** One frame, good until this returns. Whatever is thrown goes to `fail`. */
  handle(frame: Buffer, bodyOffset: number): void {
    const packet = decode(frame, bodyOffset, this.version, this.limits, this.#lastTopic);
    if (packet.type === 'publish' && packet.topic.length <= mostRemembered) this.#lastTopic = packet.topic;
    this.#dispatch(packet);
  }

  #dispatch(packet: ClientPacket): void {
    const { session } = this;
    if (session === undefined) return this.#dispatchBeforeSession(packet);
    session.space.stats.packetsReceived += 1;
    this.#isHeard(this.intake.now);
    switch (packet.type) {
      case 'publish':
        return publish(this, session, packet);
      case 'puback':
        return acknowledged(session, packet);
      case 'pubrec':
        return received(this, session, packet);
      case 'pubrel':
        return released(this, session, packet);
      case 'pubcomp':
        return completed(session, packet);
      case 'subscribe':
        return subscribe(this, session, packet);
      case 'unsubscribe':
        return unsubscribe(this, session, packet);
      case 'pingreq':
        return ping(this);
      case 'disconnect':
        return disconnect(this, session, packet);
      case 'auth':
        return authenticate(this, packet);
      case 'connect': // the codec takes it as the first packet only
        throw new ProtocolViolation(Reasons.protocolError, 'second CONNECT'); // MQTT-3.1.0-2
    }
  }

  /** CONNECT first; then nothing but AUTH where an exchange asks for it, or DISCONNECT. */
  #dispatchBeforeSession(packet: ClientPacket): void {
    if (packet.type === 'connect') {
      this.state = 'signing-in';
      this.version = packet.protocolVersion;
      return connect(this, packet);
    }
    if (packet.type === 'auth') return authenticate(this, packet);
    if (packet.type === 'disconnect') return this.goodbye(calledOff); // MQTT-3.1.2-30
    throw new ProtocolViolation(Reasons.protocolError, 'a packet before CONNACK'); // 4.12
  }

  /** Nothing more is read until every hold is released. */
  hold(why: HoldBit): void {
    this.intake.hold(why);
  }

  release(why: HoldBit): void {
    if (this.isClosed || !this.intake.release(why) || this.isClosed) return;
    if (this.#hasLeft) this.#lost();
    else if (this.#hasFinished) this.#leaveIfAnswered();
    else this.intake.resume();
  }

  /**
   * Work for this client, step by step in as many turns as it takes (`Turns.work`), and then `whenDone`, also where the connection
   * is closed by then. Where it does not end at once nothing else is read, until `whenDone` or what comes of it releases the hold.
   */
  inTurns(why: HoldBit, step: () => boolean, whenDone: () => void): void {
    const rest = this.broker.turns.work(step);
    if (rest === undefined) return whenDone();
    this.hold(why);
    rest.then(whenDone).catch((error: unknown) => this.fail(error));
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  // -------------------------------------------------------------------------------------------------------- signed in

  /** From here on packets are handled; CONNACK is the first the client gets (MQTT-3.2.0-1). */
  open(
    session: Session,
    grant: Grant,
    client: {
      readonly receiveMaximum: number;
      readonly topicAliasMaximum: number;
      readonly mayExplain: boolean;
      readonly keepAliveS: number;
    },
    connack: Buffer,
  ): void {
    const { limits } = grant;
    this.state = 'open';
    this.session = session;
    this.signedIn();
    this.use(grant);
    this.receipts = new Receipts(this.outbox, this.version ?? 4);
    this.sendWindow = Math.min(client.receiveMaximum, limits.maxInFlight);
    this.#mayExplain = client.mayExplain;
    const aliases = Math.min(client.topicAliasMaximum, limits.maxOutboundTopicAliases);
    if (aliases > 0) this.#outboundAliases = new OutboundAliases(aliases);
    if (client.keepAliveS > 0) {
      this.#keepAliveMs = client.keepAliveS * 1500; // MQTT-3.1.2-22: one and a half times
      this.#awaitClient();
    }
    session.connection = this;
    if (connack.length > this.maximumPacketSize) {
      // There is no smaller truth about the limits: a client that cannot be told them is not let in, and told that if it fits.
      const refusal = encodeConnack(5, Reasons.packetTooLarge, false, {});
      if (refusal.length <= this.maximumPacketSize) this.outbox.write(refusal);
      return this.goodbye({ cause: 'protocol-error', reason: Reasons.packetTooLarge, will: 'discarded' });
    }
    this.outbox.write(connack);
    this.#isWelcomed = true;
    session.pump();
    this.release(Hold.signIn);
  }

  #isHeard(at: number): void {
    this.#keepAlive?.moveTo(at + this.#keepAliveMs);
  }

  /** Whoever is silent for too long is gone; but it is not silent as long as it is we who do not read. */
  #awaitClient(): void {
    const { clock } = this.broker;
    const { setForwardMs } = clock;
    // After a process has stood still its timers are due before it reads what came in time: that is read first.
    this.#keepAlive = new Deadline(clock, clock.now() + this.#keepAliveMs, () =>
      clock.soon(() => this.#judgeSilence(setForwardMs)),
    );
  }

  /** Where the clock was set forward since then, nobody knows how long the client has been silent: it is waited for anew. */
  #judgeSilence(setForwardMs: number): void {
    if (this.state === 'closed' || this.#keepAlive === undefined) return;
    const { clock } = this.broker;
    const isOver = this.#keepAlive.at <= clock.now() && clock.setForwardMs === setForwardMs;
    const isSilent = isOver && !this.intake.isHeld(~Hold.outbox);
    if (isSilent) this.end(Reasons.keepAliveTimeout, 'keep-alive');
    else this.#awaitClient();
  }

  /** The rights and limits that hold from now on. */
  use(grant: Grant): void {
    const { clock } = this.broker;
    const wasTold = this.version === 5 && this.#isWelcomed;
    const limits = wasTold ? withTold(grant.limits, this.limits) : grant.limits;
    this.offersRetain = wasTold ? this.offersRetain : limits.maxRetainedMessages > 0;
    this.publishDenied = grant.publishDenied;
    this.limits = limits;
    this.outbox.maxBytes = limits.maxOutboxBytes;
    this.intake.take(limits.maxPacketBytes);
    this.#rights = undefined;
    this.#messageRate = limits.publishRate > 0 ? new RateLimit(limits.publishRate, clock.now()) : undefined;
    this.#bytesRate =
      limits.publishBytesRate > 0 ? new RateLimit(limits.publishBytesRate, clock.now()) : undefined;
    this.#expiry?.cancel();
    this.#expiry = undefined;
    if (grant.expiresAt !== undefined) {
      this.#expiry = new Deadline(
        clock,
        grant.expiresAt,
        () => this.end(Reasons.notAuthorized, 'expired'),
        rightsWaitMs,
      );
    }
    this.#review?.cancel();
    this.#review = undefined;
    const { session } = this;
    if (session === undefined) return;
    if (grant.reviewAt !== undefined) {
      this.#review = new Deadline(clock, grant.reviewAt, () => this.broker.reviewDue(session), rightsWaitMs);
    }
    session.principal = grant.principal;
    session.policy = grant.policy;
    session.limits = limits;
  }

  /** Its session has another policy, and nothing else is new: what counts and what runs goes on. */
  forgetRights(): void {
    this.#rights = undefined;
  }

  publishRight(topic: string): PublishRight {
    const { session } = this;
    if (session === undefined) return serversTopic;
    this.#rights ??= new PublishRights(this.broker, session, session.policy, this.limits);
    return this.#rights.of(topic);
  }

  /** What the Gate is asked with. */
  signInAs(clientId: string, username: string | undefined, password: Buffer | undefined): SignIn {
    const { transport, remoteAddress, serverName, peerCertificate } = this.link;
    const protocolVersion = this.version ?? 4;
    return {
      protocolVersion,
      clientId,
      username,
      password,
      transport,
      remoteAddress,
      serverName,
      peerCertificate,
    };
  }

  resolveAlias(topic: string, alias: number): string {
    this.#inboundAliases ??= new InboundAliases(this.limits.topicAliasMaximum);
    return this.#inboundAliases.resolve(topic, alias);
  }

  /** Takes a place in the receive window the client was told of (MQTT-3.3.4-7, -8); 3.x clients were told of none. */
  takeInbound(): void {
    this.#openInbound += 1;
    if (this.#openInbound <= this.limits.receiveMaximum) return;
    if (this.version === 5) {
      throw new ProtocolViolation(Reasons.receiveMaximumExceeded, 'receive maximum exceeded');
    }
  }

  giveInbound(): void {
    if (this.#openInbound > 0) this.#openInbound -= 1;
  }

  /** Over the tenant's rate the message is still taken, and the link is not read until it is paid for. */
  countRate(bytes: number): void {
    const waitMs = Math.max(
      this.#messageRate?.take(1, this.intake.now) ?? 0,
      this.#bytesRate?.take(bytes, this.intake.now) ?? 0,
    );
    if (waitMs === 0) return;
    this.hold(Hold.rate);
    this.#rateTimer = this.broker.clock.after(waitMs, () => this.release(Hold.rate));
  }

  /** A vault that is full is not given more until it says so; a client that outruns it waits. */
  waitForStore(): void {
    const { vault } = this.broker;
    if (vault.isFull && !this.intake.isHeld(Hold.store)) {
      this.hold(Hold.store);
      vault.whenReady(() => this.release(Hold.store));
    }
    if (this.receipts.waiting >= this.limits.receiveMaximum) this.hold(Hold.receipts);
  }

  /** Refused, or a repetition: nothing of it is stored, yet its acknowledgement may wait for those before it. */
  acknowledge(type: ReceiptType, packetId: number, reasonCode: number, text: string | undefined): void {
    this.receipts.send(type, packetId, reasonCode, text);
    if (this.receipts.waiting >= this.limits.receiveMaximum) this.hold(Hold.receipts);
  }

  receiptSent(): void {
    if (this.receipts.waiting < this.limits.receiveMaximum) this.release(Hold.receipts);
    if (this.#hasFinished) this.#leaveIfAnswered();
  }

  // ------------------------------------------------------------------------------------------------------- bytes go out

  /** A message in the form that others get too. False: it is too large for this client (MQTT-3.1.2-25). */
  sendShared(
    publication: Publication,
    qos: Qos,
    retain: boolean,
    subscriptionIds: readonly number[],
    packetId: number,
  ): boolean {
    if (this.#outboundAliases !== undefined || subscriptionIds.length > 0) {
      return this.sendAlone(publication.message, qos, retain, false, subscriptionIds, packetId);
    }
    const encoded = publication.encoded(this.version ?? 4, qos, retain);
    if (encoded.totalBytes > this.maximumPacketSize) return this.#tooLarge();
    this.outbox.publish(encoded, packetId);
    this.#countSent(unitsOfDelivery);
    return true;
  }

  /** A message in a form of its own. */
  sendAlone(
    message: Message,
    qos: Qos,
    retain: boolean,
    dup: boolean,
    subscriptionIds: readonly number[],
    packetId: number,
  ): boolean {
    const alias = this.#outboundAliases?.find(message);
    const encoded = encodePublish(
      message,
      {
        version: this.version ?? 4,
        qos,
        retain,
        dup: dup && qos > 0,
        subscriptionIds,
        topicAlias: alias?.alias,
        omitsTopic: alias !== undefined && alias.isSet,
      },
      message.expiresAt === undefined ? 0 : this.broker.clock.now(),
    );
    if (encoded.totalBytes > this.maximumPacketSize) return this.#tooLarge();
    if (alias !== undefined && !alias.isSet) this.#outboundAliases?.set(message, alias.alias);
    this.outbox.publish(encoded, packetId);
    this.#countSent(4 * unitsOfDelivery); // it has been encoded too
    return true;
  }

  #countSent(units: number): void {
    this.broker.turns.spend(units);
    this.messagesSent += 1;
    if (this.session !== undefined) this.session.space.stats.messagesSent += 1;
  }

  #tooLarge(): boolean {
    if (this.session !== undefined) this.session.space.stats.droppedTooLarge += 1;
    return false;
  }

  sendRelease(packetId: number, reasonCode = 0): void {
    if (reasonCode === 0) this.outbox.acknowledge(0x62, packetId);
    else this.outbox.write(encodeAcknowledge('pubrel', this.version ?? 4, packetId, reasonCode));
  }

  sendComplete(packetId: number, reasonCode = 0): void {
    if (reasonCode === 0) this.outbox.acknowledge(0x70, packetId);
    else this.outbox.write(encodeAcknowledge('pubcomp', this.version ?? 4, packetId, reasonCode));
  }

  /** An answer that cannot be left out: where it is larger than the client takes, the connection ends. */
  reply(bytes: Buffer): void {
    if (bytes.length <= this.maximumPacketSize) this.outbox.write(bytes);
    else this.end(Reasons.packetTooLarge, 'protocol-error');
  }

  /** What a packet may say beside its code, where the client wants to hear it (MQTT-3.1.2-29) and it fits (MQTT-3.4.2-2). */
  explanation(text: string): string | undefined {
    const fits = Buffer.byteLength(text) + mostAround <= this.maximumPacketSize;
    return this.#mayExplain && fits ? text : undefined;
  }

  /** Once a turn, after what there was has gone to the link. */
  readonly #flushed = (): void => {
    const { session } = this;
    if (session === undefined || this.state !== 'open') return;
    session.flushSettled();
    if (this.outbox.hasRoom || this.#hasLeft) {
      this.release(Hold.outbox);
      if (session.hasQueued) session.pump();
    } else this.hold(Hold.outbox); // a client that does not read its replies gets no more of them
  };

  drained(): void {
    if (this.state === 'closed') return;
    this.outbox.drained();
    this.outbox.wake();
  }

  // ------------------------------------------------------------------------------------------------------ the way out

  /** A refusal that the tenant may see. */
  denied(action: DenialNote['action'], topic: string, reason: Reason, detail: string): void {
    const { session } = this;
    if (session === undefined) return;
    session.space.stats.denied += 1;
    session.space.journal.denied({
      tenantId: session.principal.tenantId,
      deviceId: session.principal.deviceId,
      clientId: session.clientId,
      username: session.principal.username,
      remoteAddress: this.link.remoteAddress,
      action,
      topic,
      reason,
      detail,
      at: this.broker.clock.now(),
    });
  }

  /** What was to be stored never will be: it is not acknowledged, and the client is told to come again. */
  storeFailed(): void {
    this.end(Reasons.serverUnavailable, 'network');
  }

  /** Whatever was thrown while handling this connection. */
  fail(error: unknown): void {
    if (error instanceof ProtocolViolation) {
      if (this.state === 'new') this.version = error.version;
      return this.end(error.reason, 'protocol-error', 'due', error.message);
    }
    this.broker.onFault(error);
    this.end(Reasons.unspecified, 'protocol-error');
  }

  /** Ends the connection from this side: says why where the client can read it, sends what waits, closes. */
  end(reason: Reason, cause: PresenceCause, will: Ending['will'] = 'due', text?: string): void {
    if (this.state === 'closed') return;
    this.#sayGoodbye(reason, text);
    this.outbox.flush();
    this.#close({ cause, reason, will });
    this.link.end();
  }

  #sayGoodbye(reason: Reason, text: string | undefined): void {
    const { version } = this;
    if (version === undefined) return; // not MQTT: there is nothing to answer
    const isElsewhere = reason === Reasons.useAnotherServer || reason === Reasons.serverMoved;
    const serverReference = isElsewhere ? this.broker.serverReference : undefined; // 4.11
    const isOpen = this.state === 'open';
    if (isOpen && version !== 5) return; // 3.x: closing says it (MQTT-3.14.0-1)
    const reasonString = text === undefined ? undefined : this.explanation(text);
    const code = inDisconnect(reason).code;
    const goodbye = isOpen
      ? encodeDisconnect(code, { reasonString, serverReference })
      : encodeConnack(version, inConnack(reason), false, { serverReference });
    if (goodbye.length <= this.maximumPacketSize) return this.outbox.write(goodbye);
    // The code alone, or nothing. MQTT-3.1.2-24
    const short = isOpen ? encodeDisconnect(code) : encodeConnack(version, inConnack(reason), false, {});
    if (short.length <= this.maximumPacketSize) this.outbox.write(short);
  }

  /** The client said DISCONNECT: nothing is sent any more (MQTT-3.14.4-2). */
  goodbye(ending: Ending): void {
    if (this.state === 'closed') return;
    this.outbox.flush();
    if (this.isClosed) return; // by what the flush has set free
    this.#close(ending);
    this.link.end();
  }

  /**
   * The client has sent its last (a half-closed connection): what it sent is handled and answered, and then it has gone. Not for
   * a sign-in that nothing follows: whoever tires of waiting leaves in the same way.
   */
  finished(): void {
    if (this.state === 'closed') return;
    this.#hasFinished = true;
    this.#leaveIfAnswered();
  }

  #leaveIfAnswered(): void {
    if (this.state === 'closed' || this.intake.isReading) return;
    const isHandled = !this.intake.hasUnread && (this.state !== 'open' || !this.intake.isHeld());
    if (!isHandled || this.receipts.waiting > 0) return;
    this.goodbye({ cause: 'network', reason: Reasons.unspecified, will: 'due' });
  }

  /** The link is gone. What came over it before is handled all the same: messages that were sent, and perhaps a DISCONNECT. */
  closed(_error?: Error): void {
    if (this.state === 'closed') return;
    if (!this.intake.hasUnread) return this.#lost();
    this.#hasLeft = true;
    this.drained(); // nobody reads what is on its way out, so nothing waits for it
  }

  #lost(): void {
    this.#close({ cause: 'network', reason: Reasons.unspecified, will: 'due' });
  }

  #close(ending: Ending): void {
    this.state = 'closed';
    this.#signInDeadline?.cancel();
    this.#keepAlive?.cancel();
    this.#expiry?.cancel();
    this.#review?.cancel();
    this.#rateTimer?.cancel();
    this.outbox.close();
    this.intake.stop();
    const { session } = this;
    const space: Space | undefined = session?.space;
    if (session !== undefined && session.connection === this) space?.left(this, session, ending);
    if (space !== undefined) space.stats.bytesSent += this.outbox.bytesSent;
    this.broker.left(this);
  }
}
