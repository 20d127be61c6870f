import type { Connection } from '../connection.js';
import { encodeSuback } from '../encode.js';
import { Hold } from '../hold.js';
import type { Message, Qos, Subscription } from '../message.js';
import type { SubscribePacket } from '../packets.js';
import type { Policy } from '../ports.js';
import { Reasons } from '../reason.js';
import type { Walk } from '../retained.js';
import { reviewSubscriptions } from '../rights.js';
import type { Session } from '../session.js';
import { isShared, isTopicFilter, isWithinLimits, parseShared } from '../topic.js';

/** Of the retained messages' tree, looked at for one SUBSCRIBE before others get their turn: about a millisecond. */
const nodesPerTurn = 5_000;

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
    if (connection.isClosed) {
      // The vault has them: a session that is resumed has them too, though nobody was told.
      if (error !== undefined || session.hasEnded) return;
      for (const subscription of granted) session.space.subscribe(session, subscription);
      return;
    }
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
  const wanted = granted.filter((subscription, i) => wantsRetained(subscription, wasThere[i] === true));
  sendRetained(connection, session, wanted);
}

/** MQTT-3.3.1-9 to -11; none for a shared subscription (4.8.2). */
function wantsRetained({ filter, retainHandling }: Subscription, wasThere: boolean): boolean {
  if (isShared(filter)) return false;
  return retainHandling === 0 || (retainHandling === 1 && !wasThere);
}

/** Retained messages on their way to a new subscription. */
interface Sending {
  readonly subscription: Subscription;
  readonly walk: Walk;
}

function sendRetained(connection: Connection, session: Session, wanted: readonly Subscription[]): void {
  const { space } = session;
  sendOn(
    connection,
    session,
    wanted.map((subscription) => ({ subscription, walk: space.retained.walk(subscription.filter) })),
  );
}

/**
 * A turn of the loop's worth of them. A thousand times `#` over a hundred thousand topics would hold up every other client for
 * seconds: what is left waits for the next turn, and so does the next packet of whoever asked for it.
 */
function sendOn(connection: Connection, session: Session, sendings: readonly Sending[]): void {
  const { space } = session;
  let left = nodesPerTurn;
  let at = 0;
  for (let sending = sendings[at]; sending !== undefined && left > 0; sending = sendings[at]) {
    const { subscription, walk } = sending;
    const isThere = session.subscriptions.has(subscription.filter); // a right may have gone meanwhile
    if (isThere) left = walk.go(left, (message) => sendOne(session, subscription, message));
    if (isThere && !walk.isDone) break;
    if (isThere) {
      sendSys(session, subscription);
      session.space.tenantNews.send(session, subscription);
    }
    at += 1;
  }
  session.pump();
  const waiting = sendings.slice(at);
  if (waiting.length === 0) return connection.release(Hold.retained);
  connection.hold(Hold.retained);
  const goOn = (): void => {
    if (!connection.isClosed) sendOn(connection, session, waiting);
  };
  if (space.vault.isFull) space.vault.whenReady(goOn);
  else space.clock.soon(goOn);
}

function sendOne(session: Session, subscription: Subscription, message: Message): true {
  const { space } = session;
  if (message.expiresAt !== undefined && message.expiresAt <= space.clock.now()) {
    space.dropRetained(message); // MQTT-3.3.2-5
    return true;
  }
  if (subscription.noLocal && message.publisher === session.clientId) return true; // MQTT-3.8.3-3
  if (!session.mayReceive(message.topic)) return true;
  const qos = message.qos < subscription.qos ? message.qos : subscription.qos;
  const ids = identifiersOf(subscription);
  if (qos > 0 && session.isDurable) space.append(session, message, qos as 1 | 2, true, ids);
  else session.offerRetained(message, qos, ids);
  return true;
}

function sendSys(session: Session, subscription: Subscription): void {
  session.space.sys.visit(subscription.filter, (message) => {
    if (session.mayReceive(message.topic)) session.offerRetained(message, 0, identifiersOf(subscription));
  });
}

function identifiersOf({ subscriptionId }: Subscription): readonly number[] {
  return subscriptionId === undefined ? [] : [subscriptionId]; // MQTT-3.3.4-3
}
