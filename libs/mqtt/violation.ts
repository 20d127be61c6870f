import type { ProtocolVersion } from './message.js';
import type { Reason } from './reason.js';

/**
 * What a client sent breaks the standard: the connection ends, with `reason` where its version can say so. Raised by the
 * framer and the codec only; the message is for the operator and holds nothing the client sent.
 */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  readonly reason: Reason;
  /**
   * Of a CONNECT that is refused before there is a connection: the version to answer in. Undefined elsewhere, where the
   * version has no answer to it, and where the bytes do not even claim to be MQTT.
   */
  readonly version: ProtocolVersion | undefined;

  constructor(reason: Reason, message: string, version?: ProtocolVersion) {
    super(message);
    this.reason = reason;
    this.version = version;
  }
}
