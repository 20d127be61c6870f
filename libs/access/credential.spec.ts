import { describe, expect, it } from '@jest/globals';

import { assignClientId, clientIdRuleSchema, mayUseClientId } from './client-id.js';
import { generateSecret, hashSecret, verifySecret } from './secret.js';
import { validityAt } from './validity.js';

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

describe('a client-id rule', () => {
  it.each([
    [{ kind: 'device' as const }, 'pump-1', true],
    [{ kind: 'device' as const }, 'pump-2', false],
    [{ kind: 'exact' as const, value: 'a' }, 'a', true],
    [{ kind: 'exact' as const, value: 'a' }, 'ab', false],
    [{ kind: 'prefix' as const, value: 'a-' }, 'a-1', true],
    [{ kind: 'prefix' as const, value: 'a-' }, 'b-1', false],
    [{ kind: 'any' as const }, 'whatever', true],
  ])('%j lets %s through: %s', (rule, clientId, allowed) => {
    expect(mayUseClientId(rule, clientId, 'pump-1')).toBe(allowed);
    expect(mayUseClientId(rule, assignClientId(rule, 'pump-1', 'random'), 'pump-1')).toBe(true);
  });

  it('is refused where its value could not be a client identifier', () => {
    expect(clientIdRuleSchema.safeParse({ kind: 'exact', value: '' }).success).toBe(false);
    expect(clientIdRuleSchema.safeParse({ kind: 'prefix', value: 'a\0' }).success).toBe(false);
    expect(clientIdRuleSchema.safeParse({ kind: 'device', value: 'a' }).success).toBe(false);
  });
});

describe('the validity of a credential', () => {
  const always = { notBefore: undefined, notAfter: undefined, disabledAt: undefined };

  it.each([
    [always, 'valid'],
    [{ ...always, notBefore: 100 }, 'valid'],
    [{ ...always, notBefore: 101 }, 'not-yet-valid'],
    [{ ...always, notAfter: 101 }, 'valid'],
    [{ ...always, notAfter: 100 }, 'expired'],
    [{ ...always, disabledAt: 100 }, 'disabled'],
    [{ ...always, disabledAt: 101 }, 'valid'],
  ])('%j at 100 is %s', (validity, state) => {
    expect(validityAt(validity, 100)).toBe(state);
  });
});
