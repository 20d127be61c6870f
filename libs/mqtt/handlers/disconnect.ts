import type { Connection } from '../connection.js';
import type { DisconnectPacket } from '../packets.js';
import type { PresenceCause } from '../ports.js';
import { Reasons } from '../reason.js';
import type { Session } from '../session.js';
import { ProtocolViolation } from '../violation.js';

export function disconnect(connection: Connection, session: Session, packet: DisconnectPacket): void {
  const { sessionExpiryIntervalS, reasonCode } = packet;
  if (sessionExpiryIntervalS !== undefined) {
    if (connection.requestedExpiryS === 0 && sessionExpiryIntervalS > 0) {
      throw new ProtocolViolation(Reasons.protocolError, 'session expiry raised from 0'); // 3.14.2.2.2
    }
    session.expiryIntervalS = Math.min(sessionExpiryIntervalS, connection.limits.maxSessionExpiryS);
  }
  connection.goodbye({
    cause: causeOf(reasonCode),
    reason: reasonCode === 0x04 ? Reasons.disconnectWithWill : Reasons.success,
    will: reasonCode === 0 ? 'discarded' : 'due', // MQTT-3.14.4-3
  });
}

function causeOf(reasonCode: number): PresenceCause {
  if (reasonCode === 0) return 'clean';
  return reasonCode === 0x04 ? 'will' : 'protocol-error';
}
