import type { Connection } from '../connection.js';
import { encodeUnsuback } from '../encode.js';
import { Hold } from '../hold.js';
import type { UnsubscribePacket } from '../packets.js';
import { Reasons } from '../reason.js';
import type { Session } from '../session.js';
import { isShared, isTopicFilter, parseShared } from '../topic.js';
import { unitsOfLookUp } from '../turns.js';

export function unsubscribe(connection: Connection, session: Session, packet: UnsubscribePacket): void {
  const { packetId, filters } = packet;
  const held = filters.filter((filter) => session.subscriptions.has(filter));
  if (!session.isDurable || held.length === 0) return take(connection, session, packetId, filters);
  connection.hold(Hold.subscriptions); // as for SUBSCRIBE: one after the other
  session.space.vault.unsubscribe(session.key, held, (error) => {
    if (error === undefined) take(connection, session, packetId, filters);
    else if (!connection.isClosed) connection.storeFailed();
  });
}

/** Compared character by character (MQTT-3.10.4-1); one code a filter, in their order (MQTT-3.11.3-1). */
function take(connection: Connection, session: Session, packetId: number, filters: readonly string[]): void {
  const { space } = session;
  const codes: number[] = [];
  const takeNext = (): boolean => {
    const filter = filters[codes.length];
    if (filter === undefined || session.hasEnded) return false;
    space.turns.spend(unitsOfLookUp(filter));
    codes.push(space.unsubscribe(session, filter) ? Reasons.success.code : codeOfUnknown(filter));
    return true;
  };
  connection.inTurns(Hold.subscriptions, takeNext, () => {
    if (connection.isClosed) return;
    connection.reply(encodeUnsuback(connection.version ?? 4, packetId, codes));
    connection.release(Hold.subscriptions);
  });
}

function codeOfUnknown(filter: string): number {
  const isValid = isShared(filter) ? parseShared(filter) !== undefined : isTopicFilter(filter);
  return isValid ? Reasons.noSubscriptionExisted.code : Reasons.topicFilterInvalid.code;
}
