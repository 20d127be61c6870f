/**
 * Frames → packets: one function a packet type, in the order of the standard's chapter 3. What is not to the letter is
 * refused here with the reason that MQTT 5.0 gives for it (4.13), so that a handler never sees a packet it has to doubt.
 */
import { copyBytes } from './framing.js';
import type { Limits } from './limits.js';
import { defaultLimits } from './limits.js';
import type { MessageProperties, ProtocolVersion, Qos, Subscription, Will } from './message.js';
import type {
  AcknowledgePacket,
  AuthPacket,
  ClientPacket,
  ConnectPacket,
  DisconnectPacket,
  PublishPacket,
  ReceivedPublish,
  SubscribePacket,
  UnsubscribePacket,
} from './packets.js';
import { noProperties, noUserProperties, Place, readProperties, type ReadProperties } from './properties.js';
import { malformed, protocolError, Reader, readUint16 } from './reader.js';
import { Reasons, type Reason } from './reason.js';
import { isShared, isTopicName } from './topic.js';
import { readUtf8 } from './utf8.js';
import { ProtocolViolation } from './violation.js';

/** The limits that have to be watched while a packet is read; the others are the handlers'. */
export type DecodeLimits = Pick<Limits, 'maxUserProperties' | 'maxSubscriptionsPerPacket'>;

const pingRequest = Object.freeze({ type: 'pingreq' } as const);
const neverExpires = 0xffff_ffff;

/**
 * Reads one frame of the Framer's. `version` is the connection's, undefined before CONNECT, when only CONNECT is taken.
 * Payload and binary values are views on the frame's memory (see framing.ts), those of CONNECT excepted.
 * `lastTopic` is that of the client's PUBLISH before, if any. Throws ProtocolViolation and nothing else.
 */
export function decode(
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion | undefined,
  limits: DecodeLimits = defaultLimits,
  lastTopic = '',
): ClientPacket {
  const first = frame[0] as number;
  const type = first >> 4;
  if (version === undefined) {
    if (type !== 1) throw protocolError('the first packet is not CONNECT'); // MQTT-3.1.0-1
    return decodeConnect(frame, bodyOffset, limits);
  }
  if (version === 5 && isOverlongLength(frame, bodyOffset)) {
    throw malformed('Remaining Length written longer than it needs'); // MQTT-1.5.5-1
  }
  switch (type) {
    case 3:
      return decodePublish(frame, bodyOffset, first, version, limits, lastTopic);
    case 4:
      return decodeAcknowledge('puback', frame, bodyOffset, version, limits);
    case 5:
      return decodeAcknowledge('pubrec', frame, bodyOffset, version, limits);
    case 6:
      requireNoDup(first, version);
      return decodeAcknowledge('pubrel', frame, bodyOffset, version, limits);
    case 7:
      return decodeAcknowledge('pubcomp', frame, bodyOffset, version, limits);
    case 8:
      requireNoDup(first, version);
      return decodeSubscribe(frame, bodyOffset, version, limits);
    case 10:
      requireNoDup(first, version);
      return decodeUnsubscribe(frame, bodyOffset, version, limits);
    case 12:
      if (frame.length !== bodyOffset) throw malformed('PINGREQ with a body');
      return pingRequest;
    case 14:
      return decodeDisconnect(frame, bodyOffset, version, limits);
    case 15:
      return decodeAuth(frame, bodyOffset, version, limits);
    default: // a second CONNECT (MQTT-3.1.0-2), or what only a server sends
      throw protocolError('a packet that a client may not send now');
  }
}

/** MQTT-1.5.5-1, which 3.x does not have. */
function isOverlongLength(frame: Buffer, bodyOffset: number): boolean {
  return bodyOffset > 2 && frame[bodyOffset - 1] === 0;
}

/** The framer lets the DUP flag of MQTT 3.1 pass in PUBREL, SUBSCRIBE and UNSUBSCRIBE. */
function requireNoDup(first: number, version: ProtocolVersion): void {
  if (version !== 3 && (first & 0x08) !== 0) throw malformed('reserved flags'); // MQTT-2.1.3-1
}

