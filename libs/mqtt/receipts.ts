/**
 * Acknowledgements to a publisher, in the order in which its messages arrived (MQTT-4.6.0-2, -3), each no earlier than
 * everything that owns its message has stored it. What waits for nothing, behind nothing that waits, goes out at once.
 */
import { encodeAcknowledge } from './encode.js';
import type { ProtocolVersion } from './message.js';
import type { Outbox } from './outbox.js';

export type ReceiptType = 'puback' | 'pubrec';

/** One that is not sent yet. */
export interface Receipt {
  readonly type: ReceiptType;
  readonly packetId: number;
  reasonCode: number;
  isReady: boolean;
}

export class Receipts {
  readonly #outbox: Outbox;
  readonly #version: ProtocolVersion;
  #waiting: Receipt[] = [];

  constructor(outbox: Outbox, version: ProtocolVersion) {
    this.#outbox = outbox;
    this.#version = version;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Acknowledges now, or as soon as everything before it is. */
  send(type: ReceiptType, packetId: number, reasonCode: number, reasonString: string | undefined): void {
    if (this.#waiting.length > 0) this.#waiting.push({ type, packetId, reasonCode, isReady: true });
    else this.#write(type, packetId, reasonCode, reasonString);
  }

  /** Keeps the place of an acknowledgement that `ready` sets free. */
  expect(type: ReceiptType, packetId: number, reasonCode: number): Receipt {
    const receipt = { type, packetId, reasonCode, isReady: false };
    this.#waiting.push(receipt);
    return receipt;
  }

  ready(receipt: Receipt): void {
    receipt.isReady = true;
    let sent = 0;
    for (; sent < this.#waiting.length; sent++) {
      const next = this.#waiting[sent] as Receipt;
      if (!next.isReady) break;
      this.#write(next.type, next.packetId, next.reasonCode, undefined);
    }
    if (sent > 0) this.#waiting.splice(0, sent);
  }

  #write(type: ReceiptType, packetId: number, reasonCode: number, reasonString: string | undefined): void {
    if (reasonCode === 0 || this.#version !== 5) {
      this.#outbox.acknowledge(type === 'puback' ? 0x40 : 0x50, packetId);
    } else this.#outbox.write(encodeAcknowledge(type, 5, packetId, reasonCode, { reasonString }));
  }
}
