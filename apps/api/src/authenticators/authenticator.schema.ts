import { z } from 'zod';
import type { Authenticator } from '#store';
import { presentStamps, stamps } from '../fields.js';
import { calledUrl } from '../token-issuers/token-issuer.schema.js';

const url = calledUrl.describe('Asked by POST at each CONNECT of a credential of the kind external: https');
const timeoutMs = z
  .int()
  .min(100)
  .max(5_000)
  .describe('After so many milliseconds without an answer the client is told "server unavailable"');
const maxConcurrent = z.int().min(1).max(64).describe('Questions under way at once, by each broker process');
const enabled = z.boolean().describe('false asks nobody, lets nobody in by it and closes their connections');

export const newAuthenticator = z
  .strictObject({
    url,
    timeoutMs: timeoutMs.default(3_000),
    maxConcurrent: maxConcurrent.default(32),
    enabled: enabled.default(true),
  })
  .meta({ id: 'NewAuthenticator' });
export type NewAuthenticatorInput = z.output<typeof newAuthenticator>;

export const authenticatorPatch = z
  .strictObject({ url, timeoutMs, maxConcurrent, enabled })
  .partial()
  .meta({ id: 'AuthenticatorPatch' });
export type AuthenticatorPatchInput = z.output<typeof authenticatorPatch>;

export const authenticatorView = z
  .object({ url: z.string(), timeoutMs: z.int(), maxConcurrent: z.int(), enabled: z.boolean(), ...stamps })
  .meta({ id: 'Authenticator' });

export const issuedAuthenticatorView = authenticatorView
  .extend({ secret: z.string().describe('Shown this once: under it each question is signed') })
  .meta({ id: 'IssuedAuthenticator' });

export function presentAuthenticator(row: Authenticator): z.input<typeof authenticatorView> {
  const { url: called, timeoutMs: ms, maxConcurrent: most, enabled: isOn } = row;
  return { url: called, timeoutMs: ms, maxConcurrent: most, enabled: isOn, ...presentStamps(row) };
}
