/**
 * The ports through which the core meets the world. Each can be faked in a few lines (see testing/), and one contract suite
 * per port runs against every implementation. Nothing here knows about sockets, rows or frameworks.
 */
import type { Limits } from './limits.js';
import type {
  ClientId,
  Message,
  MessageProperties,
  ProtocolVersion,
  Qos,
  Subscription,
  TenantId,
  Will,
} from './message.js';
import type { Reason } from './reason.js';

// ---------------------------------------------------------------------------------------------------------------- Link

export type Transport = 'tcp' | 'tls' | 'ws' | 'wss';

/** What a client showed of itself in TLS, whose key it has proven to have; the rest is for the Gate to decide. DER. */
export interface PeerCertificate {
  readonly leaf: Buffer;
  /** Sent with it, each the issuer of the one before. */
  readonly intermediates: readonly Buffer[];
}

/** One accepted transport connection, the listener's side. The core writes to it; the listener feeds a LinkSink. */
export interface Link {
  readonly transport: Transport;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Server name from TLS (SNI), where the client sent one. */
  readonly serverName: string | undefined;
  readonly peerCertificate: PeerCertificate | undefined;
  /** `TLSv1.3`, where there is TLS: for the history of connections. */
  readonly tlsVersion?: string | undefined;
  /**
   * Queues bytes for sending; the buffers may be shared with other links and must not be changed, nor are they while the link holds
   * any of them (`bufferedBytes`).
   * False: more than the transport likes is waiting; `drained` will be called.
   */
  write(chunks: readonly Buffer[]): boolean;
  /** Bytes handed to write and not yet taken by the operating system. 0: the link holds none of the buffers any more. */
  readonly bufferedBytes: number;
  /** Stop and go on delivering `received`; at most a few chunks may still arrive after pause. */
  pause(): void;
  resume(): void;
  /** The client's packets have so many bytes at most: for a transport that collects bytes before it hands them over. */
  takePackets?(maxBytes: number): void;
  /** Sends what is written, then closes in a way that leaves it readable; force-closes after a while. */
  end(): void;
  destroy(): void;
}

/** The core's side of a link. After `closed` nothing more is called. None of them throws. */
export interface LinkSink {
  /**
   * The chunk's memory is the link's, which may use it again as soon as this returns; where it is not `place`'s. An empty one stands for
   * what the transport has handled by itself at the client's cost.
   */
  received(chunk: Buffer): void;
  /** More has come of what the link cannot hand over before it is whole. */
  coming?(): void;
  /** Where what comes next belongs: a link that can choose may read it to there. Undefined: nowhere in particular. */
  place?(): Buffer | undefined;
  drained(): void;
  /** The client has sent its last, and may still read. `closed` follows. */
  finished(): void;
  closed(error?: Error): void;
}

// --------------------------------------------------------------------------------------------------------------- Clock

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch; never steps back within a process. */
  now(): number;
  /** By how much it was set forward since it began: time that nobody has waited for. */
  readonly setForwardMs: number;
  after(ms: number, callback: () => void): Timer;
  /** Once the current turn of the loop has read what there is to read: where outboxes are flushed. */
  soon(callback: () => void): void;
}

// ---------------------------------------------------------------------------------------------------------------- Gate

/** Who is connected. Plain data: it is stored with durable sessions and wills, and reviewed against the rights of the day. */
export interface Principal {
  readonly tenantId: TenantId;
  readonly deviceId: string;
  readonly credentialId: string;
  readonly username: string;
  readonly clientId: ClientId;
  /** Where a certificate was part of the sign-in: its own credential, which may be another than that of the password. */
  readonly certificate?: (CertificateProof & { readonly credentialId: string }) | undefined;
  /** What else than a password the sign-in rests on: a token, or the word of the tenant's authenticator. */
  readonly voucher?: Voucher | undefined;
  /** How and from where it came, which rights may depend on; undefined: whoever stored this did not know. */
  readonly transport?: Transport | undefined;
  readonly address?: string | undefined;
}

/** What somebody has signed in with, that ends by itself and is not in the credential. Times in milliseconds. */
export type Voucher =
  | { readonly kind: 'key'; /** RFC 7638 */ readonly thumbprint: string; readonly until: number }
  | { readonly kind: 'issuer'; readonly issuerId: string; readonly issuer: string; readonly until: number }
  | { readonly kind: 'authenticator'; readonly until: number | undefined };

