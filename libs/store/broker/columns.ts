/**
 * Columns of a batch as PostgreSQL's binary arrays, for `unnest`. As text, a thousand payloads would be escaped here and
 * unescaped there; so their bytes are copied once. Measured beside other ways in statements/changes.ts.
 */

const headerBytes = 20;
// Type identifiers of pg_type: fixed for the built-in types.
const types = {
  boolean: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  timestamptz: 1184,
  uuid: 2950,
  jsonb: 3802,
} as const;

/** One column: values are added in the order of the rows, then `finish` yields the parameter. */
export class Column {
  #buffer: Buffer;
  #end = headerBytes;
  #count = 0;

  constructor(type: keyof typeof types, expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(headerBytes + expectedBytes);
    this.#buffer.writeInt32BE(1, 0); // dimensions
    this.#buffer.writeInt32BE(1, 4); // may hold nulls
    this.#buffer.writeInt32BE(types[type], 8);
    this.#buffer.writeInt32BE(1, 16); // the first index
  }

  null(): void {
    this.#begin(0);
    this.#end = this.#buffer.writeInt32BE(-1, this.#end);
  }

  boolean(value: boolean): void {
    this.#begin(1);
    this.#end = this.#buffer.writeInt32BE(1, this.#end);
    this.#end = this.#buffer.writeInt8(value ? 1 : 0, this.#end);
  }

  int2(value: number): void {
    this.#begin(2);
    this.#end = this.#buffer.writeInt32BE(2, this.#end);
    this.#end = this.#buffer.writeInt16BE(value, this.#end);
  }

  int4(value: number): void {
    this.#begin(4);
    this.#end = this.#buffer.writeInt32BE(4, this.#end);
    this.#end = this.#buffer.writeInt32BE(value, this.#end);
  }

  int8(value: number | bigint): void {
    if (typeof value === 'number') return this.#int64(value);
    this.#begin(8);
    this.#end = this.#buffer.writeInt32BE(8, this.#end);
    this.#end = this.#buffer.writeBigInt64BE(value, this.#end);
  }

  /** Milliseconds since the epoch. */
  time(ms: number | undefined): void {
    if (ms === undefined) return this.null();
    this.#int64((ms - postgresEpochMs) * 1000);
  }

  uuid(value: string): void {
    this.#begin(16);
    this.#end = this.#buffer.writeInt32BE(16, this.#end);
    this.#end += uuidBytes(value).copy(this.#buffer, this.#end);
  }

  /** U+0000, which PostgreSQL's text cannot hold, is left out; half a surrogate pair becomes U+FFFD. */
  text(value: string): void {
    const clean = value.includes('\0') ? value.replaceAll('\0', '') : value;
    this.#begin(clean.length * 3);
    const written = this.#buffer.write(clean, this.#end + 4);
    this.#buffer.writeInt32BE(written, this.#end);
    this.#end += 4 + written;
  }

  bytes(value: Uint8Array): void {
    this.#begin(value.length);
    this.#end = this.#buffer.writeInt32BE(value.length, this.#end);
    this.#buffer.set(value, this.#end);
    this.#end += value.length;
  }

  /** JSON text in UTF-8, known to be valid; a leading version byte makes it jsonb's binary form. */
  json(value: Uint8Array): void {
    this.#begin(value.length + 1);
    this.#end = this.#buffer.writeInt32BE(value.length + 1, this.#end);
    this.#end = this.#buffer.writeInt8(1, this.#end);
    this.#buffer.set(value, this.#end);
    this.#end += value.length;
  }

  finish(): Buffer {
    this.#buffer.writeInt32BE(this.#count, 12);
    return this.#buffer.subarray(0, this.#end);
  }

  // As two halves: a BigInt for every timestamp would be an allocation each.
  #int64(value: number): void {
    this.#begin(8);
    this.#end = this.#buffer.writeInt32BE(8, this.#end);
    this.#end = this.#buffer.writeInt32BE(Math.floor(value / 2 ** 32), this.#end);
    this.#end = this.#buffer.writeUInt32BE(value >>> 0, this.#end);
  }

  #begin(bytes: number): void {
    this.#count += 1;
    const needed = this.#end + 4 + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }
}

const postgresEpochMs = Date.UTC(2000, 0, 1);

// Ids of tenants and devices come again with every message.
const knownUuids = new Map<string, Buffer>();
const maxKnownUuids = 50_000;

function uuidBytes(value: string): Buffer {
  const known = knownUuids.get(value);
  if (known !== undefined) return known;
  const bytes = Buffer.from(value.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new TypeError(`not a UUID: ${value.slice(0, 40)}`);
  if (knownUuids.size >= maxKnownUuids) knownUuids.clear();
  knownUuids.set(value, bytes);
  return bytes;
}
