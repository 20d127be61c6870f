import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, SignJWT, UnsecuredJWT } from 'jose';

import {
  issuerOf,
  readKeySet,
  readPublicKey,
  thumbprintOf,
  type TokenRules,
  verifyByKey,
  verifyByKeySet,
} from './token.js';

const nowS = 1_800_000_000;
const rules: TokenRules = {
  issuer: 'https://id.example',
  audiences: ['acme', 'moorage'],
  algorithms: ['ES256', 'RS256', 'EdDSA'],
  leewayS: 60,
  maxLifetimeS: 3_600,
  now: nowS * 1_000,
};

const pairs = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
  EdDSA: generateKeyPairSync('ed25519'),
};
type Algorithm = keyof typeof pairs;
const claims = { iss: 'https://id.example', aud: 'acme', sub: 'pump', exp: nowS + 600 };

function sign(
  payload: object,
  alg = 'ES256',
  key: KeyObject | Uint8Array = pairs.ES256.privateKey,
  kid = 'a',
) {
  return new SignJWT({ ...payload }).setProtectedHeader({ alg, kid }).sign(key);
}

let jwks: { keys: object[] };
beforeAll(async () => {
  const keys = await Promise.all(
    Object.values(pairs).map(async ({ publicKey }, i) => ({
      ...(await exportJWK(publicKey)),
      kid: 'abc'[i],
    })),
  );
  jwks = { keys };
});

const keySet = () => readKeySet(jwks)!.keys;

describe('a token of an issuer', () => {
  it.each(Object.keys(pairs) as Algorithm[])(
    'signed by %s is taken with its claims, and with the time it ends',
    async (alg) => {
      const kid = { ES256: 'a', RS256: 'b', EdDSA: 'c' }[alg];
      const token = await sign(claims, alg, pairs[alg].privateKey, kid);
      expect(await verifyByKeySet(token, keySet(), rules)).toEqual({
        claims,
        expiresAt: (nowS + 660) * 1_000,
      });
    },
  );

  it.each<[string, string, object]>([
    ['of another issuer', 'unknown-issuer', { iss: 'https://other.example' }],
    ['without an issuer', 'unknown-issuer', { iss: undefined }],
    ['for another audience', 'wrong-audience', { aud: ['other'] }],
    ['without an audience', 'wrong-audience', { aud: undefined }],
    ['without an end', 'no-expiry', { exp: undefined }],
    ['whose end is no number', 'malformed', { exp: 'soon' }],
    ['that has ended, by more than clocks differ', 'expired', { exp: nowS - 61 }],
    ['that is not valid yet', 'not-yet-valid', { nbf: nowS + 61 }],
    ['from the future', 'not-yet-valid', { iat: nowS + 61 }],
    ['that lives too long from now', 'lives-too-long', { exp: nowS + 3_661 }],
    ['that was made to live too long', 'lives-too-long', { iat: nowS - 3_600, exp: nowS + 100 }],
  ])('%s is refused: %s', async (_, fault, changed) => {
    expect(await verifyByKeySet(await sign({ ...claims, ...changed }), keySet(), rules)).toBe(fault);
  });

  it('is taken within the leeway of clocks', async () => {
    const token = await sign({ ...claims, exp: nowS - 59, nbf: nowS + 59 });
    expect(await verifyByKeySet(token, keySet(), rules)).toMatchObject({ expiresAt: (nowS + 1) * 1_000 });
  });

  it('without a signature, or with one of a kind that is not allowed, is refused', async () => {
    const none = new UnsecuredJWT({ ...claims }).encode();
    expect(await verifyByKeySet(none, keySet(), rules)).toBe('algorithm-not-allowed');
    const token = await sign(claims, 'ES256');
    expect(await verifyByKeySet(token, keySet(), { ...rules, algorithms: ['RS256'] })).toBe(
      'algorithm-not-allowed',
    );
  });

  it('that takes a public key for a shared secret is refused', async () => {
    const pem = pairs.RS256.publicKey.export({ type: 'spki', format: 'pem' });
    const confused = await sign(claims, 'HS256', Buffer.from(pem), 'b');
    expect(await verifyByKeySet(confused, keySet(), rules)).toBe('algorithm-not-allowed');
    const jwk = readPublicKey(pem.toString());
    if (typeof jwk === 'string') throw new Error(jwk);
    expect(await verifyByKey(confused, jwk, rules)).toBe('algorithm-not-allowed');
  });

  it('by a key that is unknown, or of another key than it says, is refused', async () => {
    expect(
      await verifyByKeySet(await sign(claims, 'ES256', pairs.ES256.privateKey, 'z'), keySet(), rules),
    ).toBe('unknown-key');
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(await verifyByKeySet(await sign(claims, 'ES256', stranger.privateKey), keySet(), rules)).toBe(
      'wrong-signature',
    );
  });

  it('that is no token, or longer than any, is refused', async () => {
    for (const [text, fault] of [
      ['', 'malformed'],
      ['a.b', 'malformed'],
      ['a.b.c', 'malformed'],
      ['x'.repeat(9_000), 'too-large'],
    ] as const) {
      expect([text.slice(0, 5), await verifyByKeySet(text, keySet(), rules)]).toEqual([
        text.slice(0, 5),
        fault,
      ]);
      expect(issuerOf(text)).toBe(fault);
    }
    expect(issuerOf(await sign(claims))).toEqual({ issuer: 'https://id.example' });
    expect(issuerOf(await sign({}))).toBe('unknown-issuer');
  });

  it('changed by one letter is refused', async () => {
    const [head = '', , tail = ''] = (await sign(claims)).split('.');
    const other = Buffer.from(JSON.stringify({ ...claims, sub: 'other' })).toString('base64url');
    expect(await verifyByKeySet([head, other, tail].join('.'), keySet(), rules)).toBe('wrong-signature');
  });
});