// ------------------------------------------------------------------------------------------------------------- CONNECT

function decodeConnect(frame: Buffer, bodyOffset: number, limits: DecodeLimits): ConnectPacket {
  const reader = new Reader(frame, bodyOffset, frame.length);
  const version = readProtocol(reader);
  try {
    if (version === 5 && isOverlongLength(frame, bodyOffset)) {
      throw malformed('Remaining Length written longer than it needs'); // MQTT-1.5.5-1
    }
    return readConnect(reader, version, limits);
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
    const { reason, message } = error;
    throw new ProtocolViolation(reason, message, hasAnswer(version, reason) ? version : undefined);
  }
}

/** A CONNECT that does not conform: 5.0 allows a CONNACK that says why, 3.1.1 forbids it. MQTT-3.1.4-1 */
function hasAnswer(version: ProtocolVersion, reason: Reason): boolean {
  return version === 5 || reason === Reasons.clientIdentifierNotValid; // 3.1.1: MQTT-3.1.3-8
}

/** Protocol Name and Level, which make a pair (3.1.2.1, 3.1.2.2). */
function readProtocol(reader: Reader): ProtocolVersion {
  const name = reader.string();
  const level = reader.byte();
  if (name === 'MQIsdp' && level === 3) return 3;
  if (name === 'MQTT' && (level === 4 || level === 5)) return level;
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    throw new ProtocolViolation(Reasons.unsupportedProtocolVersion, 'not the MQTT protocol'); // MQTT-3.1.2-1
  }
  // 3.1.1 obliges the server to answer 0x01 in its own form; 5.0 allows 0x84 and does not oblige (MQTT-3.1.2-2 in both).
  throw new ProtocolViolation(Reasons.unsupportedProtocolVersion, 'unknown protocol level', 4);
}

function readConnect(reader: Reader, version: ProtocolVersion, limits: DecodeLimits): ConnectPacket {
  const flags = reader.byte();
  const hasUsername = (flags & 0x80) !== 0;
  const hasPassword = (flags & 0x40) !== 0;
  const hasWill = (flags & 0x04) !== 0;
  const cleanStart = (flags & 0x02) !== 0;
  if ((flags & 0x01) !== 0) throw malformed('reserved CONNECT flag'); // MQTT-3.1.2-3
  // MQTT 3.1, 3.1, disregards the values of these flags where there is no will. MQTT-3.1.2-11, -13
  if (!hasWill && (flags & 0x38) !== 0 && version !== 3) throw malformed('will flags without a will');
  if (version !== 5 && hasPassword && !hasUsername) throw malformed('password without user name'); // 3.1.1: MQTT-3.1.2-22
  const keepAliveS = reader.uint16();
  const properties =
    version === 5 ? readProperties(reader, Place.connect, limits.maxUserProperties) : noProperties;
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw protocolError('Authentication Data without a method'); // 3.1.2.11.10
  }

  const clientId = reader.string(); // MQTT-3.1.3-3
  const will = hasWill ? readWill(reader, flags, version, limits) : undefined;
  // MQTT 3.1, 3.1: the remaining length takes precedence over the flags; the strings themselves may be missing.
  const username = hasUsername && !(version === 3 && reader.isAtEnd) ? reader.string() : undefined;
  const password = hasPassword && !(version === 3 && reader.isAtEnd) ? copyBytes(reader.binary()) : undefined;
  reader.finish();

  if (clientId === '' && (version === 3 || (version === 4 && !cleanStart))) {
    throw new ProtocolViolation(Reasons.clientIdentifierNotValid, 'empty client identifier'); // 3.1.1: MQTT-3.1.3-8
  }
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart,
    keepAliveS,
    clientId,
    username,
    password,
    will,
    sessionExpiryIntervalS:
      version === 5 ? (properties.sessionExpiryInterval ?? 0) : cleanStart ? 0 : neverExpires,
    receiveMaximum: properties.receiveMaximum ?? 65_535,
    maximumPacketSize: properties.maximumPacketSize,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    requestResponseInformation: properties.requestResponseInformation ?? false,
    requestProblemInformation: properties.requestProblemInformation ?? true,
    userProperties: properties.userProperties ?? noUserProperties,
    authenticationMethod: properties.authenticationMethod,
    authenticationData: copyOf(properties.authenticationData),
  };
}

