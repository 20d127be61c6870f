/**
 * Packets of the server → bytes, for the version of the client they go to. A reason is said where that version can say it:
 * 3.x has codes in CONNACK and, from 3.1.1 on, one for a refused subscription; everything else it tells by closing.
 */
import type { MessageProperties, ProtocolVersion, Qos, UserProperties } from './message.js';
import { PropertyId } from './properties.js';
import type { Reason } from './reason.js';
import { Reasons } from './reason.js';
import { variableByteIntegerLength, Writer, writeString, writeVariableByteInteger } from './writer.js';

/** What a packet may say about its reason, where the client's Request Problem Information allows it. MQTT-3.1.2-29 */
export interface Explanation {
  readonly reasonString?: string | undefined;
  readonly userProperties?: UserProperties | undefined;
}

// ------------------------------------------------------------------------------------------------------------- CONNACK

/** Properties of CONNACK (3.2.2.3); an absent one says the standard's default. */
export interface ConnackProperties extends Explanation {
  readonly sessionExpiryIntervalS?: number | undefined;
  readonly receiveMaximum?: number | undefined;
  /** Never 2, which is said by absence. 3.2.2.3.4 */
  readonly maximumQos?: 0 | 1 | undefined;
  readonly retainAvailable?: boolean | undefined;
  readonly maximumPacketSize?: number | undefined;
  readonly assignedClientId?: string | undefined;
  readonly topicAliasMaximum?: number | undefined;
  readonly wildcardSubscriptionAvailable?: boolean | undefined;
  readonly subscriptionIdentifiersAvailable?: boolean | undefined;
  readonly sharedSubscriptionAvailable?: boolean | undefined;
  readonly serverKeepAliveS?: number | undefined;
  readonly responseInformation?: string | undefined;
  readonly serverReference?: string | undefined;
  readonly authenticationMethod?: string | undefined;
  readonly authenticationData?: Buffer | undefined;
}

const noBytes = Buffer.alloc(0);
const noConnackProperties: ConnackProperties = Object.freeze({});
const nothing: Explanation = Object.freeze({});

/** CONNACK. 3.x clients get the reason's `connack3` and no properties. */
export function encodeConnack(
  version: ProtocolVersion,
  reason: Reason,
  sessionPresent: boolean,
  properties: ConnackProperties = noConnackProperties,
): Buffer {
  const isAccepted = reason.code === 0;
  const flags = sessionPresent && isAccepted && version !== 3 ? 1 : 0; // MQTT-3.2.2-6; reserved in 3.1
  if (version !== 5) {
    // A reason that 3.x has no code for is still a refusal.
    const code = isAccepted ? 0 : reason.connack3 || Reasons.serverUnavailable.connack3;
    return Buffer.from([0x20, 2, flags, code]);
  }
  const writer = new Writer();
  const p = properties;
  if (p.sessionExpiryIntervalS !== undefined) {
    uint32(writer, PropertyId.sessionExpiryInterval, p.sessionExpiryIntervalS);
  }
  if (p.receiveMaximum !== undefined) uint16(writer, PropertyId.receiveMaximum, p.receiveMaximum);
  if (p.maximumQos !== undefined) byte(writer, PropertyId.maximumQos, p.maximumQos);
  if (p.retainAvailable !== undefined) bit(writer, PropertyId.retainAvailable, p.retainAvailable);
  if (p.maximumPacketSize !== undefined) uint32(writer, PropertyId.maximumPacketSize, p.maximumPacketSize);
  if (p.assignedClientId !== undefined) {
    string(writer, PropertyId.assignedClientIdentifier, p.assignedClientId);
  }
  if (p.topicAliasMaximum !== undefined) uint16(writer, PropertyId.topicAliasMaximum, p.topicAliasMaximum);
  if (p.wildcardSubscriptionAvailable !== undefined) {
    bit(writer, PropertyId.wildcardSubscriptionAvailable, p.wildcardSubscriptionAvailable);
  }
  if (p.subscriptionIdentifiersAvailable !== undefined) {
    bit(writer, PropertyId.subscriptionIdentifierAvailable, p.subscriptionIdentifiersAvailable);
  }
  if (p.sharedSubscriptionAvailable !== undefined) {
    bit(writer, PropertyId.sharedSubscriptionAvailable, p.sharedSubscriptionAvailable);
  }
  if (p.serverKeepAliveS !== undefined) uint16(writer, PropertyId.serverKeepAlive, p.serverKeepAliveS);
  if (p.responseInformation !== undefined) {
    string(writer, PropertyId.responseInformation, p.responseInformation);
  }
  if (p.serverReference !== undefined) string(writer, PropertyId.serverReference, p.serverReference);
  writeAuthentication(writer, p.authenticationMethod, p.authenticationData);
  explain(writer, p);
  return packet(0x20, [flags, reason.code], writer);
}

// ------------------------------------------------------------------------------------ PUBACK, PUBREC, PUBREL, PUBCOMP

