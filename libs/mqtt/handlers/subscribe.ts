import type { Connection } from '../connection.js';
import { encodeSuback } from '../encode.js';
import { Hold } from '../hold.js';
import type { Message, Qos, Subscription } from '../message.js';
import type { SubscribePacket } from '../packets.js';
import type { Policy } from '../ports.js';
import { Reasons } from '../reason.js';
import type { Walk } from '../retained.js';
import { isRefused } from '../vault-errors.js';
import { reviewSubscriptions } from '../rights.js';
import type { Session } from '../session.js';
import { isShared, isTopicFilter, isWithinLimits, parseShared } from '../topic.js';
import { unitsOfLookUp } from '../turns.js';

/** Nodes of the retained messages' tree that are looked at in one step, and how many of them cost a unit of a turn. */
const nodesOfStep = 32;
const nodesOfUnit = 4;
/** What it costs to put a subscription in place. */
const unitsOfSubscription = 8;

/**
 * Judges each filter by itself, stores what is granted, answers, and then sends the retained messages. A packet of thousands
 * of filters takes as many turns of the loop as the other clients need of it; what the client sends next is read afterwards.
 */
export function subscribe(connection: Connection, session: Session, packet: SubscribePacket): void {
  const { packetId, subscriptions } = packet;
  const { turns } = connection.broker;
  const granted: Subscription[] = [];
  const codes: number[] = [];
  const judgeNext = (): boolean => {
    const asked = subscriptions[codes.length];
    if (asked === undefined || connection.isClosed) return false;
    turns.spend(unitsOfLookUp(asked.filter));
    codes.push(judge(connection, session, asked, granted));
    return true;
  };
  connection.inTurns(Hold.subscriptions, judgeNext, () => {
    if (connection.isClosed) return;
    const suback = answer(connection, packetId, codes);
    if (suback === undefined) return; // and none of it is kept
    if (!session.isDurable || granted.length === 0) take(connection, session, granted, suback);
    else store(connection, session, packetId, granted, codes, suback);
  });
}

/** Undefined: there is none, and the connection has ended. */
function answer(connection: Connection, packetId: number, codes: readonly number[]): Buffer | undefined {
  const suback = encodeSuback(connection.version ?? 4, packetId, codes);
  if (suback === undefined) connection.end(Reasons.notAuthorized, 'protocol-error');
  return suback;
}

function store(
  connection: Connection,
  session: Session,
  packetId: number,
  granted: readonly Subscription[],
  codes: readonly number[],
  suback: Buffer,
): void {
  // What comes next is judged with these in place: their number counts, and an UNSUBSCRIBE finds them.
  connection.hold(Hold.subscriptions);
  const { policy } = session;
  session.space.vault.subscribe(session.key, granted, (error) => {
    if (error === undefined) return take(connection, session, granted, suback, policy);
    if (connection.isClosed) return;
    if (!isRefused(error)) return connection.storeFailed();
    const reason = Reasons.topicFilterInvalid;
    for (const { filter } of granted) connection.denied('subscribe', filter, reason, unstorable);
    const allRefused = codes.map((code) => (code < 0x80 ? reason.code : code));
    const refusal = answer(connection, packetId, allRefused);
    if (refusal !== undefined) take(connection, session, [], refusal, policy);
  });
}

const unstorable = 'the store cannot hold this subscription, or one that came with it';

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
    // 3.1, 3.8: it is acknowledged as if it had been granted, for there is no word for it.
    return connection.version === 3 ? asked.qos : Reasons.notAuthorized.code;
  }
  const isNew = !session.subscriptions.has(filter);
  if (isNew && session.subscriptions.size + granted.length >= maxSubscriptionsPerSession) {
    return Reasons.quotaExceeded.code;
  }
  const qos: Qos = asked.qos < right.maxQos ? asked.qos : right.maxQos;
  granted.push(qos === asked.qos ? asked : { ...asked, qos });
  const { principal } = session;
  connection.broker.onUse({ principal, action: 'subscribe', topic: filter, rule: right.rule });
  return qos;
}

/** Puts in place what is granted, and answers. Where the client has gone and the vault has them, a session that is resumed does too. */
function take(
  connection: Connection,
  session: Session,
  granted: readonly Subscription[],
  suback: Buffer,
  judgedBy: Policy = session.policy,
): void {
  const wanted: Subscription[] = [];
  let taken = 0;
  const takeNext = (): boolean => {
    const subscription = granted[taken++];
    if (subscription === undefined || session.hasEnded) return false;
    connection.broker.turns.spend(unitsOfSubscription);
    const wasThere = session.space.subscribe(session, subscription);
    if (wantsRetained(subscription, wasThere)) wanted.push(subscription);
    return true;
  };
  connection.inTurns(Hold.subscriptions, takeNext, () => {
    // A right may have gone while they were stored.
    if (session.policy !== judgedBy) void reviewTaken(connection, session);
    if (!connection.isClosed) connection.reply(suback);
    sendRetained(connection, session, wanted);
    connection.release(Hold.subscriptions);
  });
}

async function reviewTaken(connection: Connection, session: Session): Promise<void> {
  try {
    await reviewSubscriptions(session);
  } catch (error) {
    connection.fail(error);
  }
}

/** MQTT-3.3.1-9 to -11; none for a shared subscription (4.8.2). */
function wantsRetained({ filter, retainHandling }: Subscription, wasThere: boolean): boolean {
  if (isShared(filter)) return false;
  return retainHandling === 0 || (retainHandling === 1 && !wasThere);
}

/**
 * A thousand times `#` over a hundred thousand topics would hold up every other client for seconds: it takes turns, and the next
 * packet of whoever asked for it waits. It goes on where the client has gone and its session stays: whoever resumes that does not ask again.
 */
function sendRetained(connection: Connection, session: Session, wanted: readonly Subscription[]): void {
  const { space } = session;
  const { vault, turns } = space;
  let at = 0;
  let walk: Walk | undefined;
  const sendNext = (): boolean => {
    const subscription = wanted[at];
    if (subscription === undefined || session.hasEnded || vault.isFull) return false;
    walk ??= space.retained.walk(subscription.filter);
    // A right may have gone meanwhile.
    const isThere = session.subscriptions.has(subscription.filter);
    if (isThere) {
      const left = walk.go(nodesOfStep, (message) => sendOne(session, subscription, message));
      turns.spend((nodesOfStep - left) / nodesOfUnit);
      if (walk.isDone) sendOwn(session, subscription);
    }
    if (!isThere || walk.isDone) {
      walk = undefined;
      at += 1;
    }
    session.pump();
    return true;
  };
  const goOn = (): void =>
    connection.inTurns(Hold.retained, sendNext, () => {
      if (at === wanted.length || session.hasEnded) return connection.release(Hold.retained);
      connection.hold(Hold.retained);
      vault.whenReady(goOn);
    });
  goOn();
}

function sendOne(session: Session, subscription: Subscription, message: Message): true {
  const { space } = session;
  space.turns.spend(4);
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

/** What the server itself retains. */
function sendOwn(session: Session, subscription: Subscription): void {
  const { space } = session;
  space.sys.visit(subscription.filter, (message) => {
    if (session.mayReceive(message.topic)) session.offerRetained(message, 0, identifiersOf(subscription));
  });
  space.tenantNews.send(session, subscription);
}

function identifiersOf({ subscriptionId }: Subscription): readonly number[] {
  return subscriptionId === undefined ? [] : [subscriptionId]; // MQTT-3.3.4-3
}