function readWill(reader: Reader, flags: number, version: ProtocolVersion, limits: DecodeLimits): Will {
  const qos = (flags >> 3) & 0x03;
  if (qos === 3) throw malformed('will QoS 3'); // MQTT-3.1.2-12
  const properties =
    version === 5 ? readProperties(reader, Place.will, limits.maxUserProperties) : noProperties;
  const topic = reader.string(); // MQTT-3.1.3-11
  if (!isTopicName(topic)) {
    throw new ProtocolViolation(Reasons.topicNameInvalid, 'will topic is not a topic name');
  }
  return {
    topic,
    payload: copyBytes(reader.binary()),
    qos: qos as Qos,
    retain: (flags & 0x20) !== 0,
    properties: messageProperties({ ...properties, correlationData: copyOf(properties.correlationData) }),
    delayS: properties.willDelayInterval ?? 0,
    messageExpiryS: properties.messageExpiryInterval,
  };
}

/** What CONNECT and AUTH bring outlives its chunk, and is rare. */
function copyOf(bytes: Buffer | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : copyBytes(bytes);
}

// ------------------------------------------------------------------------------------------------------------- PUBLISH

/** The path of every message: one look at each byte of the topic, no reader where there are no properties. */
function decodePublish(
  frame: Buffer,
  bodyOffset: number,
  first: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
  lastTopic: string,
): PublishPacket {
  const end = frame.length;
  if (end - bodyOffset < 2) throw malformed('packet cut short');
  const topicStart = bodyOffset + 2;
  let at = topicStart + readUint16(frame, bodyOffset);
  const qos = (first >> 1) & 0x03;
  if (at + (qos > 0 ? 2 : 0) > end) throw malformed('packet cut short');
  const topic = isAscii(lastTopic, frame, topicStart, at) ? lastTopic : readTopic(frame, topicStart, at);
  let packetId = 0;
  const packetIdAt = qos > 0 ? at : 0;
  if (qos > 0) {
    packetId = readUint16(frame, at);
    if (packetId === 0) throw protocolError('packet identifier 0'); // MQTT-2.2.1-3
    at += 2;
  }

  let properties = noProperties;
  let isPlain = true;
  if (version === 5) {
    if (frame[at] === 0) at += 1;
    else {
      isPlain = false;
      const reader = new Reader(frame, at, end);
      properties = readProperties(reader, Place.publish, limits.maxUserProperties);
      at = reader.at;
    }
  }
  if (topic === '' && properties.topicAlias === undefined) {
    if (version === 5) throw protocolError('neither topic nor alias'); // 3.3.2.1
    throw new ProtocolViolation(Reasons.topicNameInvalid, 'empty topic name'); // 3.1.1: MQTT-4.7.3-1
  }
  return {
    type: 'publish',
    dup: (first & 0x08) !== 0,
    qos: qos as Qos,
    retain: (first & 0x01) !== 0,
    topic,
    packetId,
    topicAlias: properties.topicAlias,
    messageExpiryS: properties.messageExpiryInterval,
    properties: properties === noProperties ? undefined : messageProperties(properties),
    payload: frame.subarray(at, end),
    asReceived: isPlain ? wholeFrame(frame, bodyOffset, first, version, packetIdAt) : undefined,
  };
}

function readTopic(frame: Buffer, start: number, end: number): string {
  const topic = readUtf8(frame, start, end);
  if (topic !== '' && !isTopicName(topic)) {
    throw new ProtocolViolation(Reasons.topicNameInvalid, 'wildcard in a topic name'); // MQTT-3.3.2-2
  }
  return topic;
}

/**
 * Whether the bytes are that text, and ASCII. Most clients publish to one topic again and again: to make its string of bytes each time, and
 * then the string's hash, costs more than to see that it is the same.
 */