describe('a token of a device', () => {
  it('is signed by its key, and by no other', async () => {
    const jwk = readPublicKey(pairs.EdDSA.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    if (typeof jwk === 'string') throw new Error(jwk);
    const { iss: _, ...own } = claims;
    const token = await sign(own, 'EdDSA', pairs.EdDSA.privateKey);
    expect(await verifyByKey(token, jwk, rules)).toMatchObject({ claims: { sub: 'pump' } });
    const other = generateKeyPairSync('ed25519').privateKey;
    expect(await verifyByKey(await sign(own, 'EdDSA', other), jwk, rules)).toBe('wrong-signature');
    expect(await verifyByKey(await sign(own, 'ES256'), jwk, rules)).toBe('algorithm-not-allowed');
  });
});

describe('a public key', () => {
  it('is the same from PEM and from JWK, and has one thumbprint', async () => {
    for (const { publicKey } of Object.values(pairs)) {
      const fromPem = readPublicKey(publicKey.export({ type: 'spki', format: 'pem' }).toString());
      const fromJwk = readPublicKey({ ...publicKey.export({ format: 'jwk' }), kid: 'mine', use: 'sig' });
      expect(fromPem).toEqual(fromJwk);
      if (typeof fromPem === 'string') throw new Error(fromPem);
      expect(await thumbprintOf(fromPem)).toMatch(/^[\w-]{43}$/);
    }
  });

  it.each<[string, () => string | Record<string, unknown>, string]>([
    [
      'a private one',
      () => pairs.ES256.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'private-key',
    ],
    ['a private one as JWK', () => ({ ...pairs.ES256.privateKey.export({ format: 'jwk' }) }), 'private-key'],
    ['a shared secret', () => ({ kty: 'oct', k: 'c2VjcmV0' }), 'private-key'],
    ['RSA of 1024 bits', () => pem('rsa', { modulusLength: 1_024 }), 'weak-key'],
    ['RSA with the exponent 3', () => pem('rsa', { modulusLength: 2_048, publicExponent: 3 }), 'weak-key'],
    ['secp256k1', () => pem('ec', { namedCurve: 'secp256k1' }), 'unknown-kind'],
    ['X25519', () => pem('x25519', {}), 'unknown-kind'],
    ['no key', () => 'hello', 'malformed'],
    ['half a key', () => ({ kty: 'EC', crv: 'P-256', x: 'AA' }), 'malformed'],
  ])('that is %s is refused', (_, make, fault) => {
    expect(readPublicKey(make())).toBe(fault);
  });
});

describe('a key set', () => {
  it('leaves out what cannot verify a token, and is none where nothing is left', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' });
    const others = [weak, { kty: 'oct', k: 'c2VjcmV0' }, { ...jwks.keys[1], use: 'enc' }, { kty: 'AKP' }];
    expect(readKeySet({ keys: [...others, jwks.keys[0]] })?.jwks.keys).toHaveLength(1);
    for (const none of [
      { keys: others },
      { keys: [] },
      {},
      [],
      'x',
      { keys: Array(101).fill(jwks.keys[0]) },
    ]) {
      expect(readKeySet(none)).toBeUndefined();
    }
  });
});

function pem(kind: 'rsa' | 'ec' | 'x25519', options: object): string {
  const { publicKey } = generateKeyPairSync(kind as 'rsa', options as { modulusLength: number });
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}
