import type { Connection } from '../connection.js';
import { encodeSuback } from '../encode.js';
import { Hold } from '../hold.js';
import type { Message, Qos, Subscription } from '../message.js';
import type { SubscribePacket } from '../packets.js';
import type { Policy } from '../ports.js';
import { Reasons } from '../reason.js';
import { reviewSubscriptions } from '../rights.js';
import type { Session } from '../session.js';
import { isShared, isTopicFilter, isWithinLimits, parseShared } from '../topic.js';

/** Judges each filter by itself, stores what is granted, answers, and then sends the retained messages. */
export function subscribe(connection: Connection, session: Session, packet: SubscribePacket): void {
  const granted: Subscription[] = [];
  const codes = packet.subscriptions.map((asked) => judge(connection, session, asked, granted));
  if (!session.isDurable || granted.length === 0) {
    return take(connection, session, packet.packetId, granted, codes);
  }
  // What comes next is judged with these in place: their number counts, and an UNSUBSCRIBE finds them.
  connection.hold(Hold.subscriptions);
  const { policy } = session;
  session.space.vault.subscribe(session.key, granted, (error) => {
    if (connection.isClosed) return;
    if (error !== undefined) return connection.storeFailed(error);
    take(connection, session, packet.packetId, granted, codes, policy);
    connection.release(Hold.subscriptions);
  });
}

/** The reason code of one filter (MQTT-3.8.4-5 to -8). */
function judge(
  connection: Connection,
  session: Session,
  asked: Subscription,
  granted: Subscription[],
): number {
  const { filter } = asked;
  const { maxTopicBytes, maxTopicLevels, maxSubscriptionsPerSession } = connection.limits;
  const isValid = isShared(filter) ? parseShared(filter) !== undefined : isTopicFilter(filter);
  if (!isValid || !isWithinLimits(filter, maxTopicBytes, maxTopicLevels)) {
    return Reasons.topicFilterInvalid.code;
  }
  const right = session.policy.subscribeRight(filter);
  if (!right.allowed) {
    connection.denied('subscribe', filter, Reasons.notAuthorized, right.detail);
    return Reasons.notAuthorized.code;
  }
  const isNew = !session.subscriptions.has(filter);
  if (isNew && session.subscriptions.size + granted.length >= maxSubscriptionsPerSession) {
    return Reasons.quotaExceeded.code;
  }
  const qos: Qos = asked.qos < right.maxQos ? asked.qos : right.maxQos;
  granted.push(qos === asked.qos ? asked : { ...asked, qos });
  return qos;
}

function take(
  connection: Connection,
  session: Session,
  packetId: number,
  granted: readonly Subscription[],
  codes: readonly number[],
  judgedBy: Policy = session.policy,
): void {
  const suback = encodeSuback(connection.version ?? 4, packetId, codes);
  if (suback === undefined) return connection.end(Reasons.notAuthorized, 'protocol-error');
  const wasThere = granted.map((subscription) => session.space.subscribe(session, subscription));
  connection.reply(suback);
  if (session.policy !== judgedBy) reviewSubscriptions(session); // a right may have gone while they were stored
  granted.forEach((subscription, i) => {
    if (!session.subscriptions.has(subscription.filter)) return;
    if (wantsRetained(subscription, wasThere[i] === true)) sendRetained(session, subscription);
  });
  session.pump();
}

/** MQTT-3.3.1-9 to -11; none for a shared subscription (4.8.2). */
function wantsRetained({ filter, retainHandling }: Subscription, wasThere: boolean): boolean {
  if (isShared(filter)) return false;
  return retainHandling === 0 || (retainHandling === 1 && !wasThere);
}

function sendRetained(session: Session, subscription: Subscription): void {
  const { space } = session;
  const { filter, noLocal, subscriptionId } = subscription;
  const ids = subscriptionId === undefined ? [] : [subscriptionId]; // MQTT-3.3.4-3
  const now = space.clock.now();
  const expired: Message[] = [];
  space.retained.visit(filter, (message) => {
    if (message.expiresAt !== undefined && message.expiresAt <= now) expired.push(message);
    else if (noLocal && message.publisher === session.clientId) return true; // MQTT-3.8.3-3
    else if (session.mayReceive(message.topic)) {
      const qos = message.qos < subscription.qos ? message.qos : subscription.qos;
      if (qos > 0 && session.isDurable) space.append(session, message, qos as 1 | 2, true, ids);
      else session.offerRetained(message, qos, ids);
    }
    return true;
  });
  for (const message of expired) space.dropRetained(message); // MQTT-3.3.2-5
  space.sys.visit(filter, (message) => {
    if (session.mayReceive(message.topic)) session.offerRetained(message, 0, ids);
  });
}