function isAscii(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let at = 0; at < text.length; at++) {
    const byte = bytes[start + at] as number;
    if (byte > 0x7e || byte !== text.charCodeAt(at)) return false;
  }
  return true;
}

function wholeFrame(
  frame: Buffer,
  bodyOffset: number,
  first: number,
  version: ProtocolVersion,
  packetIdAt: number,
): ReceivedPublish | undefined {
  const totalBytes = frame.length;
  if (isOverlongLength(frame, bodyOffset)) return undefined;
  if ((first & 0x08) !== 0) return undefined; // MQTT-3.3.1-3: DUP is never the publisher's
  return { bytes: frame, packetIdAt, payload: undefined, isLent: true, totalBytes, version };
}

/** Those that travel on to the subscribers; undefined where there are none. */
function messageProperties(read: Readonly<ReadProperties>): MessageProperties | undefined {
  const kept: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] } = {};
  let isEmpty = true;
  if (read.payloadFormatIndicator !== undefined) {
    kept.payloadFormatIndicator = read.payloadFormatIndicator;
    isEmpty = false;
  }
  if (read.contentType !== undefined) {
    kept.contentType = read.contentType;
    isEmpty = false;
  }
  if (read.responseTopic !== undefined) {
    kept.responseTopic = read.responseTopic;
    isEmpty = false;
  }
  if (read.correlationData !== undefined) {
    kept.correlationData = read.correlationData;
    isEmpty = false;
  }
  if (read.userProperties !== undefined) {
    kept.userProperties = read.userProperties;
    isEmpty = false;
  }
  return isEmpty ? undefined : kept;
}

// ------------------------------------------------------------------------------------ PUBACK, PUBREC, PUBREL, PUBCOMP

/** 3.4.2.1, which holds for PUBREC too. */
const receiptCodes: readonly number[] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
/** 3.6.2.1, which holds for PUBCOMP too. */
const releaseCodes: readonly number[] = [0x00, 0x92];

function decodeAcknowledge(
  type: AcknowledgePacket['type'],
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
): AcknowledgePacket {
  const length = frame.length - bodyOffset;
  if (length < 2) throw malformed('packet cut short');
  const packetId = readUint16(frame, bodyOffset);
  if (packetId === 0) throw protocolError('packet identifier 0'); // MQTT-2.2.1-3
  if (length === 2) return { type, packetId, reasonCode: 0 };
  if (version !== 5) throw malformed('bytes after the end of the packet');
  const reasonCode = frame[bodyOffset + 2] as number;
  const allowed = type === 'puback' || type === 'pubrec' ? receiptCodes : releaseCodes;
  if (!allowed.includes(reasonCode)) throw protocolError('a reason code that does not belong there'); // MQTT-3.4.2-1
  if (length > 3) {
    const reader = new Reader(frame, bodyOffset + 3, frame.length);
    readProperties(reader, Place.acknowledge, limits.maxUserProperties);
    reader.finish();
  }
  return { type, packetId, reasonCode };
}

// ------------------------------------------------------------------------------------------- SUBSCRIBE and UNSUBSCRIBE

function decodeSubscribe(
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
): SubscribePacket {
  const reader = new Reader(frame, bodyOffset, frame.length);
  const packetId = readPacketId(reader);
  const properties =
    version === 5 ? readProperties(reader, Place.subscribe, limits.maxUserProperties) : noProperties;
  if (reader.isAtEnd) throw protocolError('SUBSCRIBE without a filter'); // MQTT-3.8.3-2
  const subscriptions: Subscription[] = [];
  while (!reader.isAtEnd) {
    if (subscriptions.length >= limits.maxSubscriptionsPerPacket) throw tooManyFilters();
    const filter = reader.string(); // MQTT-3.8.3-1
    const options = reader.byte();
    subscriptions.push(
      version === 5
        ? readSubscription(filter, options, properties.subscriptionIdentifier)
        : readSubscription3(filter, options),
    );
  }
  return { type: 'subscribe', packetId, subscriptions };
}