/** A certificate whose signatures have been checked: what is left to ask is whether it still stands. Times in milliseconds. */
export interface CertificateProof {
  /** SHA-256 of the client's certificate. */
  readonly fingerprint: string;
  /** Its subject's; undefined: it has none, or several. */
  readonly commonName?: string | undefined;
  /** The trust anchor that it leads to; undefined: it is pinned, and needs none. */
  readonly anchorId: string | undefined;
  /** Of the certificate in the path that the anchor itself has issued: what its revocation list speaks of. */
  readonly serial: string;
  /** Where that certificate says who is to be asked about it. */
  readonly responderUrl?: string | undefined;
  /** The shortest validity of all certificates in the path. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface SignIn {
  readonly protocolVersion: ProtocolVersion;
  /** Empty where the client leaves the choice to the server: the Gate names one in the principal, or leaves that to the core. */
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
  /** Of a client that is connected and authenticates again: as who it is. */
  readonly connectedAs?: string | undefined;
  readonly transport: Transport;
  readonly remoteAddress: string;
  readonly serverName: string | undefined;
  readonly peerCertificate: PeerCertificate | undefined;
}

/** What may be published to one topic. Immutable, shared, cached by the connection until the policy is swapped. */
export interface PublishRight {
  readonly allowed: boolean;
  readonly maxQos: Qos;
  readonly mayRetain: boolean;
  readonly maxPayloadBytes: number;
  /** Messages on this topic are readings: they go to the Journal. */
  readonly telemetry: boolean;
  /** Of the telemetry rule, where it names one: the field of a JSON object that holds the device's own time. */
  readonly timeField?: string | undefined;
  /** Why, for the denial record; a stable text without secrets. */
  readonly detail: string;
  /** Of what is allowed: the rule that allows it, for who keeps account of uses. */
  readonly rule?: RuleName | undefined;
}

export interface SubscribeRight {
  readonly allowed: boolean;
  readonly maxQos: Qos;
  readonly detail: string;
  readonly rule?: RuleName | undefined;
}

/** One rule of one version of a policy; the same object whenever it decides. */
export interface RuleName {
  readonly policyId: string;
  readonly version: number;
  /** Place in the policy's list of rules, from 0. */
  readonly rule: number;
}

/** Compiled rights of one principal: pure, synchronous, no I/O. Implemented by libs/access. */
export interface Policy {
  publishRight(topic: string): PublishRight;
  /** Decided by containment of the filter in what is allowed, never by matching the filter as a topic. */
  subscribeRight(filter: string): SubscribeRight;
  /** Asked per delivery only where `receivesAll` is false. */
  mayReceive(topic: string): boolean;
  /** True when subscribeRight alone decides: no receive rule narrows it. */
  readonly receivesAll: boolean;
}

export interface Grant {
  readonly kind: 'granted';
  readonly principal: Principal;
  readonly limits: Limits;
  readonly policy: Policy;
  /** What a 3.x publisher without the right sees; 5.0 always gets 0x87. */
  readonly publishDenied: 'acknowledge' | 'close';
  /** How long the tenant lets this grant be given again to who shows the same, while the store cannot be asked. */
  readonly signInGraceMs?: number | undefined;
  /** Made of what was read before, and may have changed since: before anybody is refused by it, `review` is asked. */
  readonly isRemembered?: boolean;
  /** It was given so: for what need not be stored alone. */
  readonly withoutStore?: boolean;
  /** When the credential ends (milliseconds since the epoch); the connection ends with it. */
  readonly expiresAt: number | undefined;
  /** When the rights change by themselves (milliseconds since the epoch): they are then asked for again. */
  readonly reviewAt?: number | undefined;
  /** For 5.0 clients that ask for Response Information: where their answers may be sent. */
  readonly responseInformation?: string | undefined;
}

export interface Refusal {
  readonly kind: 'refused';
  readonly reason: Reason;
  readonly detail: string;
  /** Where it is known: the tenant that may see the refusal. */
  readonly tenantId: TenantId | undefined;
  /** Where it is known: the device whose credential was named. */
  readonly deviceId?: string | undefined;
}

/** One step of an enhanced authentication (MQTT 5.0, 4.12). */
export interface Challenge {
  readonly kind: 'challenge';
  readonly data: Buffer;
}

export interface Exchange {
  /** Takes the client's Authentication Data. A Grant may carry the last data for the client (SCRAM's server signature). */
  next(
    data: Buffer | undefined,
  ): Promise<Challenge | { readonly grant: Grant; readonly data: Buffer | undefined } | Refusal>;
}

export interface Gate {
  /** Never rejects: a store that is down is a Refusal with serverUnavailable. */
  admit(request: SignIn): Promise<Grant | Refusal>;
  /** Rights of the day for somebody who signed in before, or is remembered: after a change, at resumption, when a will is due. */
  review(principal: Principal): Promise<Grant | Refusal>;
  /** Undefined: the method is not offered (0x8C). */
  exchange(method: string, request: SignIn): Exchange | undefined;
}

// --------------------------------------------------------------------------------------------------------------- Vault

