/**
 * Tokens: JWTs, signed by a key of the device itself or by an issuer that its tenant trusts. Which algorithms are taken follows
 * from the key and never from the token, and symmetric ones are not among them: there is nothing to confuse.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
} from 'jose';
import { z } from 'zod';

export const tokenAlgorithms = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const;
export type TokenAlgorithm = (typeof tokenAlgorithms)[number];

/** Longer ones are not looked at: what a token has to say here fits into a tenth. */
export const maxTokenBytes = 8_192;
const maxKeys = 100;
const minRsaBits = 2_048;
const maxRsaBits = 8_192;

/** Why a token is worth nothing. Stable: tenants see it in their denials, and never the token. */
export type TokenFault =
  | 'too-large'
  | 'malformed'
  | 'algorithm-not-allowed'
  | 'unknown-key'
  | 'wrong-signature'
  | 'no-expiry'
  | 'expired'
  | 'not-yet-valid'
  | 'lives-too-long'
  | 'unknown-issuer'
  | 'wrong-audience'
  | 'wrong-subject';

export interface TokenRules {
  readonly issuer?: string;
  /** One of them is in the claim `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly leewayS: number;
  /** From now, and from `iat` where the token has it, to `exp`. */
  readonly maxLifetimeS: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface TokenClaims {
  readonly claims: Readonly<Record<string, unknown>>;
  /** When it is over even for a clock that is late, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Where a token carries who it is for. */
export const tokenIdentitySchema = z.strictObject({
  claim: z.string().min(1).max(100),
  names: z.enum(['device', 'authId']),
});
export type TokenIdentity = z.output<typeof tokenIdentitySchema>;

// ------------------------------------------------------------------------------------------------------------- keys

/** Why a public key is not taken. Stable. */
export type PublicKeyFault = 'malformed' | 'private-key' | 'unknown-kind' | 'weak-key';

/** As JWK, its public members alone; from PEM or from JWK. */
export function readPublicKey(
  input: string | Readonly<Record<string, unknown>>,
): JsonWebKey | PublicKeyFault {
  if (typeof input === 'string' ? input.includes('PRIVATE KEY') : 'd' in input || 'k' in input)
    return 'private-key';
  const key = keyOf(input);
  if (key === undefined) return 'malformed';
  return faultOfKey(key) ?? key.export({ format: 'jwk' });
}

/** RFC 7638: the same for the same key, however it was written. */
export function thumbprintOf(jwk: JsonWebKey): Promise<string> {
  return calculateJwkThumbprint(jwk);
}

function keyOf(input: string | Readonly<Record<string, unknown>>): KeyObject | undefined {
  try {
    return typeof input === 'string'
      ? createPublicKey({ key: input, format: 'pem' })
      : createPublicKey({ key: input, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function faultOfKey(key: KeyObject): PublicKeyFault | undefined {
  if (key.asymmetricKeyType === 'rsa') {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    return modulusLength < minRsaBits || modulusLength > maxRsaBits || publicExponent < 65_537n
      ? 'weak-key'
      : undefined;
  }
  return algorithmsOf(key).length === 0 ? 'unknown-kind' : undefined;
}

function algorithmsOf(key: KeyObject): readonly TokenAlgorithm[] {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key;
  if (kind === 'ed25519') return ['EdDSA'];
  if (kind === 'rsa') return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
  return kind === 'ec' ? (algorithmOfCurve[details?.namedCurve ?? ''] ?? []) : [];
}

const algorithmOfCurve: Readonly<Record<string, readonly TokenAlgorithm[]>> = {
  prime256v1: ['ES256'],
  secp384r1: ['ES384'],
  secp521r1: ['ES512'],
};

/** Keys of an issuer. Those that are for something else, unknown, weak or symmetric are left out. */
export type KeySet = ReturnType<typeof createLocalJWKSet>;

const keySetSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(maxKeys) });

/** Undefined: it is no key set, or there is no key in it that could be used. */
export function readKeySet(
  input: unknown,
): { readonly keys: KeySet; readonly jwks: JSONWebKeySet } | undefined {
  const parsed = keySetSchema.safeParse(input);
  if (!parsed.success) return undefined;
  const keys = parsed.data.keys.flatMap((member) => {
    const { use, kid, alg } = member;
    const key = use === 'enc' ? 'unknown-kind' : readPublicKey(member);
    if (typeof key === 'string') return [];
    const { kty = '' } = key;
    return [
      {
        ...key,
        kty,
        ...(typeof kid === 'string' ? { kid } : {}),
        ...(typeof alg === 'string' ? { alg } : {}),
      },
    ];
  });
  return keys.length === 0 ? undefined : { keys: createLocalJWKSet({ keys }), jwks: { keys } };
}

// ----------------------------------------------------------------------------------------------------------- tokens

/** The claim `iss` of a token whose signature nobody has looked at yet: it says whose keys to try. */
export function issuerOf(token: string): { readonly issuer: string } | TokenFault {
  if (token.length > maxTokenBytes) return 'too-large';
  try {
    const { iss } = decodeJwt(token);
    return typeof iss === 'string' ? { issuer: iss } : 'unknown-issuer';
  } catch {
    return 'malformed';
  }
}

/** Signed by this very key. */
export async function verifyByKey(
  token: string,
  jwk: JsonWebKey,
  rules: Omit<TokenRules, 'algorithms' | 'issuer'>,
): Promise<TokenClaims | TokenFault> {
  const key = keyOf({ ...jwk });
  if (key === undefined || faultOfKey(key) !== undefined) return 'unknown-key';
  return check(token, rules, (options) =>
    jwtVerify(token, key, { ...options, algorithms: [...algorithmsOf(key)] }),
  );
}

/** Signed by one of these keys. */
export async function verifyByKeySet(
  token: string,
  keys: KeySet,
  rules: TokenRules,
): Promise<TokenClaims | TokenFault> {
  const { issuer, algorithms } = rules;
  const more = { algorithms: [...algorithms], ...(issuer === undefined ? {} : { issuer }) };
  return check(token, rules, (options) => jwtVerify(token, keys, { ...options, ...more }));
}

async function check(
  token: string,
  { audiences, leewayS, maxLifetimeS, now }: Omit<TokenRules, 'algorithms' | 'issuer'>,
  verify: (options: JWTVerifyOptions) => Promise<{ payload: JWTPayload }>,
): Promise<TokenClaims | TokenFault> {
  if (token.length > maxTokenBytes) return 'too-large';
  let claims: JWTPayload;
  try {
    ({ payload: claims } = await verify({
      audience: [...audiences],
      requiredClaims: ['exp'],
      clockTolerance: leewayS,
      currentDate: new Date(now),
    }));
  } catch (error) {
    return faultOf(error);
  }
  const { exp = 0, iat } = claims;
  const nowS = now / 1_000;
  if (iat !== undefined && iat > nowS + leewayS) return 'not-yet-valid';
  if (exp - Math.min(iat ?? nowS, nowS) > maxLifetimeS + leewayS) return 'lives-too-long';
  return { claims, expiresAt: (exp + leewayS) * 1_000 };
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'wrong-signature';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm-not-allowed';
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return 'unknown-key';
  if (error instanceof errors.JWTClaimValidationFailed) return faultOfClaim(error);
  if (error instanceof errors.JOSEError) return 'malformed';
  throw error;
}

function faultOfClaim({ claim, reason }: errors.JWTClaimValidationFailed): TokenFault {
  switch (claim) {
    case 'exp':
      return reason === 'missing' ? 'no-expiry' : 'malformed';
    case 'nbf':
      return reason === 'invalid' ? 'malformed' : 'not-yet-valid';
    case 'iss':
      return 'unknown-issuer';
    case 'aud':
      return 'wrong-audience';
    default:
      return 'malformed';
  }
}
