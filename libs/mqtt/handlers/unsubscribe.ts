import type { Connection } from '../connection.js';
import { encodeUnsuback } from '../encode.js';
import { Hold } from '../hold.js';
import type { UnsubscribePacket } from '../packets.js';
import { Reasons } from '../reason.js';
import type { Session } from '../session.js';
import { isShared, isTopicFilter, parseShared } from '../topic.js';

export function unsubscribe(connection: Connection, session: Session, packet: UnsubscribePacket): void {
  const { packetId, filters } = packet;
  const held = filters.filter((filter) => session.subscriptions.has(filter));
  if (!session.isDurable || held.length === 0) return take(connection, session, packetId, filters);
  connection.hold(Hold.subscriptions); // as for SUBSCRIBE: one after the other
  session.space.vault.unsubscribe(session.key, held, (error) => {
    if (connection.isClosed) {
      if (error === undefined) for (const filter of held) session.space.unsubscribe(session, filter);
      return;
    }
    if (error !== undefined) return connection.storeFailed(error);
    take(connection, session, packetId, filters);
    connection.release(Hold.subscriptions);
  });
}

/** Compared character by character (MQTT-3.10.4-1); one code a filter, in their order (MQTT-3.11.3-1). */
function take(connection: Connection, session: Session, packetId: number, filters: readonly string[]): void {
  const codes = filters.map((filter) => {
    if (session.space.unsubscribe(session, filter)) return Reasons.success.code;
    const isValid = isShared(filter) ? parseShared(filter) !== undefined : isTopicFilter(filter);
    return isValid ? Reasons.noSubscriptionExisted.code : Reasons.topicFilterInvalid.code;
  });
  connection.reply(encodeUnsuback(connection.version ?? 4, packetId, codes));
}
