/** PUBACK, PUBREC and PUBCOMP for what was sent to the client; PUBREL for what it sent. */
import type { Connection } from '../connection.js';
import type { AcknowledgePacket } from '../packets.js';
import { Reasons } from '../reason.js';
import type { Session } from '../session.js';

export function acknowledged(session: Session, packet: AcknowledgePacket): void {
  session.acknowledged(packet.packetId); // a stray one is no harm
}

export function received(connection: Connection, session: Session, packet: AcknowledgePacket): void {
  const isFailure = packet.reasonCode >= 0x80; // MQTT-4.3.3-4: such a PUBREC is the end of it
  if (session.received(packet.packetId, isFailure) || isFailure) return;
  connection.sendRelease(packet.packetId, Reasons.packetIdentifierNotFound.code); // 3.6.2.1
}

export function released(connection: Connection, session: Session, packet: AcknowledgePacket): void {
  const { packetId } = packet;
  if (!session.forgetInbound(packetId)) {
    connection.sendComplete(packetId, Reasons.packetIdentifierNotFound.code); // MQTT-4.3.3-11
    return;
  }
  if (!session.isDurable) return complete(connection, packetId);
  session.space.vault.forgetInbound({ session: session.key, packetId }, (error) => {
    if (connection.isClosed) return;
    if (error === undefined) complete(connection, packetId);
    else connection.storeFailed();
  });
}

function complete(connection: Connection, packetId: number): void {
  connection.giveInbound();
  connection.sendComplete(packetId);
}

export function completed(session: Session, packet: AcknowledgePacket): void {
  session.completed(packet.packetId);
}
