export type Qos = 0 | 1 | 2;
/** Protocol Level: 3 is MQTT 3.1 (MQIsdp), 4 is 3.1.1, 5 is 5.0. */
export type ProtocolVersion = 3 | 4 | 5;

declare const brand: unique symbol;
export type TenantId = string & { readonly [brand]: 'TenantId' };
export type ClientId = string & { readonly [brand]: 'ClientId' };

/** Pairs in the order the client sent them; a name may occur more than once (MQTT 5.0, 3.3.2.3.7). */
export type UserProperties = readonly (readonly [name: string, value: string])[];

/** The PUBLISH properties that travel with a message to its subscribers (MQTT 5.0, 3.3.2.3), and nothing else. */
export interface MessageProperties {
  readonly payloadFormatIndicator?: 0 | 1;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Buffer;
  readonly userProperties?: UserProperties;
}

/**
 * One application message, immutable from the moment it is accepted. Topic aliases are resolved, the right to publish it
 * is checked. `retain` is the flag as published. Times are milliseconds since the epoch.
 */
export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  /** Payload and correlation data are good until the frame that they came in has been handled: whoever keeps them copies them. */
  readonly isLent?: true | undefined;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  readonly publisher: ClientId;
  readonly receivedAt: number;
  /** From Message Expiry Interval; undefined: never. */
  readonly expiresAt: number | undefined;
}

/** What one subscription says (MQTT 5.0, 3.8.3.1). A 3.x subscription has noLocal and retainAsPublished false, handling 0. */
export interface SubscriptionOptions {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
}

export interface Subscription extends SubscriptionOptions {
  readonly filter: string;
  readonly subscriptionId: number | undefined;
}

/** A will as the client left it in CONNECT. */
export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  readonly delayS: number;
  readonly messageExpiryS: number | undefined;
}
