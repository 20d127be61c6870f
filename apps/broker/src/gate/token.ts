import type { JsonWebKey } from 'node:crypto';

import {
  issuerOf,
  maxTokenBytes,
  thumbprintOf,
  type TokenClaims,
  type TokenFault,
  tokenIdentitySchema,
  verifyByKey,
  verifyByKeySet,
} from '#access';
import { type Principal, type Reason, Reasons, type Refusal } from '#mqtt';
import type { Directory, DirectoryEntry, DirectoryTokenIssuer } from '#store';

import { KeysUnavailableError, type KeySets } from './key-sets.js';
import { type Holder, type Proof, refuse } from './proof.js';

/** Why a token is worth nothing here, when it is not the token itself. */
type Fault = TokenFault | 'keys-unavailable' | 'issuer-gone' | 'key-gone';

/** Of tokens that devices sign themselves; those of issuers have the issuer's. */
const ownLeewayS = 60;
const ownMaxLifetimeS = 86_400;

/**
 * Tokens in the password's place. The username names the credential, and the token must be of it: by the key that is
 * registered there, or by an issuer that the tenant trusts and in a claim that names the device or the credential.
 */
export class Tokens {
  readonly #directory: Directory;
  readonly #keySets: KeySets;
  readonly #now: () => number;

  constructor(directory: Directory, keySets: KeySets, now: () => number) {
    this.#directory = directory;
    this.#keySets = keySets;
    this.#now = now;
  }

  async verify(
    entry: DirectoryEntry,
    holder: Holder,
    password: Buffer | undefined,
  ): Promise<Proof | Refusal> {
    if (password === undefined || password.length === 0) return no('malformed', entry);
    if (password.length > maxTokenBytes) return no('too-large', entry);
    const token = password.toString('latin1');
    const { publicKey } = holder.credential;
    return publicKey === null
      ? this.#byIssuer(entry, holder, token)
      : this.#byKey(entry, holder, token, publicKey as JsonWebKey);
  }

  /** For somebody who is in: whether what the token rested on is still there. That it ends is in the grant. */
  async review(
    { tenantId, voucher }: Principal,
    entry: DirectoryEntry,
    holder: Holder,
  ): Promise<Refusal | undefined> {
    const { publicKey, issuerId } = holder.credential;
    if (voucher?.kind === 'key') {
      const isSame =
        publicKey !== null && (await thumbprintOf(publicKey as JsonWebKey)) === voucher.thumbprint;
      return isSame ? undefined : no('key-gone', entry);
    }
    if (voucher?.kind !== 'issuer') return undefined;
    const issuer = await this.#directory.findTokenIssuer(tenantId, voucher.issuer);
    const stands = publicKey === null && isTrusted(issuer, issuerId) && issuer.id === voucher.issuerId;
    return stands ? undefined : no('issuer-gone', entry);
  }

  async #byKey(
    entry: DirectoryEntry,
    holder: Holder,
    token: string,
    publicKey: JsonWebKey,
  ): Promise<Proof | Refusal> {
    const { slug } = entry.tenant;
    const { authId } = holder.credential;
    const rules = { audiences: [slug], leewayS: ownLeewayS, maxLifetimeS: ownMaxLifetimeS, now: this.#now() };
    const verified = await verifyByKey(token, publicKey, rules);
    if (typeof verified === 'string') return no(verified, entry);
    const { sub } = verified.claims;
    if (sub !== undefined && sub !== authId) return no('wrong-subject', entry);
    const until = verified.expiresAt;
    return {
      kind: 'proof',
      entry,
      holder,
      until,
      voucher: { kind: 'key', thumbprint: await thumbprintOf(publicKey), until },
    };
  }

  async #byIssuer(entry: DirectoryEntry, holder: Holder, token: string): Promise<Proof | Refusal> {
    const named = issuerOf(token);
    if (typeof named === 'string') return no(named, entry);
    const issuer = await this.#directory.findTokenIssuer(entry.tenant.id, named.issuer);
    if (!isTrusted(issuer, holder.credential.issuerId)) return no('unknown-issuer', entry);
    const verified = await this.#judge(issuer, token, entry);
    if ('kind' in verified) return verified;
    const identity = tokenIdentitySchema.safeParse(issuer.identity);
    const value = identity.success ? verified.claims[identity.data.claim] : undefined;
    const own = identity.data?.names === 'device' ? holder.device.name : holder.credential.authId;
    if (value !== own) return no('wrong-subject', entry);
    const until = verified.expiresAt;
    const voucher = { kind: 'issuer', issuerId: issuer.id, issuer: issuer.issuer, until } as const;
    return { kind: 'proof', entry, holder, until, voucher };
  }

  async #judge(
    issuer: DirectoryTokenIssuer,
    token: string,
    entry: DirectoryEntry,
  ): Promise<TokenClaims | Refusal> {
    const rules = {
      issuer: issuer.issuer,
      audiences: issuer.audiences,
      algorithms: issuer.algorithms,
      leewayS: issuer.leewayS,
      maxLifetimeS: issuer.maxLifetimeS,
      now: this.#now(),
    };
    try {
      const keys = await this.#keySets.of(issuer, entry.tenant.id);
      let verified = await verifyByKeySet(token, keys, rules);
      const newer =
        verified === 'unknown-key' ? await this.#keySets.newer(issuer, entry.tenant.id, keys) : undefined;
      if (newer !== undefined) verified = await verifyByKeySet(token, newer, rules);
      return typeof verified === 'string' ? no(verified, entry) : verified;
    } catch (error) {
      if (!(error instanceof KeysUnavailableError)) throw error;
      return refuse(Reasons.serverUnavailable, `token: keys-unavailable: ${error.message}`, entry);
    }
  }
}

function isTrusted(
  issuer: DirectoryTokenIssuer | undefined,
  demanded: string | null,
): issuer is DirectoryTokenIssuer {
  return issuer !== undefined && !issuer.isDisabled && (demanded === null || demanded === issuer.id);
}

/** What was right once and is over is another thing than what never was. */
const over: ReadonlySet<Fault> = new Set(['expired', 'not-yet-valid', 'issuer-gone', 'key-gone']);

function no(fault: Fault, entry: DirectoryEntry): Refusal {
  const reason: Reason = over.has(fault) ? Reasons.notAuthorized : Reasons.badUserNameOrPassword;
  return refuse(reason, `token: ${fault}`, entry);
}
