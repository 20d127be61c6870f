import type { Message, Subscription } from './message.js';
import type { PublishRight } from './ports.js';
import { Reasons } from './reason.js';
import type { Session } from './session.js';

/** Whether the right covers this message. */
export function mayPublish(
  right: PublishRight,
  message: Pick<Message, 'qos' | 'retain' | 'payload'>,
): boolean {
  return (
    right.allowed &&
    message.qos <= right.maxQos &&
    (!message.retain || right.mayRetain) &&
    message.payload.length <= right.maxPayloadBytes
  );
}

/** For the tenant: why a message was not covered. */
export function whyNot(right: PublishRight): string {
  return right.allowed ? 'QoS, retain or payload beyond the right' : right.detail;
}

/**
 * Holds a session's subscriptions against its policy of now: those without the right go, each with a denial on record, those above
 * the QoS it allows are lowered. Returns how many went.
 */
export function reviewSubscriptions(session: Session): number {
  const { space } = session;
  const removed: string[] = [];
  const lowered: Subscription[] = [];
  for (const subscription of session.subscriptions.values()) {
    const right = session.policy.subscribeRight(subscription.filter);
    if (!right.allowed) {
      removed.push(subscription.filter);
      noteEnded(session, subscription.filter, right.detail);
    } else if (right.maxQos < subscription.qos) lowered.push({ ...subscription, qos: right.maxQos });
  }
  for (const filter of removed) space.unsubscribe(session, filter);
  for (const subscription of lowered) space.subscribe(session, subscription);
  if (!session.isDurable) return removed.length;
  // A store that fails here is no reason to keep a right: the session is reviewed again when it is resumed.
  const noted = (error?: Error): void => {
    if (error !== undefined) space.stats.storeErrors += 1;
  };
  if (removed.length > 0) space.vault.unsubscribe(session.key, removed, noted);
  if (lowered.length > 0) space.vault.subscribe(session.key, lowered, noted);
  return removed.length;
}

function noteEnded(session: Session, filter: string, detail: string): void {
  const { space, principal, connection } = session;
  const { tenantId, deviceId, clientId, username } = principal;
  space.stats.denied += 1;
  space.journal.denied({
    tenantId,
    deviceId,
    clientId,
    username,
    remoteAddress: connection?.link.remoteAddress ?? '',
    action: 'subscribe',
    topic: filter,
    reason: Reasons.notAuthorized,
    detail: `a change of rights ended the subscription: ${detail}`,
    at: space.clock.now(),
  });
}

const noRight = {
  allowed: false,
  maxQos: 0,
  mayRetain: false,
  maxPayloadBytes: 0,
  telemetry: false,
} as const;
/** Beyond the tenant's limits: 0x90, whatever the policy says. */
export const tooLongTopic: PublishRight = Object.freeze({
  ...noRight,
  detail: 'topic over the limit of length or levels',
});
/** Clients may not publish there. */
export const serversTopic: PublishRight = Object.freeze({
  ...noRight,
  detail: "topics that begin with $ are the server's",
});
