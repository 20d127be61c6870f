/**
 * The way of a message, in the order that keeps it honest: alias, topic, right, limits; then to its subscribers; and the
 * acknowledgement when everyone who owns it durably has stored it.
 */
import type { Commit } from '../commit.js';
import type { Connection } from '../connection.js';
import type { Message } from '../message.js';
import type { PublishPacket } from '../packets.js';
import type { PublishRight } from '../ports.js';
import { Reasons, type Reason } from '../reason.js';
import type { ReceiptType } from '../receipts.js';
import { isRefused } from '../vault-errors.js';
import { mayPublish, tooLongTopic, whyNot } from '../rights.js';
import type { Session } from '../session.js';
import { ProtocolViolation } from '../violation.js';

export function publish(connection: Connection, session: Session, packet: PublishPacket): void {
  const { qos, packetId, payload } = packet;
  const { space } = session;
  space.stats.messagesReceived += 1;
  connection.messagesReceived += 1;
  connection.countRate(payload.length);
  const topic =
    packet.topicAlias === undefined ? packet.topic : connection.resolveAlias(packet.topic, packet.topicAlias);

  if (qos === 2 && session.holdsInbound(packetId)) {
    connection.acknowledge('pubrec', packetId, 0, undefined); // taken over before: MQTT-4.3.3-10
    return;
  }
  if (qos > 0) connection.takeInbound();

  const right = connection.publishRight(topic);
  if (!mayPublish(right, packet)) return refuse(connection, packet, topic, right);

  const message: Message = {
    topic,
    payload,
    isLent: true,
    qos,
    retain: packet.retain,
    properties: packet.properties,
    publisher: session.clientId,
    receivedAt: connection.intake.now,
    expiresAt:
      packet.messageExpiryS === undefined ? undefined : connection.intake.now + packet.messageExpiryS * 1000,
  };
  if (message.retain && connection.version === 5 && !connection.offersRetain) {
    throw new ProtocolViolation(Reasons.retainNotSupported, 'RETAIN where it is not available'); // 3.2.2.3.5
  }
  if (message.retain && !space.mayRetain(message, connection.limits)) {
    return reject(connection, packet, Reasons.quotaExceeded, 'retained messages over the limit');
  }

  const isKept = qos === 2 && session.isDurable;
  if (qos === 2) session.keepInbound(packetId);
  const commit = space.publish(
    message,
    right.telemetry ? { principal: session.principal, timeField: right.timeField } : undefined,
    isKept ? { session: session.key, packetId } : undefined,
    packet.asReceived,
  );
  if (space.crowded !== undefined) connection.intake.hasFilled(space);
  if (qos > 0) answer(connection, session, packet, topic, commit);
  else if (commit !== undefined) noteUnstorable(connection, topic, commit);
  if (commit !== undefined) connection.waitForStore();
}

/** PUBACK or PUBREC: when everyone who owns the message has stored it, or at once where nobody stores it. */
function answer(
  connection: Connection,
  session: Session,
  { qos, packetId }: PublishPacket,
  topic: string,
  commit: Commit | undefined,
): void {
  const type = qos === 1 ? 'puback' : 'pubrec';
  const reasonCode =
    connection.version === 5 && !session.space.hasSubscribers(topic) ? Reasons.noMatchingSubscribers.code : 0;
  if (commit === undefined) {
    if (qos === 1) connection.giveInbound();
    connection.acknowledge(type, packetId, reasonCode, undefined);
    return;
  }
  const receipt = connection.receipts.expect(type, packetId, reasonCode);
  commit.whenStored((error) => {
    if (error !== undefined && qos === 2) session.forgetInbound(packetId);
    const isUntaken = error !== undefined && isRefused(error);
    if (isUntaken) connection.denied('publish', topic, Reasons.payloadFormatInvalid, unstorable);
    if (connection.isClosed) return;
    if (error !== undefined) {
      const mayStay = isUntaken && (connection.version === 5 || connection.publishDenied !== 'close');
      if (!mayStay) return connection.storeFailed();
      receipt.reasonCode = Reasons.payloadFormatInvalid.code;
    }
    if (qos === 1 || error !== undefined) connection.giveInbound(); // a failing PUBREC ends the exchange too
    connection.receipts.ready(receipt);
    connection.receiptSent();
  });
}

/** A publisher of QoS 0 hears nothing; its tenant does. */
function noteUnstorable(connection: Connection, topic: string, commit: Commit): void {
  commit.whenStored((error) => {
    if (error === undefined || !isRefused(error)) return;
    connection.denied('publish', topic, Reasons.payloadFormatInvalid, unstorable);
  });
}

const unstorable = 'the store cannot hold this message';

function refuse(connection: Connection, packet: PublishPacket, topic: string, right: PublishRight): void {
  const reason = right === tooLongTopic ? Reasons.topicNameInvalid : Reasons.notAuthorized;
  const detail = whyNot(right, packet);
  connection.denied('publish', topic, reason, detail);
  if (packet.qos === 0 && connection.version === 5) return; // QoS 0 has no way to hear of it
  reject(connection, packet, reason, detail);
}

/** The message is not taken. 5.0 is told why; 3.x has no word for it, and the tenant chose what to do instead. */
function reject(connection: Connection, packet: PublishPacket, reason: Reason, text: string): void {
  const { qos, packetId } = packet;
  if (connection.version !== 5 && connection.publishDenied === 'close') {
    throw new ProtocolViolation(reason, text);
  }
  if (qos === 0) return;
  const type: ReceiptType = qos === 1 ? 'puback' : 'pubrec';
  connection.giveInbound(); // a failing PUBREC ends the exchange too
  connection.acknowledge(type, packetId, reason.code, connection.explanation(text));
}
