/**
 * `$SYS`: what a tenant may know of its own part of the server. Values are made up when they are asked for: for a new
 * subscription at once, as retained messages are, and every few seconds while there is one. Nobody asks, nothing runs.
 */
import type { Message } from './message.js';
import type { Timer } from './ports.js';
import { isBelow, serverMessage } from './server-topic.js';
import type { Space } from './space.js';
import { matches } from './topic.js';

/** Often enough to watch, seldom enough to cost nothing. */
const everyMs = 10_000;

const values: Readonly<Record<string, (space: Space) => string | number>> = {
  '$SYS/broker/version': ({ version }) => version,
  '$SYS/tenant/clients/connected': ({ connections }) => connections.size,
  '$SYS/tenant/sessions/count': ({ sessions }) => sessions.size,
  '$SYS/tenant/subscriptions/count': ({ subscriptionCount }) => subscriptionCount,
  '$SYS/tenant/retained/count': ({ retained }) => retained.count,
  '$SYS/tenant/messages/received': ({ stats }) => stats.messagesReceived,
  '$SYS/tenant/messages/sent': ({ stats }) => stats.messagesSent,
  '$SYS/tenant/messages/dropped': ({ stats }) =>
    stats.droppedSlow +
    stats.droppedQueueFull +
    stats.droppedExpired +
    stats.droppedTooLarge +
    stats.droppedDenied,
  '$SYS/tenant/bytes/received': ({ stats }) => stats.bytesReceived,
  '$SYS/tenant/bytes/sent': ({ stats }) => stats.bytesSent,
};

export class Sys {
  readonly #space: Space;
  readonly #published = new Map<string, string>();
  #subscriptions = 0;
  #timer: Timer | undefined;

  constructor(space: Space) {
    this.#space = space;
  }

  /** A subscription has been made that was not there before. */
  subscribed(filter: string): void {
    if (!isBelow('$SYS', filter)) return;
    this.#subscriptions += 1;
    this.#timer ??= this.#later();
  }

  unsubscribed(filter: string): void {
    if (!isBelow('$SYS', filter)) return;
    this.#subscriptions -= 1;
    if (this.#subscriptions === 0) this.close();
  }

  /** The values of now, for a subscription to this filter (not a shared one). */
  visit(filter: string, visit: (message: Message) => void): void {
    if (!isBelow('$SYS', filter)) return;
    for (const [topic, value] of Object.entries(values)) {
      if (matches(filter, topic)) visit(this.#message(topic, String(value(this.#space))));
    }
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#published.clear();
  }

  #later(): Timer {
    return this.#space.clock.after(everyMs, () => {
      this.#timer = this.#later();
      this.#publish();
    });
  }

  /** What has changed since the last time. Sessions whose client is away get none of it: QoS 0 is not queued. */
  #publish(): void {
    for (const [topic, value] of Object.entries(values)) {
      const text = String(value(this.#space));
      if (this.#published.get(topic) === text || !this.#space.hasSubscribers(topic)) continue;
      this.#published.set(topic, text);
      this.#space.publish(this.#message(topic, text), undefined, undefined);
    }
  }

  #message(topic: string, text: string): Message {
    return serverMessage(this.#space.clock, { topic, payload: Buffer.from(text) });
  }
}
