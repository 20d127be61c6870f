/** What the server itself says, under `$SYS/` and `$tenant/`: to whom, and in what shape. */
import type { ClientId, Message } from './message.js';
import type { Clock, NewsItem } from './ports.js';
import { isShared, parseShared } from './topic.js';

/** No client's: an identifier has at least one character. */
const nobody = '' as ClientId;

export function serverMessage(clock: Clock, { topic, payload }: NewsItem): Message {
  return {
    topic,
    payload,
    qos: 0,
    retain: false,
    properties: undefined,
    publisher: nobody,
    receivedAt: clock.now(),
    expiresAt: undefined,
  };
}

/** A wildcard in the first level does not match the server's topics (MQTT-4.7.2-1): filters that do, say its name. */
export function isBelow(root: '$SYS' | '$tenant', filter: string): boolean {
  const plain = isShared(filter) ? (parseShared(filter)?.filter ?? '') : filter;
  return plain.startsWith(`${root}/`);
}
