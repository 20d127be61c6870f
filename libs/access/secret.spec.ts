import { describe, expect, it } from '@jest/globals';

import { generateSecret, hashSecret, verifySecret } from './secret.js';

const key = Buffer.alloc(32, 7);

describe('a generated secret', () => {
  it('is verified by its hash under the same key only', () => {
    const secret = generateSecret();
    const hash = hashSecret(key, secret);
    expect(verifySecret(key, secret, hash)).toBe(true);
    expect(verifySecret(key, Buffer.from(secret), hash)).toBe(true);
    expect(verifySecret(key, `${secret}x`, hash)).toBe(false);
    expect(verifySecret(Buffer.alloc(32, 8), secret, hash)).toBe(false);
    expect(verifySecret(key, secret, hash.subarray(1))).toBe(false);
  });

  it('has 256 bits in characters that need no quoting, does not look like an option, and is never the same', () => {
    const secrets = Array.from({ length: 1_000 }, () => generateSecret());
    expect(secrets.filter((secret) => !/^\w[\w-]{42}$/.test(secret))).toEqual([]);
    expect(new Set(secrets).size).toBe(1_000);
  });

  it('is not hashed under a short key', () => {
    expect(() => hashSecret(Buffer.alloc(31), 'x')).toThrow('at least 32 bytes');
  });
});
