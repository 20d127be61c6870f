/**
 * What one tenant may use. Every limit is checked before memory is spent and announced in CONNACK where MQTT 5.0 has a
 * property for it. Sizes in bytes, times in seconds, rates per second.
 */
export interface Limits {
  /** Of a whole packet, fixed header included (Maximum Packet Size). */
  readonly maxPacketBytes: number;
  readonly maxTopicBytes: number;
  readonly maxTopicLevels: number;
  readonly maxClientIdBytes: number;
  readonly maxUserProperties: number;
  readonly maxSubscriptionsPerSession: number;
  readonly maxSubscriptionsPerPacket: number;
  /** QoS 1 and 2 messages a client may have unacknowledged towards the server (Receive Maximum). */
  readonly receiveMaximum: number;
  /** The most the server has unacknowledged towards one client, whatever its own Receive Maximum allows. */
  readonly maxInFlight: number;
  /** Topic Alias Maximum towards the server. */
  readonly topicAliasMaximum: number;
  /** Topic aliases the server uses towards one client, where the client allows them. */
  readonly maxOutboundTopicAliases: number;
  /** Messages and payload bytes that wait for one session beyond its in-flight window. */
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  /** Encoded bytes that wait for one connection's socket; over it QoS 0 is dropped and counted, QoS 1 and 2 stay queued. */
  readonly maxOutboxBytes: number;
  /** A longer keep-alive, or none (0), is replaced by this one (Server Keep Alive). 0: any is accepted. */
  readonly maxKeepAliveS: number;
  /** A longer Session Expiry Interval is cut to this one, and CONNACK says so. */
  readonly maxSessionExpiryS: number;
  readonly maxConnections: number;
  /** Sessions, connected or away; over it no client begins a new one that outlives its connection. */
  readonly maxSessions: number;
  /** How often connections of one client identifier may take over from each other in a minute; then newcomers are held off. 0: no limit. */
  readonly maxTakeovers: number;
  readonly maxRetainedMessages: number;
  readonly maxRetainedBytes: number;
  /** PUBLISH packets and bytes a second from one connection; over it the link is paused. 0: no limit. */
  readonly publishRate: number;
  readonly publishBytesRate: number;
}

export const defaultLimits: Limits = Object.freeze({
  maxPacketBytes: 1024 * 1024,
  maxTopicBytes: 1024,
  maxTopicLevels: 32,
  maxClientIdBytes: 256,
  maxUserProperties: 64,
  maxSubscriptionsPerSession: 10_000,
  maxSubscriptionsPerPacket: 1_000,
  receiveMaximum: 1_000,
  maxInFlight: 1_000,
  topicAliasMaximum: 100,
  maxOutboundTopicAliases: 32,
  maxQueuedMessages: 100_000,
  maxQueuedBytes: 64 * 1024 * 1024,
  maxOutboxBytes: 4 * 1024 * 1024,
  maxKeepAliveS: 0,
  maxSessionExpiryS: 30 * 24 * 3600,
  maxConnections: 100_000,
  maxSessions: 200_000,
  maxTakeovers: 20,
  maxRetainedMessages: 100_000,
  maxRetainedBytes: 256 * 1024 * 1024,
  publishRate: 0,
  publishBytesRate: 0,
});

/**
 * A CONNECT is read under them, before it is known whose limits hold; its will is then held against those. Its size bounds it anyway: a
 * tenant may allow more than the default, and a will is to have what its owner may send.
 */
export const limitsBeforeSignIn: Limits = Object.freeze({ ...defaultLimits, maxUserProperties: 1_000 });

/** Before sign-in there is no tenant yet: a CONNECT packet must fit in this, and arrive within the deadline. */
export interface PreAuthLimits {
  readonly maxConnectBytes: number;
  readonly signInDeadlineMs: number;
}

export const defaultPreAuthLimits: PreAuthLimits = Object.freeze({
  // The longest field there is, 65,535 bytes of a will's payload say, and beside it a token of several KiB as password.
  maxConnectBytes: 80 * 1024,
  signInDeadlineMs: 10_000,
});
