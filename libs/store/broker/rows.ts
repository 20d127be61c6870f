/** How the broker's values look as column values, and back. */
import type { ClientId, Message, MessageProperties, Principal, Qos, Subscription, Will } from '#mqtt';

/** The Subscription Options byte (MQTT 5.0, 3.8.3.1). */
export function optionsByte(subscription: Subscription): number {
  return (
    subscription.qos |
    (subscription.noLocal ? 0x04 : 0) |
    (subscription.retainAsPublished ? 0x08 : 0) |
    (subscription.retainHandling << 4)
  );
}

export function toSubscription(filter: string, options: number, subscriptionId: number | null): Subscription {
  return {
    filter,
    qos: (options & 0x03) as Qos,
    noLocal: (options & 0x04) !== 0,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: ((options >> 4) & 0x03) as 0 | 1 | 2,
    subscriptionId: subscriptionId ?? undefined,
  };
}

export function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

interface PropertiesJson extends Omit<MessageProperties, 'correlationData'> {
  readonly correlationData?: string; // base64
}

/** Pairs and their order survive, for they are an array. */
export function propertiesJson(properties: MessageProperties): Buffer {
  const { correlationData } = properties;
  return toJson(
    correlationData === undefined
      ? properties
      : { ...properties, correlationData: correlationData.toString('base64') },
  );
}

function toProperties(json: PropertiesJson | null): MessageProperties | undefined {
  if (json === null) return undefined;
  const { correlationData, ...rest } = json;
  return correlationData === undefined
    ? rest
    : { ...rest, correlationData: Buffer.from(correlationData, 'base64') };
}

/** Columns of queued_messages and retained_messages; times as milliseconds. */
export interface MessageRow {
  readonly topic: string;
  readonly payload: Buffer;
  readonly messageQos: number;
  readonly messageRetain: boolean;
  readonly properties: PropertiesJson | null;
  readonly publisher: string;
  readonly receivedAt: number;
  readonly expiresAt: number | null;
}

export function toMessage(row: MessageRow): Message {
  return {
    topic: row.topic,
    payload: row.payload,
    qos: row.messageQos as Qos,
    retain: row.messageRetain,
    properties: toProperties(row.properties),
    publisher: row.publisher as ClientId,
    receivedAt: row.receivedAt,
    expiresAt: row.expiresAt ?? undefined,
  };
}

export interface WillRow {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: PropertiesJson | null;
  readonly delayS: number;
  readonly messageExpiryS: number | null;
}

export function toWill(row: WillRow): Will {
  return {
    topic: row.topic,
    payload: row.payload,
    qos: row.qos as Qos,
    retain: row.retain,
    properties: toProperties(row.properties),
    delayS: row.delayS,
    messageExpiryS: row.messageExpiryS ?? undefined,
  };
}

/** Only what the port names: nothing else of the object is stored. */
export function principalJson(principal: Principal): Buffer {
  const { tenantId, deviceId, credentialId, username, clientId, certificate, address, transport } = principal;
  return toJson({ tenantId, deviceId, credentialId, username, clientId, certificate, address, transport });
}
