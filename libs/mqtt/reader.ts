import { Reasons } from './reason.js';
import { readUtf8 } from './utf8.js';
import { ProtocolViolation } from './violation.js';

/**
 * Reads the data types of MQTT (1.5) out of one packet, from `at` to `end`. Every read that would pass the end, and every
 * value that is not of its type, throws malformedPacket.
 */
export class Reader {
  readonly #bytes: Buffer;
  at: number;
  end: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.at === this.end;
  }

  byte(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  uint16(): number {
    return readUint16(this.#bytes, this.#take(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** 1.5.5: at most four bytes, and as few as the value needs. */
  variableByteInteger(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw malformed('a length written longer than it needs'); // MQTT-1.5.5-1
        return value;
      }
    }
    throw malformed('a length of more than four bytes');
  }

  string(): string {
    const length = this.uint16();
    const start = this.#take(length);
    return readUtf8(this.#bytes, start, start + length);
  }

  /** A view on the packet's memory. */
  binary(): Buffer {
    const length = this.uint16();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Nothing may follow what the standard lays out. */
  finish(): void {
    if (this.at !== this.end) throw malformed('bytes after the end of the packet');
  }

  #take(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw malformed('packet cut short');
    this.at = start + length;
    return start;
  }
}

export function readUint16(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function malformed(message: string): ProtocolViolation {
  return new ProtocolViolation(Reasons.malformedPacket, message);
}

export function protocolError(message: string): ProtocolViolation {
  return new ProtocolViolation(Reasons.protocolError, message);
}
