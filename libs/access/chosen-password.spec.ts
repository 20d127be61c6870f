import { describe, expect, it } from '@jest/globals';

import { hashPassword, passwordFault, verifyPassword } from './chosen-password.js';

const key = Buffer.alloc(32, 7);
const chosen = 'Ein Pferd frisst keinen Gurkensalat';

describe('a chosen password', () => {
  it('is kept as argon2id, with a salt of its own, and under the key of the installation', async () => {
    const [one, two] = await Promise.all([hashPassword(key, chosen), hashPassword(key, chosen)]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(one).not.toBe(two);
    expect(await verifyPassword(key, chosen, one)).toBe(true);
    expect(await verifyPassword(key, Buffer.from(chosen), two)).toBe(true);
    expect(await verifyPassword(key, `${chosen} `, one)).toBe(false);
    expect(await verifyPassword(Buffer.alloc(32, 8), chosen, one)).toBe(false);
    expect(await verifyPassword(key, chosen, 'not a hash')).toBe(false);
  });

  it.each([
    ['short', 'too-short'],
    ['x'.repeat(129), 'too-long'],
    ['with a\0 control', 'forbidden-character'],
    ['aaaaaaaaaaaaaaa', 'trivial'],
    ['abababababab', 'trivial'],
    ['abcdefghijklmno', 'trivial'],
    ['987654321098765', 'trivial'],
    ['193847561029', 'trivial'],
    ['123Password!!', 'trivial'],
    ['pump-station-7', 'trivial'],
    ['Pump-Station-7!2026', 'trivial'],
    [chosen, undefined],
    ['pump-station-7 drinks tea', undefined],
    ['zH3-kq9.Lm2x', undefined],
  ])('%j is judged %s', (password, fault) => {
    expect(passwordFault(password, ['pump-station-7'])).toBe(fault);
  });
});
