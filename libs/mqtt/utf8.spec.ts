import { describe, expect, it } from '@jest/globals';
import { isMqttUtf8, readUtf8 } from './utf8.js';
import { ProtocolViolation } from './violation.js';

function encode(codePoint: number, length: number): Buffer {
  if (length === 1) return Buffer.from([codePoint]);
  const units: number[] = [];
  for (let shift = (length - 1) * 6; shift >= 0; shift -= 6) units.push(0x80 | ((codePoint >> shift) & 0x3f));
  units[0] = ((0xf0 << (4 - length)) & 0xff) | (codePoint >> ((length - 1) * 6));
  return Buffer.from(units);
}

function shortest(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x1_0000 ? 3 : 4;
}

function isForbidden(codePoint: number): boolean {
  return (
    codePoint < 0x20 ||
    (codePoint >= 0x7f && codePoint <= 0x9f) ||
    (codePoint >= 0xd800 && codePoint <= 0xdfff) ||
    (codePoint >= 0xfdd0 && codePoint <= 0xfdef) ||
    (codePoint & 0xfffe) === 0xfffe
  );
}

describe('MQTT UTF-8', () => {
  it('takes every code point that may be used, and no other', () => {
    for (let codePoint = 0; codePoint <= 0x10_ffff; codePoint++) {
      const bytes = encode(codePoint, shortest(codePoint));
      if (isMqttUtf8(bytes, 0, bytes.length) === isForbidden(codePoint)) {
        throw new Error(`U+${codePoint.toString(16)}`);
      }
    }
    expect(encode(0x20ac, 3)).toEqual(Buffer.from('€'));
    expect(encode(0x1f600, 4)).toEqual(Buffer.from('😀'));
  });

  it('refuses every overlong form', () => {
    for (let codePoint = 0x20; codePoint < 0x1_0000; codePoint += 7) {
      for (let length = shortest(codePoint) + 1; length <= 4; length++) {
        expect(isMqttUtf8(encode(codePoint, length), 0, length)).toBe(false);
      }
    }
  });

  it.each([
    ['a continuation byte alone', '80'],
    ['a lead byte alone', 'c3'],
    ['a lead byte before a character', 'c328'],
    ['three bytes cut to two', 'e282'],
    ['four bytes cut to three', 'f09f98'],
    ['beyond U+10FFFF', 'f4908080'],
    ['a lead byte of five', 'f888808080'],
    ['0xFF', 'ff'],
    ['a surrogate pair written as two characters (CESU-8)', 'eda0bdedb880'],
  ])('refuses %s, wherever it stands', (_name, hex) => {
    const bad = Buffer.from(hex, 'hex');
    for (const bytes of [
      bad,
      Buffer.concat([Buffer.from('ab'), bad]),
      Buffer.concat([bad, Buffer.from('ab')]),
    ]) {
      expect(isMqttUtf8(bytes, 0, bytes.length)).toBe(false);
      expect(() => readUtf8(bytes, 0, bytes.length)).toThrow(ProtocolViolation);
    }
  });

  it('does not look beyond the end it is given', () => {
    const bytes = Buffer.from('a€b');
    expect(isMqttUtf8(bytes, 0, 2)).toBe(false);
    expect(readUtf8(bytes, 1, 4)).toBe('€');
    expect(readUtf8(bytes, 2, 2)).toBe('');
  });

  it.each(['', 'plain', 'a/b c~', 'Füße', '日本/🚲', '\uFEFFbom', 'a\uFEFF'])(
    'reads %j as it was written',
    (text) => {
      const bytes = Buffer.from(text);
      expect(readUtf8(bytes, 0, bytes.length)).toBe(text);
    },
  );
});