function readSubscription(filter: string, options: number, subscriptionId: number | undefined): Subscription {
  const qos = options & 0x03;
  const noLocal = (options & 0x04) !== 0;
  const retainHandling = (options >> 4) & 0x03;
  if ((options & 0xc0) !== 0) throw malformed('reserved subscription options'); // MQTT-3.8.3-5
  if (qos === 3) throw protocolError('QoS 3'); // 3.8.3.1
  if (retainHandling === 3) throw protocolError('Retain Handling 3'); // 3.8.3.1
  if (noLocal && isShared(filter)) throw protocolError('No Local on a shared subscription'); // MQTT-3.8.3-4
  return {
    filter,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
    subscriptionId,
  };
}

function readSubscription3(filter: string, options: number): Subscription {
  if (options > 2) throw malformed('reserved bits, or QoS 3, in a requested QoS'); // 3.1.1: MQTT-3.8.3-4
  return {
    filter,
    qos: options as Qos,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionId: undefined,
  };
}

function decodeUnsubscribe(
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
): UnsubscribePacket {
  const reader = new Reader(frame, bodyOffset, frame.length);
  const packetId = readPacketId(reader);
  if (version === 5) readProperties(reader, Place.unsubscribe, limits.maxUserProperties);
  if (reader.isAtEnd) throw protocolError('UNSUBSCRIBE without a filter'); // MQTT-3.10.3-2
  const filters: string[] = [];
  while (!reader.isAtEnd) {
    if (filters.length >= limits.maxSubscriptionsPerPacket) throw tooManyFilters();
    filters.push(reader.string()); // MQTT-3.10.3-1
  }
  return { type: 'unsubscribe', packetId, filters };
}

function readPacketId(reader: Reader): number {
  const packetId = reader.uint16();
  if (packetId === 0) throw protocolError('packet identifier 0'); // MQTT-2.2.1-3
  return packetId;
}

function tooManyFilters(): ProtocolViolation {
  return new ProtocolViolation(Reasons.quotaExceeded, 'more filters in one packet than allowed');
}

// ------------------------------------------------------------------------------------------------- DISCONNECT and AUTH

/** 3.14.2.1, the client's. */
const disconnectCodes: readonly number[] = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];

function decodeDisconnect(
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
): DisconnectPacket {
  if (frame.length === bodyOffset) {
    return { type: 'disconnect', reasonCode: 0, sessionExpiryIntervalS: undefined };
  }
  if (version !== 5) throw malformed('DISCONNECT with a body');
  const reader = new Reader(frame, bodyOffset, frame.length);
  const reasonCode = reader.byte();
  if (!disconnectCodes.includes(reasonCode)) throw protocolError('a reason code that does not belong there'); // MQTT-3.14.2-1
  const properties = reader.isAtEnd
    ? noProperties // 3.14.2.2.1
    : readProperties(reader, Place.disconnect, limits.maxUserProperties);
  reader.finish();
  return { type: 'disconnect', reasonCode, sessionExpiryIntervalS: properties.sessionExpiryInterval };
}

function decodeAuth(
  frame: Buffer,
  bodyOffset: number,
  version: ProtocolVersion,
  limits: DecodeLimits,
): AuthPacket {
  if (version !== 5) throw protocolError('AUTH before MQTT 5.0');
  const reader = new Reader(frame, bodyOffset, frame.length);
  const reasonCode = reader.isAtEnd ? Reasons.success.code : reader.byte(); // 3.15.2.1
  // Of the three codes, success is the server's alone. MQTT-3.15.2-1
  if (reasonCode !== Reasons.continueAuthentication.code && reasonCode !== Reasons.reauthenticate.code) {
    throw protocolError('a reason code that does not belong there');
  }
  const properties = reader.isAtEnd
    ? noProperties
    : readProperties(reader, Place.auth, limits.maxUserProperties);
  reader.finish();
  if (properties.authenticationMethod === undefined) throw protocolError('AUTH without a method'); // 3.15.2.2.2
  return {
    type: 'auth',
    reasonCode,
    authenticationMethod: properties.authenticationMethod,
    authenticationData: copyOf(properties.authenticationData),
  };
}
