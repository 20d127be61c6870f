/**
 * MQTT's UTF-8 (1.5.4 in 5.0, 1.5.3 in 3.1.1), strictly. `Buffer.toString` replaces what it cannot read, so it must never
 * see bytes that were not checked here.
 */
import { Reasons } from './reason.js';
import { ProtocolViolation } from './violation.js';

declare global {
  // In Node since version 4, not in its types: toString without the work of choosing an encoding by name.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
  }
}

/**
 * Whether the bytes are well-formed UTF-8 and free of what the standard forbids (surrogates, U+0000; MQTT-1.5.4-1, -2) or
 * advises against (other control characters and non-characters, 1.5.4): a name that cannot be printed or compared reliably
 * does not get in.
 */
export function isMqttUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = bytes[at] as number;
    if (lead < 0x80) {
      if (lead < 0x20 || lead === 0x7f) return false;
      at += 1;
      continue;
    }
    const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    // 0x80..0xC1: a continuation without a lead, or an overlong form; 0xF5 and above lie beyond U+10FFFF.
    if (lead < 0xc2 || lead > 0xf4 || at + length > end) return false;
    let codePoint = lead & (0xff >> (length + 1));
    for (let next = at + 1; next < at + length; next++) {
      const byte = bytes[next] as number;
      if ((byte & 0xc0) !== 0x80) return false;
      codePoint = (codePoint << 6) | (byte & 0x3f);
    }
    if (!isAllowed(codePoint, length)) return false;
    at += length;
  }
  return true;
}

function isAllowed(codePoint: number, length: number): boolean {
  if (length === 2) return codePoint >= 0xa0; // U+0080..U+009F are control characters
  if (length === 3) {
    if (codePoint < 0x800) return false; // overlong
    if (codePoint >= 0xd800 && codePoint <= 0xdfff) return false; // surrogates, MQTT-1.5.4-1
    if (codePoint >= 0xfdd0 && codePoint <= 0xfdef) return false; // non-characters
  } else if (codePoint < 0x1_0000 || codePoint > 0x10_ffff) return false; // overlong, or beyond Unicode
  return (codePoint & 0xfffe) !== 0xfffe; // U+nFFFE and U+nFFFF are non-characters
}

/** The string in `bytes[start, end)`; throws malformedPacket where it is not MQTT's UTF-8. */
export function readUtf8(bytes: Buffer, start: number, end: number): string {
  // Nearly every topic is printable ASCII, which Latin-1 reads at the speed of a copy.
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e) break;
    at += 1;
  }
  if (at === end) return bytes.latin1Slice(start, end);
  if (!isMqttUtf8(bytes, at, end)) throw new ProtocolViolation(Reasons.malformedPacket, 'ill-formed UTF-8');
  return bytes.utf8Slice(start, end); // U+FEFF stays what it is, MQTT-1.5.4-3
}