/**
 * Called once, after the commit that covers the write, or with why it will never be covered. An error with the code `vault.refused` is
 * about what is in this write: it would be refused again.
 */
export type Stored = (error?: Error) => void;

export interface SessionKey {
  readonly tenantId: TenantId;
  readonly clientId: ClientId;
  /** Of the claim that writes; the vault refuses a write with an epoch older than the session's, never a newer one. */
  readonly epoch: number;
}

/** A message's place in one durable session's queue. Sequences of a session grow by one and are never reused. */
export interface QueueEntry {
  readonly session: SessionKey;
  readonly sequence: number;
  readonly qos: 1 | 2;
  /** The RETAIN flag this subscriber gets. */
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
}

export interface QueuedMessage {
  readonly sequence: number;
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  /** PUBREC has been received: only PUBREL may follow. */
  readonly released: boolean;
  readonly message: Message;
}

/** A durable session as the vault holds it. An expiry interval of 0xFFFFFFFF seconds never ends (MQTT 5.0, 3.1.2.11.2). */
export interface StoredSession {
  readonly clientId: ClientId;
  readonly principal: Principal;
  readonly epoch: number;
  readonly expiryIntervalS: number;
  /** While away; undefined: never, or connected when the process died. */
  readonly expiresAt: number | undefined;
  /** Somebody was connected when it was last written: its process died, if it is not this one. */
  readonly connected: boolean;
  readonly nextSequence: number;
  /**
   * When it was released last nothing had been sent but what has a lower sequence; undefined: nobody knows. What was sent since, to a
   * client that is connected or was when its process died, it does not tell.
   */
  readonly sentTo: number | undefined;
  readonly subscriptions: readonly Subscription[];
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  /** Of QoS 2 messages received and not yet released by the client. */
  readonly inboundPacketIds: readonly number[];
}

/** What a claim yields: the session, and whether it was there before (Session Present). */
export interface ClaimedSession extends StoredSession {
  readonly resumed: boolean;
}

export interface StoredWill {
  readonly principal: Principal;
  readonly epoch: number;
  readonly will: Will;
  /** Undefined while its connection lives; a dead process's wills are due after their delay. */
  readonly dueAt: number | undefined;
}

/** What one tenant's space starts with. */
export interface TenantState {
  /** The highest that any session, will or presence of the tenant has: the next one is higher, whatever the clock says now. */
  readonly lastEpoch: number;
  readonly sessions: readonly StoredSession[];
  readonly retained: readonly Message[];
  /** Wills of connections that ended, or whose process is gone, and that are still to be published. */
  readonly wills: readonly StoredWill[];
}

/**
 * The durable state of spaces. Writes are queued in the order they are made and committed in that order, many at a time;
 * `stored` is called in that order too. A caller whose writes outrun the disk sees `isFull` and pauses what feeds it.
 */
export interface Vault {
  /** Ids of the tenants that have wills to publish or sessions to expire: their spaces are opened at start. */
  tenantsWithWork(): Promise<readonly TenantId[]>;
  /** The wills of lost processes are this one's from now on, and no other's. */
  open(tenantId: TenantId): Promise<TenantState>;
  /**
   * Creates or takes over a durable session; its epoch becomes the one given, or the stored one's successor if that is
   * higher. A clean start empties it first. `sentTo` is undefined where nobody released it since the claim before. Takes its place in
   * the order of writes, resolves after the commit, rejects when the store is down.
   */
  claim(
    principal: Principal,
    epoch: number,
    expiryIntervalS: number,
    cleanStart: boolean,
  ): Promise<ClaimedSession>;
  /**
   * The client went away: the session stays until expiresAt (undefined: for ever). Nothing was sent but what is below sentTo. Ignored
   * where the session is gone.
   */
  release(session: SessionKey, expiryIntervalS: number, expiresAt: number | undefined, sentTo: number): void;
  /** Ends the session and all that hangs on it: subscriptions, queue, inbound packet identifiers; not its will. */
  remove(session: SessionKey, stored?: Stored): void;
  subscribe(session: SessionKey, subscriptions: readonly Subscription[], stored: Stored): void;
  unsubscribe(session: SessionKey, filters: readonly string[], stored: Stored): void;
  /**
   * The payload once, an entry per session; with `inbound`, the publisher's QoS 2 packet identifier in the same commit.
   * `entries` may be empty: then it is the identifier alone that is kept. An entry of a session that has ended is skipped.
   */
  append(
    message: Message,
    entries: readonly QueueEntry[],
    inbound: InboundPacket | undefined,
    stored: Stored,
  ): void;
  /** Entries in order of sequence, from the given one on; at least one if there is any, and no more than fits maxBytes. */
  read(
    session: SessionKey,
    fromSequence: number,
    maxMessages: number,
    maxBytes: number,
  ): Promise<readonly QueuedMessage[]>;
  /** PUBREC was received for this QoS 2 entry; PUBREL may be sent once stored. */
  markReceived(session: SessionKey, sequence: number, stored: Stored): void;
  /** The client is done with these entries, or they are dropped; unknown ones are ignored. Right behind an append: in its commit. */
  settle(session: SessionKey, sequences: readonly number[]): void;
  /** PUBREL was received: PUBCOMP may be sent once stored. */
  forgetInbound(packet: InboundPacket, stored: Stored): void;
  /** An empty payload clears the topic. */
  retain(tenantId: TenantId, message: Message, stored: Stored): void;
  /** Replaces the client's stored will; undefined discards it. */
  keepWill(
    principal: Principal,
    epoch: number,
    will: Will | undefined,
    dueAt: number | undefined,
    stored?: Stored,
  ): void;
  readonly isFull: boolean;
  /** Called once, when isFull is false again. */
  whenReady(callback: () => void): void;
  /** Resolves when everything written before it is committed or has failed; the Journal's too where they share a store. */
  flush(): Promise<void>;
}

