import type { Message, Subscription } from './message.js';
import type { PublishRight } from './ports.js';
import { Reasons } from './reason.js';
import type { Session } from './session.js';
import { isShared } from './topic.js';
import { unitsOfLookUp } from './turns.js';

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
export function whyNot(right: PublishRight, { qos, retain }: Pick<Message, 'qos' | 'retain'>): string {
  if (!right.allowed) return right.detail;
  if (qos > right.maxQos) return `over the maximum QoS of ${right.maxQos}`;
  if (retain && !right.mayRetain) return 'no right to retain';
  return `over the maximum payload of ${right.maxPayloadBytes} bytes`;
}

/**
 * Holds a session's subscriptions against its policy of now: those without the right go, each with a denial on record, those above
 * the QoS it allows are lowered. Returns how many went; thousands take several turns of the loop, and until they are done a delivery
 * is held against the right to subscribe to its topic (`Session.mayReceive`).
 */
export function reviewSubscriptions(session: Session): number | Promise<number> {
  if (session.subscriptions.size === 0) return 0;
  const { space } = session;
  let count = 0;
  /** What the vault is to be told. */
  const removed: string[] = [];
  const lowered: Subscription[] = [];
  const besides = session.isDurable ? ordinaryBesideShared(session) : none;
  const left = session.subscriptions.values();
  const reviewNext = (): boolean => {
    const { done, value: subscription } = left.next();
    if (done === true || session.hasEnded) return false;
    const { filter, qos } = subscription;
    space.turns.spend(unitsOfLookUp(filter));
    const right = session.policy.subscribeRight(filter);
    if (!right.allowed) {
      count += 1;
      if (session.isDurable) removed.push(filter);
      if (session.isDurable && isShared(filter)) session.loseShare(filter, besides);
      noteEnded(session, filter, right.detail);
      space.unsubscribe(session, filter);
    } else if (right.maxQos < qos) {
      const less = { ...subscription, qos: right.maxQos };
      lowered.push(less);
      space.subscribe(session, less);
    }
    return true;
  };
  const end = (): number => {
    session.unreviewed -= 1;
    keep(session, removed, lowered);
    return count;
  };
  session.unreviewed += 1;
  const rest = space.turns.work(reviewNext);
  return rest === undefined ? end() : rest.then(() => end());
}

const none: readonly string[] = Object.freeze([]);

/** Its ordinary subscriptions, where it has shared ones. */
function ordinaryBesideShared({ subscriptions }: Session): readonly string[] {
  const filters = [...subscriptions.keys()];
  return filters.some(isShared) ? filters.filter((filter) => !isShared(filter)) : none;
}

function keep(session: Session, removed: readonly string[], lowered: readonly Subscription[]): void {
  const { space } = session;
  if (!session.isDurable || session.hasEnded) return;
  // A store that fails here is no reason to keep a right: the session is reviewed again when it is resumed.
  const noted = (error?: Error): void => {
    if (error !== undefined) space.stats.storeErrors += 1;
  };
  if (removed.length > 0) space.vault.unsubscribe(session.key, removed, noted);
  if (lowered.length > 0) space.vault.subscribe(session.key, lowered, noted);
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
