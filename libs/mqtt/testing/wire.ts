/** Packets by hand, for tests that say what is on the wire byte for byte. */

/** A part of a packet: bytes, or hexadecimal digits with spaces wherever they help. */
export type Part = Buffer | string;

/** A packet with its Remaining Length worked out. */
export function packet(first: number, ...parts: Part[]): Buffer {
  const body = bytes(...parts);
  return Buffer.concat([Buffer.from([first]), vbi(body.length), body]);
}

export function bytes(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part.replaceAll(' ', ''), 'hex') : part)),
  );
}

/** A string, or binary data, with its length of two bytes before it. */
export function str(content: string | Buffer): Buffer {
  const body = typeof content === 'string' ? Buffer.from(content) : content;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.length);
  return Buffer.concat([length, body]);
}

/** Properties with their length before them. */
export function props(...parts: Part[]): Buffer {
  const body = bytes(...parts);
  return Buffer.concat([vbi(body.length), body]);
}

export function vbi(value: number): Buffer {
  const digits: number[] = [];
  let rest = value;
  do {
    digits.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.from(digits);
}
