import { z } from 'zod';
import { tokenAlgorithms, tokenIdentitySchema, type TokenIdentity } from '#access';
import { egressUrlFault } from '#process';
import type { TokenIssuer } from '#store';
import { displayName, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

/** Where the platform is to call: https, without credentials. Whether it leads anywhere it may is seen when it is called. */
export const calledUrl = z
  .string()
  .max(2_048)
  .superRefine((text, context) => {
    const fault = egressUrlFault(text);
    if (fault !== undefined)
      context.addIssue({ code: 'custom', message: `It is ${fault}.`, params: { code: 'not-callable' } });
  });

const issuer = z.string().trim().min(1).max(500).describe('The claim iss, letter by letter');
const audiences = z
  .array(z.string().min(1).max(500))
  .min(1)
  .max(10)
  .describe('One of them has to be in the claim aud');
const algorithms = z.array(z.enum(tokenAlgorithms)).min(1).max(tokenAlgorithms.length);
const jwksUri = calledUrl.describe('Where its keys are: https; fetched when needed and kept for ten minutes');
const jwks = z
  .object({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(100) })
  .describe('Its keys themselves, a JWK Set, instead of jwksUri');
const identity = tokenIdentitySchema.describe(
  'The claim that has to be the name of the device, or the authId of the credential, that the username names',
);
const leewayS = z.int().min(0).max(300).describe('By how much clocks may differ, in seconds');
const maxLifetimeS = z
  .int()
  .min(60)
  .max(31_536_000)
  .describe('Tokens that live longer are refused, in seconds');

export const newTokenIssuer = z
  .strictObject({
    name: displayName,
    issuer,
    audiences,
    algorithms: algorithms.default(['ES256', 'RS256', 'EdDSA']),
    jwksUri: jwksUri.nullish(),
    jwks: jwks.nullish(),
    identity: identity.default({ claim: 'sub', names: 'authId' }),
    leewayS: leewayS.default(60),
    maxLifetimeS: maxLifetimeS.default(86_400),
  })
  .meta({ id: 'NewTokenIssuer' });
export type NewTokenIssuerInput = z.output<typeof newTokenIssuer>;

export const tokenIssuerPatch = z
  .strictObject({
    name: displayName,
    audiences,
    algorithms,
    jwksUri: jwksUri.nullable(),
    jwks: jwks.nullable(),
    identity,
    leewayS,
    maxLifetimeS,
    disabled: z.boolean().describe('true trusts none of its tokens any more and closes their connections'),
  })
  .partial()
  .meta({ id: 'TokenIssuerPatch' });
export type TokenIssuerPatchInput = z.output<typeof tokenIssuerPatch>;

export const tokenIssuerQuery = z.strictObject(pageQuery);
export const tokenIssuerPath = z.uuid();

export const tokenIssuerView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    issuer: z.string(),
    audiences: z.array(z.string()),
    algorithms: z.array(z.string()),
    jwksUri: z.string().nullable(),
    jwks: z.record(z.string(), z.unknown()).nullable(),
    identity: tokenIdentitySchema,
    leewayS: z.int(),
    maxLifetimeS: z.int(),
    disabledAt: z.iso.datetime().nullable(),
    ...stamps,
  })
  .meta({ id: 'TokenIssuer' });

export function presentTokenIssuer(row: TokenIssuer): z.input<typeof tokenIssuerView> {
  const { id, name, issuer, audiences, algorithms, jwksUri, leewayS, maxLifetimeS } = row;
  return {
    id,
    name,
    issuer,
    audiences,
    algorithms,
    jwksUri,
    jwks: row.jwks as Record<string, unknown> | null,
    identity: row.identity as TokenIdentity,
    leewayS,
    maxLifetimeS,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    ...presentStamps(row),
  };
}
