import { encodePublishHead } from './encode.js';
import { copyBytes, ownBytes } from './framing.js';
import type { Message, ProtocolVersion, Qos } from './message.js';
import { maxCopiedBytes } from './outbox.js';
import type { EncodedPublish, ReceivedPublish } from './packets.js';

/** What makes one delivery of a message differ from another, beside the packet identifier. */
export interface Variant {
  readonly version: ProtocolVersion;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly subscriptionIds: readonly number[];
  readonly topicAlias: number | undefined;
  /** The alias is known to the client and stands for the topic. */
  readonly omitsTopic: boolean;
}

export function encodePublish(message: Message, variant: Variant, now: number): EncodedPublish {
  const { version, qos, retain, dup, subscriptionIds, topicAlias, omitsTopic } = variant;
  const { payload, properties } = message;
  const head = encodePublishHead({
    version,
    topic: omitsTopic ? '' : message.topic,
    payloadBytes: payload.length,
    qos,
    retain,
    dup,
    properties,
    messageExpiryS: remainingS(message, now),
    subscriptionIds,
    topicAlias,
  });
  const totalBytes = head.bytes.length + payload.length;
  if (payload.length > maxCopiedBytes) {
    const isLent = message.isLent === true;
    return { bytes: head.bytes, packetIdAt: head.packetIdAt, payload, isLent, totalBytes };
  }
  const bytes = Buffer.allocUnsafe(totalBytes);
  bytes.set(head.bytes);
  bytes.set(payload, head.bytes.length);
  return { bytes, packetIdAt: head.packetIdAt, payload: undefined, isLent: false, totalBytes };
}

/** MQTT-3.3.2-6. A message that is under way when it expires is still completed: then nothing is left. */
function remainingS(message: Message, now: number): number | undefined {
  if (message.expiresAt === undefined) return undefined;
  return Math.max(0, Math.ceil((message.expiresAt - now) / 1000));
}

const noIds: readonly number[] = Object.freeze([]);

/**
 * A message on its way through a space: each form that several subscribers share is encoded once, and the one in which it
 * came is not encoded at all.
 */
export class Publication {
  #message: Message | undefined;
  #now = 0;
  #asReceived: ReceivedPublish | undefined;
  #formReceived = -1;
  readonly #encoded: (EncodedPublish | undefined)[] = Array.from({ length: 12 }, () => undefined);
  #hasEncoded = false;

  begin(message: Message, now: number, asReceived?: ReceivedPublish): void {
    this.#message = message;
    this.#now = now;
    if (this.#hasEncoded) this.#encoded.fill(undefined);
    this.#hasEncoded = false;
    this.#asReceived = asReceived;
    this.#formReceived =
      asReceived === undefined ? -1 : formOf(asReceived.version, message.qos, message.retain);
  }

  get message(): Message {
    return this.#message as Message;
  }

  /** The message for whoever keeps it longer than its frame is there: its bytes are its own. Copied once. */
  kept(): Message {
    const { message } = this;
    const own = ownMessage(message);
    if (own !== message && own.payload.length > maxCopiedBytes) this.#forgetForms(); // they are on loan
    return (this.#message = own);
  }

  /** It goes to several: each takes a large one by reference. */
  share(): void {
    if (this.message.payload.length > maxCopiedBytes) this.kept();
  }

  #forgetForms(): void {
    this.#asReceived = undefined;
    this.#formReceived = -1;
    if (this.#hasEncoded) this.#encoded.fill(undefined);
  }

  encoded(version: ProtocolVersion, qos: Qos, retain: boolean): EncodedPublish {
    const form = formOf(version, qos, retain);
    if (form === this.#formReceived && this.#asReceived !== undefined) return this.#asReceived;
    return this.#encoded[form] ?? this.#encode(form, version, qos, retain);
  }

  #encode(form: number, version: ProtocolVersion, qos: Qos, retain: boolean): EncodedPublish {
    const encoded = encodePublish(
      this.message,
      {
        version,
        qos,
        retain,
        dup: false, // MQTT-3.3.1-3: never the publisher's
        subscriptionIds: noIds,
        topicAlias: undefined,
        omitsTopic: false,
      },
      this.#now,
    );
    this.#encoded[form] = encoded;
    this.#hasEncoded = true;
    return encoded;
  }
}

/** 3.1 and 3.1.1 write a PUBLISH alike. */
function formOf(version: ProtocolVersion, qos: Qos, retain: boolean): number {
  return (version === 5 ? 6 : 0) + qos * 2 + (retain ? 1 : 0);
}

/** The same message, in memory of its own. */
export function ownMessage(message: Message): Message {
  const own = message.isLent === true ? copyBytes : ownBytes;
  const payload = own(message.payload);
  const data = message.properties?.correlationData;
  if (data === undefined) {
    return payload === message.payload ? message : { ...message, payload, isLent: undefined };
  }
  const properties = { ...message.properties, correlationData: own(data) };
  return { ...message, payload, properties, isLent: undefined };
}

/** What a message that is kept counts for: a fixed share, and all that its sender chose the size of. */
export function keptBytes(message: Message): number {
  let bytes = 128 + 2 * message.topic.length + message.payload.length;
  const properties = message.properties;
  if (properties === undefined) return bytes;
  bytes += (properties.contentType?.length ?? 0) + (properties.responseTopic?.length ?? 0);
  bytes += properties.correlationData?.length ?? 0;
  for (const [name, value] of properties.userProperties ?? []) bytes += 64 + name.length + value.length;
  return bytes;
}