const acknowledgeHeader = Object.freeze({ puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const);

/** One of the four acknowledgements: four bytes, unless there is a 5.0 client and something to tell it. */
export function encodeAcknowledge(
  type: keyof typeof acknowledgeHeader,
  version: ProtocolVersion,
  packetId: number,
  reasonCode = 0,
  explanation: Explanation = nothing,
): Buffer {
  const header = acknowledgeHeader[type];
  const high = packetId >> 8;
  const low = packetId & 0xff;
  if (version !== 5 || (reasonCode === 0 && isSilent(explanation))) {
    const bytes = Buffer.allocUnsafe(4);
    bytes[0] = header;
    bytes[1] = 2;
    bytes[2] = high;
    bytes[3] = low;
    return bytes;
  }
  if (isSilent(explanation)) return Buffer.from([header, 3, high, low, reasonCode]); // 3.4.2.2.1
  const writer = new Writer();
  explain(writer, explanation);
  return packet(header, [high, low, reasonCode], writer);
}

// ------------------------------------------------------------------------------------------------- SUBACK and UNSUBACK

/**
 * SUBACK with a 5.0 reason code per filter, in their order (MQTT-3.8.4-6); 3.1.1 gets 0x80 for every failure. Undefined:
 * one failed and the client speaks 3.1, which has no way to say so: the connection has to be closed.
 */
export function encodeSuback(
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  explanation: Explanation = nothing,
): Buffer | undefined {
  if (version === 5) return acknowledgeFilters(0x90, packetId, reasonCodes, explanation);
  const hasFailure = reasonCodes.some((code) => code >= 0x80);
  if (version === 3 && hasFailure) return undefined;
  const writer = new Writer(8 + reasonCodes.length);
  writer.byte(0x90);
  writer.variableByteInteger(2 + reasonCodes.length);
  writer.uint16(packetId);
  for (const code of reasonCodes) writer.byte(code >= 0x80 ? 0x80 : code);
  return writer.written;
}

/** UNSUBACK; 3.x clients are not told what became of each filter. */
export function encodeUnsuback(
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  explanation: Explanation = nothing,
): Buffer {
  if (version === 5) return acknowledgeFilters(0xb0, packetId, reasonCodes, explanation);
  return Buffer.from([0xb0, 2, packetId >> 8, packetId & 0xff]);
}

function acknowledgeFilters(
  header: number,
  packetId: number,
  reasonCodes: readonly number[],
  explanation: Explanation,
): Buffer {
  const properties = new Writer();
  explain(properties, explanation);
  return packet(header, [packetId >> 8, packetId & 0xff], properties, reasonCodes);
}

// ------------------------------------------------------------------------------------------ PINGRESP, DISCONNECT, AUTH

/** PINGRESP: shared, must not be changed. */
export const pingResponse = Buffer.from([0xd0, 0]);

export interface DisconnectProperties extends Explanation {
  readonly serverReference?: string | undefined;
}

/** DISCONNECT, for 5.0 clients only: 3.x has none from the server. */
export function encodeDisconnect(reasonCode: number, properties: DisconnectProperties = nothing): Buffer {
  if (isSilent(properties) && properties.serverReference === undefined) {
    return Buffer.from([0xe0, 1, reasonCode]); // 3.14.2.2.1
  }
  const writer = new Writer();
  if (properties.serverReference !== undefined) {
    string(writer, PropertyId.serverReference, properties.serverReference);
  }
  explain(writer, properties);
  return packet(0xe0, [reasonCode], writer);
}

/** AUTH, for 5.0 clients only. */
export function encodeAuth(
  reasonCode: number,
  method: string,
  data: Buffer | undefined,
  explanation: Explanation = nothing,
): Buffer {
  const writer = new Writer();
  writeAuthentication(writer, method, data);
  explain(writer, explanation);
  return packet(0xf0, [reasonCode], writer);
}

// ------------------------------------------------------------------------------------------------------------- PUBLISH

/** One PUBLISH as a group of subscribers gets it. What 3.x has no field for is left out for 3.x. */
export interface OutboundPublish {
  readonly version: ProtocolVersion;
  readonly topic: string;
  readonly payloadBytes: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly properties: MessageProperties | undefined;
  /** What is left of it, in whole seconds. MQTT-3.3.2-6 */
  readonly messageExpiryS: number | undefined;
  readonly subscriptionIds: readonly number[];
  /** With `topic` empty the alias stands for it; with both, the alias is set. */
  readonly topicAlias: number | undefined;
}

/** Everything of a PUBLISH that comes before its payload. Shared between subscribers: it must not be changed. */
export interface PublishHead {
  readonly bytes: Buffer;
  /** Where the packet identifier stands, two zero bytes; 0 at QoS 0. */
  readonly packetIdAt: number;
}

/** Encodes the head once for all subscribers that get the same; each one's outbox puts its packet identifier into a copy. */
export function encodePublishHead(publish: OutboundPublish): PublishHead {
  const topicBytes = Buffer.byteLength(publish.topic);
  const properties = publish.version === 5 ? publishProperties(publish) : undefined;
  const propertyBytes = properties?.length ?? 0;
  const variableHeader =
    2 +
    topicBytes +
    (publish.qos === 0 ? 0 : 2) +
    (properties === undefined ? 0 : variableByteIntegerLength(propertyBytes) + propertyBytes);
  const remaining = variableHeader + publish.payloadBytes;
  const bytes = Buffer.allocUnsafe(1 + variableByteIntegerLength(remaining) + variableHeader);

  bytes[0] = 0x30 | (publish.dup ? 0x08 : 0) | (publish.qos << 1) | (publish.retain ? 0x01 : 0);
  let at = writeVariableByteInteger(bytes, remaining, 1);
  at = writeString(bytes, publish.topic, topicBytes, at);
  let packetIdAt = 0;
  if (publish.qos > 0) {
    packetIdAt = at;
    bytes[at] = 0;
    bytes[at + 1] = 0;
    at += 2;
  }
  if (properties !== undefined) {
    at = writeVariableByteInteger(bytes, propertyBytes, at);
    if (propertyBytes > 0) bytes.set(properties, at);
  }
  return { bytes, packetIdAt };
}

/** The properties, without their length. */
function publishProperties(publish: OutboundPublish): Buffer {
  const { properties, messageExpiryS, subscriptionIds, topicAlias } = publish;
  if (
    properties === undefined &&
    messageExpiryS === undefined &&
    subscriptionIds.length === 0 &&
    topicAlias === undefined
  ) {
    return noBytes;
  }
  const writer = new Writer();
  if (topicAlias !== undefined) uint16(writer, PropertyId.topicAlias, topicAlias);
  for (const id of subscriptionIds) {
    writer.byte(PropertyId.subscriptionIdentifier);
    writer.variableByteInteger(id);
  }
  if (messageExpiryS !== undefined) uint32(writer, PropertyId.messageExpiryInterval, messageExpiryS);
  if (properties !== undefined) writeMessageProperties(writer, properties);
  return writer.written;
}

/** Unaltered, the User Properties in the publisher's order. MQTT-3.3.2-4, -15, -16, -17, -18, -20 */
function writeMessageProperties(writer: Writer, properties: MessageProperties): void {
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = properties;
  if (payloadFormatIndicator !== undefined) {
    byte(writer, PropertyId.payloadFormatIndicator, payloadFormatIndicator);
  }
  if (contentType !== undefined) string(writer, PropertyId.contentType, contentType);
  if (responseTopic !== undefined) string(writer, PropertyId.responseTopic, responseTopic);
  if (correlationData !== undefined) binary(writer, PropertyId.correlationData, correlationData);
  if (userProperties !== undefined) writeUserProperties(writer, userProperties);
}

// -------------------------------------------------------------------------------------------------- what they are of

/** Fixed header, the bytes before the properties, the properties, the bytes after them. */
function packet(
  header: number,
  before: readonly number[],
  properties: Writer,
  after: readonly number[] = [],
): Buffer {
  const propertyBytes = properties.written;
  const remaining =
    before.length + variableByteIntegerLength(propertyBytes.length) + propertyBytes.length + after.length;
  const writer = new Writer(5 + remaining);
  writer.byte(header);
  writer.variableByteInteger(remaining);
  for (const value of before) writer.byte(value);
  writer.variableByteInteger(propertyBytes.length);
  writer.raw(propertyBytes);
  for (const value of after) writer.byte(value);
  return writer.written;
}

function isSilent(explanation: Explanation): boolean {
  return (
    explanation.reasonString === undefined &&
    (explanation.userProperties === undefined || explanation.userProperties.length === 0)
  );
}

function explain(writer: Writer, explanation: Explanation): void {
  if (explanation.reasonString !== undefined) {
    string(writer, PropertyId.reasonString, explanation.reasonString);
  }
  if (explanation.userProperties !== undefined) writeUserProperties(writer, explanation.userProperties);
}

function writeAuthentication(writer: Writer, method: string | undefined, data: Buffer | undefined): void {
  if (method !== undefined) string(writer, PropertyId.authenticationMethod, method);
  if (data !== undefined) binary(writer, PropertyId.authenticationData, data);
}

function writeUserProperties(writer: Writer, pairs: UserProperties): void {
  for (const [name, value] of pairs) {
    writer.byte(PropertyId.userProperty);
    writer.string(name);
    writer.string(value);
  }
}

function byte(writer: Writer, id: number, value: number): void {
  writer.byte(id);
  writer.byte(value);
}

function bit(writer: Writer, id: number, isSet: boolean): void {
  byte(writer, id, isSet ? 1 : 0);
}

function uint16(writer: Writer, id: number, value: number): void {
  writer.byte(id);
  writer.uint16(value);
}

function uint32(writer: Writer, id: number, value: number): void {
  writer.byte(id);
  writer.uint32(value);
}

function string(writer: Writer, id: number, text: string): void {
  writer.byte(id);
  writer.string(text);
}

function binary(writer: Writer, id: number, bytes: Buffer): void {
  writer.byte(id);
  writer.binary(bytes);
}
