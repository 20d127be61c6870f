/**
 * MQTT 5.0's properties (2.2.2): what a client may send in which packet, each at most once, each within its range; and the
 * bytes of those the server sends.
 */
import type { UserProperties } from './message.js';
import { Reasons } from './reason.js';
import { malformed, protocolError, type Reader } from './reader.js';
import { isTopicName } from './topic.js';
import { ProtocolViolation } from './violation.js';

export const PropertyId = Object.freeze({
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQos: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdentifierAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const);

/** Where properties stand; a bit each. The will's are a place of their own, acknowledgements share one. */
export const Place = Object.freeze({
  connect: 1,
  will: 2,
  publish: 4,
  acknowledge: 8,
  subscribe: 16,
  unsubscribe: 32,
  disconnect: 64,
  auth: 128,
} as const);
type PlaceBit = (typeof Place)[keyof typeof Place];

const message = Place.publish | Place.will;
const everywhere = 255;

/** Index: property identifier. In which of a client's packets it may stand (table 2-4); 0 for the server's alone. */
const places = new Uint8Array(0x2b);
places[PropertyId.payloadFormatIndicator] = message;
places[PropertyId.messageExpiryInterval] = message;
places[PropertyId.contentType] = message;
places[PropertyId.responseTopic] = message;
places[PropertyId.correlationData] = message;
places[PropertyId.subscriptionIdentifier] = Place.publish | Place.subscribe;
places[PropertyId.sessionExpiryInterval] = Place.connect | Place.disconnect;
places[PropertyId.authenticationMethod] = Place.connect | Place.auth;
places[PropertyId.authenticationData] = Place.connect | Place.auth;
places[PropertyId.requestProblemInformation] = Place.connect;
places[PropertyId.willDelayInterval] = Place.will;
places[PropertyId.requestResponseInformation] = Place.connect;
places[PropertyId.serverReference] = Place.disconnect;
places[PropertyId.reasonString] = Place.acknowledge | Place.disconnect | Place.auth;
places[PropertyId.receiveMaximum] = Place.connect;
places[PropertyId.topicAliasMaximum] = Place.connect;
places[PropertyId.topicAlias] = Place.publish;
places[PropertyId.userProperty] = everywhere;
places[PropertyId.maximumPacketSize] = Place.connect;

/** What a client's packet says; undefined: not present. Only what is read further on is kept. */
export interface ReadProperties {
  payloadFormatIndicator: 0 | 1 | undefined;
  messageExpiryInterval: number | undefined;
  contentType: string | undefined;
  responseTopic: string | undefined;
  correlationData: Buffer | undefined;
  subscriptionIdentifier: number | undefined;
  sessionExpiryInterval: number | undefined;
  authenticationMethod: string | undefined;
  authenticationData: Buffer | undefined;
  requestProblemInformation: boolean | undefined;
  requestResponseInformation: boolean | undefined;
  willDelayInterval: number | undefined;
  receiveMaximum: number | undefined;
  topicAliasMaximum: number | undefined;
  topicAlias: number | undefined;
  maximumPacketSize: number | undefined;
  userProperties: [name: string, value: string][] | undefined;
}

export const noUserProperties: UserProperties = Object.freeze([]);

function none(): ReadProperties {
  return {
    payloadFormatIndicator: undefined,
    messageExpiryInterval: undefined,
    contentType: undefined,
    responseTopic: undefined,
    correlationData: undefined,
    subscriptionIdentifier: undefined,
    sessionExpiryInterval: undefined,
    authenticationMethod: undefined,
    authenticationData: undefined,
    requestProblemInformation: undefined,
    requestResponseInformation: undefined,
    willDelayInterval: undefined,
    receiveMaximum: undefined,
    topicAliasMaximum: undefined,
    topicAlias: undefined,
    maximumPacketSize: undefined,
    userProperties: undefined,
  };
}

export const noProperties: Readonly<ReadProperties> = Object.freeze(none());

/** Reads the Property Length and the properties at the reader's place, and leaves it behind them. */
export function readProperties(
  reader: Reader,
  place: PlaceBit,
  maxUserProperties: number,
): Readonly<ReadProperties> {
  const length = reader.variableByteInteger();
  if (length === 0) return noProperties;
  const packetEnd = reader.end;
  const end = reader.at + length;
  if (end > packetEnd) throw malformed('properties pass the end of the packet');
  reader.end = end;
  const found = none();
  // Identifiers are below 43: which have been seen takes two words of bits.
  let seenLow = 0;
  let seenHigh = 0;
  while (!reader.isAtEnd) {
    const id = reader.variableByteInteger();
    if (((places[id] ?? 0) & place) === 0) throw malformed('a property that does not belong there'); // 2.2.2.2
    if (id === PropertyId.userProperty) {
      readUserProperty(reader, found, maxUserProperties);
      continue;
    }
    const bit = 1 << (id & 31);
    if (((id < 32 ? seenLow : seenHigh) & bit) !== 0) throw protocolError('a property given twice');
    if (id < 32) seenLow |= bit;
    else seenHigh |= bit;
    readProperty(reader, id, place, found);
  }
  reader.end = packetEnd;
  return found;
}

function readUserProperty(reader: Reader, found: ReadProperties, maximum: number): void {
  const pairs = (found.userProperties ??= []);
  if (pairs.length >= maximum) {
    throw new ProtocolViolation(Reasons.quotaExceeded, 'more User Properties than allowed');
  }
  pairs.push([reader.string(), reader.string()]); // in their order, MQTT-3.1.3-10, MQTT-3.3.2-18
}

function readProperty(reader: Reader, id: number, place: PlaceBit, found: ReadProperties): void {
  switch (id) {
    case PropertyId.payloadFormatIndicator:
      found.payloadFormatIndicator = readBit(reader);
      return;
    case PropertyId.messageExpiryInterval:
      found.messageExpiryInterval = reader.uint32();
      return;
    case PropertyId.contentType:
      found.contentType = reader.string();
      return;
    case PropertyId.responseTopic:
      found.responseTopic = reader.string();
      if (!isTopicName(found.responseTopic)) throw protocolError('Response Topic is not a topic name'); // MQTT-3.3.2-14
      return;
    case PropertyId.correlationData:
      found.correlationData = reader.binary();
      return;
    case PropertyId.subscriptionIdentifier:
      if (place === Place.publish) throw protocolError('Subscription Identifier from a client'); // MQTT-3.3.4-6
      found.subscriptionIdentifier = notZero(reader.variableByteInteger()); // 3.8.2.1.2
      return;
    case PropertyId.sessionExpiryInterval:
      found.sessionExpiryInterval = reader.uint32();
      return;
    case PropertyId.authenticationMethod:
      found.authenticationMethod = reader.string();
      return;
    case PropertyId.authenticationData:
      found.authenticationData = reader.binary();
      return;
    case PropertyId.requestProblemInformation:
      found.requestProblemInformation = readBit(reader) === 1;
      return;
    case PropertyId.requestResponseInformation:
      found.requestResponseInformation = readBit(reader) === 1;
      return;
    case PropertyId.willDelayInterval:
      found.willDelayInterval = reader.uint32();
      return;
    case PropertyId.reasonString:
      reader.string(); // checked, and of no use to a server
      return;
    case PropertyId.serverReference:
      throw protocolError('Server Reference from a client'); // 3.14.2.2.5
    case PropertyId.receiveMaximum:
      found.receiveMaximum = notZero(reader.uint16()); // 3.1.2.11.3
      return;
    case PropertyId.topicAliasMaximum:
      found.topicAliasMaximum = reader.uint16();
      return;
    case PropertyId.topicAlias:
      found.topicAlias = reader.uint16();
      if (found.topicAlias === 0) {
        throw new ProtocolViolation(Reasons.topicAliasInvalid, 'Topic Alias 0'); // MQTT-3.3.2-8
      }
      return;
    case PropertyId.maximumPacketSize:
      found.maximumPacketSize = notZero(reader.uint32()); // 3.1.2.11.4
      return;
    default:
      throw malformed('an unknown property');
  }
}

function readBit(reader: Reader): 0 | 1 {
  const value = reader.byte();
  if (value > 1) throw protocolError('a property that is neither 0 nor 1');
  return value === 1 ? 1 : 0;
}

function notZero(value: number): number {
  if (value === 0) throw protocolError('a property that must not be 0');
  return value;
}
