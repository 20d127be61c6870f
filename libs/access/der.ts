/**
 * Walks DER (X.690) without building anything: a revocation list of a large fleet has a hundred thousand entries, of which one number
 * each is wanted. The ASN.1 library makes objects of every value in it, and refuses more than some ten thousand of them.
 */
export const Tag = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  boolean: 0x01,
  sequence: 0x30,
  explicit0: 0xa0,
} as const;

/** What was read breaks the encoding rules; whoever walks says what of. */
export class DerError extends Error {
  override readonly name = 'DerError';
  readonly code = 'der.malformed';
}

/** One value after the other of what stands between two places; `tag`, `from` and `to` are those of the one read last. */
export class DerWalk {
  readonly bytes: Buffer;
  #at: number;
  readonly #end: number;
  tag = 0;
  /** Of its content. */
  from = 0;
  to = 0;
  /** Where its tag stands. */
  head = 0;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get isOver(): boolean {
    return this.#at === this.#end;
  }

  /** The tag of the next value; 0 where there is none. */
  get nextTag(): number {
    return this.#at < this.#end ? (this.bytes[this.#at] as number) : 0;
  }

  next(): void {
    const { bytes } = this;
    this.head = this.#at;
    if (this.#end - this.#at < 2) throw new DerError('cut short');
    this.tag = bytes[this.#at] as number;
    const length = this.#length();
    if (length > this.#end - this.from) throw new DerError('longer than what it stands in');
    this.to = this.from + length;
    this.#at = this.to;
  }

  /** DER: definite, and as short as it can be said. */
  #length(): number {
    const { bytes } = this;
    const first = bytes[this.#at + 1] as number;
    this.from = this.#at + 2;
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4 || this.from + count > this.#end) throw new DerError('no length');
    const length = bytes.readUIntBE(this.from, count);
    this.from += count;
    if (length < (count === 1 ? 0x80 : 2 ** (8 * (count - 1))))
      throw new DerError('a length of too many bytes');
    return length;
  }

  expect(tag: number): this {
    this.next();
    if (this.tag !== tag) throw new DerError('another value than is due');
    return this;
  }

  /** What stands in the value that was read last. */
  inside(): DerWalk {
    return new DerWalk(this.bytes, this.from, this.to);
  }

  /** The value that was read last, without its head. */
  get content(): Buffer {
    return this.bytes.subarray(this.from, this.to);
  }

  /** The value that was read last, with its head. */
  get whole(): Buffer {
    return this.bytes.subarray(this.head, this.to);
  }

  mustBeOver(): void {
    if (!this.isOver) throw new DerError('more than is due');
  }
}
