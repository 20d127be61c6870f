declare global {
  // In Node since version 4, not in its types.
  interface Buffer {
    utf8Write(text: string, at: number): number;
  }
}

/** Writes the data types of MQTT (1.5) into memory that grows as needed. For control packets; PUBLISH measures first. */
export class Writer {
  #bytes: Buffer;
  #at = 0;

  constructor(expectedBytes = 64) {
    this.#bytes = Buffer.allocUnsafe(expectedBytes);
  }

  /** What was written so far; the writer is not used after it. */
  get written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  byte(value: number): void {
    this.#makeRoom(1);
    this.#bytes[this.#at++] = value;
  }

  uint16(value: number): void {
    this.#makeRoom(2);
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
  }

  uint32(value: number): void {
    this.#makeRoom(4);
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  variableByteInteger(value: number): void {
    this.#makeRoom(4);
    this.#at = writeVariableByteInteger(this.#bytes, value, this.#at);
  }

  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.#makeRoom(2 + length);
    this.#at = writeString(this.#bytes, text, length, this.#at);
  }

  binary(bytes: Buffer): void {
    this.uint16(bytes.length);
    this.raw(bytes);
  }

  raw(bytes: Buffer): void {
    this.#makeRoom(bytes.length);
    bytes.copy(this.#bytes, this.#at);
    this.#at += bytes.length;
  }

  #makeRoom(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}

/** How many bytes `writeVariableByteInteger` takes. */
export function variableByteIntegerLength(value: number): number {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

/** Writes `value` at `at`; returns where it ends. */
export function writeVariableByteInteger(bytes: Buffer, value: number, at: number): number {
  let rest = value;
  let next = at;
  while (rest > 0x7f) {
    bytes[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[next++] = rest;
  return next;
}

/** Writes a string of `length` bytes (Buffer.byteLength) with its length before it; returns where it ends. */
export function writeString(bytes: Buffer, text: string, length: number, at: number): number {
  bytes[at] = length >> 8;
  bytes[at + 1] = length & 0xff;
  bytes.utf8Write(text, at + 2);
  return at + 2 + length;
}