export interface InboundPacket {
  readonly session: SessionKey;
  readonly packetId: number;
}

// ------------------------------------------------------------------------------------------------------------- Journal

export type PresenceCause =
  | 'connected'
  | 'clean' // DISCONNECT 0x00
  | 'will' // DISCONNECT 0x04
  | 'keep-alive'
  | 'network'
  | 'protocol-error'
  | 'kicked'
  | 'taken-over'
  | 'expired'
  | 'server-stop'
  | 'presumed'; // its process was lost

export interface PresenceEvent {
  readonly principal: Principal;
  readonly epoch: number;
  readonly state: 'online' | 'offline';
  readonly cause: PresenceCause;
  readonly at: number;
  /** Plain data for people: address, transport, protocol version, keep-alive, session expiry, reason name. No secrets. */
  readonly detail: Readonly<Record<string, string | number | boolean>>;
  /** The will that this end sets off, unless its client is back in time; undefined where it left none. */
  readonly will: { readonly topic: string; readonly payload: Buffer } | undefined;
}

export interface DenialNote {
  readonly tenantId: TenantId;
  readonly deviceId: string | undefined;
  readonly clientId: string;
  readonly username: string;
  readonly remoteAddress: string;
  readonly action: 'connect' | 'publish' | 'subscribe' | 'receive';
  readonly topic: string;
  readonly reason: Reason;
  readonly detail: string;
  readonly at: number;
  /** How many times; once, where it is not said. */
  readonly count?: number;
}

export interface Reading {
  readonly principal: Principal;
  readonly message: Message;
  /** From the publish right. */
  readonly timeField?: string | undefined;
}

export interface Journal {
  /** One telemetry row; committed with whatever the Vault was given before it and after it, in order. */
  telemetry(reading: Reading, stored: Stored): void;
  /** Late events (an epoch older than the current one) are recorded and change nothing. */
  presence(event: PresenceEvent): void;
  /** May be dropped, and counted, when there are too many; never slows a message. */
  denied(note: DenialNote): void;
}

// ---------------------------------------------------------------------------------------------------------------- News

/** What a tenant may know of itself, at its topic below `$tenant/`. Without a payload: what stood there is gone. */
export interface NewsItem {
  readonly topic: string;
  readonly payload: Buffer;
}

export interface NewsPage {
  readonly items: readonly NewsItem[];
  /** Undefined: there is no more. */
  readonly next: string | undefined;
}

/** What happens to a tenant in all processes, once it is stored. */
export interface News {
  /** Tells what is new, until what it returns is called. One follower a tenant. */
  follow(tenantId: TenantId, tell: (item: NewsItem) => void): () => void;
  /**
   * What stands now, at least where the filter matches, a page at a time. What changes after the page has been read is told after it
   * has been given. Rejects while the store cannot be asked.
   */
  standing(tenantId: TenantId, filter: string, after: string | undefined): Promise<NewsPage>;
}

// ------------------------------------------------------------------------------------------------------- what it did

/** What a change of rights did to live sessions in this process. */
export interface Receipt {
  readonly sessionsTouched: number;
  readonly subscriptionsRemoved: number;
  readonly connectionsClosed: number;
  /** Their right is gone: they are not published. */
  readonly willsSuppressed: number;
  /** What was ended has set them off, and they have been published. */
  readonly willsSent: number;
  /** Retained messages that were taken out of its memory. */
  readonly retainedCleared: number;
}

export type { ClientId, Message, MessageProperties, ProtocolVersion, Qos, Subscription, TenantId, Will };
