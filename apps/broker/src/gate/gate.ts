import { randomUUID } from 'node:crypto';

import { assignClientId, type ClientIdRule, isScramMethod, nobodysVerifier } from '#access';
import {
  type Exchange,
  type Grant,
  type Principal,
  Reasons,
  type Refusal,
  type Renewal,
  type SignIn,
  type TenantId,
} from '#mqtt';
import { Egress, type Logger } from '#process';
import { type Directory, type DirectoryEntry, StoreError } from '#store';

import { Authenticators } from './authenticators.js';
import { Certificates } from './certificates.js';
import { ChosenPasswords } from './chosen-passwords.js';
import { type Concern, Following } from './following.js';
import { Grants } from './grants.js';
import { tenantOfHost } from './hosts.js';
import { KeySets } from './key-sets.js';
import { KnownBans } from './known-bans.js';
import { KnownHolders } from './known-holders.js';
import { Passwords } from './password.js';
import { UnreadableRulesError } from './policies.js';
import { type Holder, type Proof, type Proofs, refuse, storeIsDown, tooManyFailures } from './proof.js';
import { Provisioning } from './provisioning.js';
import {
  claimExchange,
  claimMethod,
  renewalExchange,
  renewMethod,
  tenantOfToken,
} from './provisioning-exchange.js';
import type { JudgingGate } from './remembering-gate.js';
import { renewalOf, suspensionOf } from './renewal.js';
import { ScramExchange } from './scram-exchange.js';
import { Throttle } from './throttle.js';
import { Tokens } from './token.js';
import { TokenExchange, tokenMethod } from './token-exchange.js';
import { readUsername } from './username.js';

export interface StoreGateOptions {
  readonly directory: Directory;
  /** Under which generated secrets are hashed. */
  readonly secretKey: Buffer;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Logger;
  /** Whether what was read before counts; where nothing follows the changes, it does not. */
  readonly following?: Following;
  /** By which token issuers and authenticators are reached. */
  readonly egress?: Egress;
  /** Of the api, which makes devices and certificates; where it listens by default. */
  readonly apiUrl?: string | undefined;
  /** The last thing that was to be stored could not be: whoever is let in now adds to what waits. */
  readonly isStoreDown?: () => boolean;
  /** Told each outcome, for the metrics: `granted`, or the reason's name. */
  readonly outcome?: (name: string) => void;
}

const defaultApiUrl = 'http://127.0.0.1:3000';

/**
 * Sign-in against the store: by what proves `authId@tenant-slug` (a password, a token, the word of the tenant's authenticator),
 * by a certificate, or by both, which must be of one device.
 * A certificate that is shown is never overlooked: one that is worth nothing refuses the sign-in, whatever the password. What
 * cannot be decided is refused.
 *
 * Each means of proof has a file of its own; what the proofs entitle to is decided in `grants.ts`, for all of them alike.
 */
export class StoreGate implements JudgingGate {
  readonly #directory: Directory;
  readonly #secretKey: Buffer;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #isStoreDown: () => boolean;
  readonly #outcome: (name: string) => void;
  readonly #provisioning: Provisioning;
  readonly #certificates: Certificates;
  readonly #passwords: Passwords;
  readonly #tokens: Tokens;
  readonly #authenticators: Authenticators;
  readonly #following: Following;
  readonly #holders: KnownHolders;
  readonly #bans: KnownBans;
  readonly #grants: Grants;
  readonly #throttle = new Throttle();
  /** Reviews that ended without a judgement, because the store could not be asked. Only grows. */
  unansweredReviews = 0;
  /** Sign-ins whose credential did not have to be read. Only grows. */
  recognised = 0;

  constructor(options: StoreGateOptions) {
    const { directory, secretKey, now, log, egress = new Egress(), following = new Following(now) } = options;
    this.#directory = directory;
    this.#secretKey = secretKey;
    this.#now = now;
    this.#log = log;
    this.#isStoreDown = options.isStoreDown ?? (() => false);
    this.#outcome = options.outcome ?? (() => undefined);
    this.#provisioning = new Provisioning({ apiUrl: options.apiUrl ?? defaultApiUrl, secretKey, log });
    this.#certificates = new Certificates(directory, this.#provisioning, egress, now);
    this.#passwords = new Passwords(secretKey, new ChosenPasswords(secretKey, now));
    this.#tokens = new Tokens(directory, new KeySets(egress), now);
    this.#authenticators = new Authenticators(directory, egress, secretKey, now, log);
    this.#following = following;
    this.#holders = new KnownHolders(following);
    this.#bans = new KnownBans(directory, following);
    this.#grants = new Grants(directory, this.#bans, now, log);
  }

  async admit(request: SignIn): Promise<Grant | Refusal> {
    const result = await this.#answer(() => this.#signIn(request));
    if (result.kind === 'refused') this.#noteRefusal(request, result);
    else this.#outcome('granted');
    return result;
  }

  /** As `admit`, for a client that was given this grant before, shows the same proofs again, and whose rights have not changed since. */
  readmit({ username, remoteAddress }: SignIn, grant: Grant): Grant | undefined {
    if (this.#isStoreDown() || this.#throttle.isThrottled(username, remoteAddress)) return undefined;
    const { tenantId, credentialId, certificate } = grant.principal;
    this.#noteUse(tenantId, credentialId, remoteAddress);
    if (certificate !== undefined) this.#noteUse(tenantId, certificate.credentialId, remoteAddress);
    this.#outcome('granted');
    return grant;
  }

  forget(concern: Concern): void {
    this.#holders.forget(concern);
    this.#bans.forget(concern);
  }

  async review(principal: Principal): Promise<Grant | Refusal> {
    const result = await this.#answer(() => this.#reviewRights(principal));
    if (result.kind === 'refused' && result.reason === Reasons.serverUnavailable) this.unansweredReviews += 1;
    return result;
  }

  /** For everybody of a tenant that is suspended; undefined: it is not. Rejects where the store is down. */
  suspension(tenantId: TenantId): Promise<Renewal | undefined> {
    return suspensionOf(this.#directory, tenantId);
  }

  /** For everybody who has this policy, after a change of it; undefined: each of them has to be reviewed. Rejects where the store is down. */
  renewal(tenantId: TenantId, policyId: string): Promise<Renewal | undefined> {
    return renewalOf(this.#directory, tenantId, policyId);
  }

  exchange(method: string, request: SignIn): Exchange | undefined {
    const { remoteAddress } = request;
    if (method === tokenMethod) {
      const username = request.username ?? request.connectedAs;
      const exchange = new TokenExchange((token) => this.#admitToken(username, token, request));
      return { next: (data) => this.#step(exchange, () => username, remoteAddress, data) };
    }
    if (method === claimMethod || method === renewMethod) {
      const exchange = method === claimMethod ? this.#claim(request) : this.#renewal(request);
      return { next: (data) => this.#step(exchange, () => request.username, remoteAddress, data) };
    }
    if (!isScramMethod(method)) return undefined;
    const exchange = new ScramExchange(method, request, {
      isThrottled: (username) => this.#throttle.isThrottled(username, remoteAddress),
      find: async (username) => {
        const name = await this.#nameOf(username, request);
        return name && this.#directory.findByName(name.slug, name.authId);
      },
      nobody: (username) => nobodysVerifier(method, this.#secretKey, username),
      admit: (proof) => this.#admitWithCertificate(proof, request),
    });
    return { next: (data) => this.#step(exchange, () => exchange.username, remoteAddress, data) };
  }

  async #step(
    exchange: Exchange,
    username: () => string | undefined,
    address: string,
    data: Buffer | undefined,
  ): ReturnType<Exchange['next']> {
    const result = this.#isStoreDown() ? storeIsDown : await this.#answer(() => exchange.next(data));
    if ('grant' in result) this.#outcome('granted');
    else if (result.kind === 'refused') {
      this.#outcome(result.reason.name);
      this.#throttle.noteFailure(username(), address, result);
    }
    return result;
  }

  async #signIn(request: SignIn): Promise<Grant | Refusal> {
    const { username, remoteAddress } = request;
    if (this.#isStoreDown()) return storeIsDown;
    if (this.#throttle.isThrottled(username, remoteAddress)) return tooManyFailures;
    const recognised = await this.#recognise(request);
    if (recognised !== undefined) return recognised;
    const proofs = await this.#prove(request);
    const result = 'kind' in proofs ? proofs : await this.#admitHolder(proofs, request);
    if (result.kind === 'refused') this.#throttle.noteFailure(username, remoteAddress, result);
    return result;
  }

  /**
   * For a client with the password of a credential that was read before and has not changed since. Only a yes comes from memory: otherwise
   * the store is asked as for anybody, which takes as long.
   */
  async #recognise(request: SignIn): Promise<Grant | undefined> {
    const { username, password, peerCertificate } = request;
    const name = readUsername(username);
    if (peerCertificate !== undefined || name?.slug === undefined) return undefined;
    const proof = this.#passwords.recognise(this.#holders.find(name.slug, name.authId), password);
    const result = proof && (await this.#admitHolder([proof], request));
    if (result?.kind !== 'granted') return undefined;
    this.recognised += 1;
    return { ...result, isRemembered: true };
  }

  /** Who the client is, by all that it shows. */
  async #prove(request: SignIn): Promise<Proofs | Refusal> {
    const { username = '', password, peerCertificate } = request;
    const name = (await this.#nameOf(username, request)) ?? readUsername(username);
    // With a certificate the username may be left out, or be without the tenant.
    const isUnderstood =
      peerCertificate === undefined ? name?.slug !== undefined : name !== undefined || username === '';
    if (!isUnderstood) return refuse(Reasons.badUserNameOrPassword, 'the username is not authId@tenant');
    const shown = peerCertificate && (await this.#certificates.verify(peerCertificate, name?.slug, request));
    if (shown?.kind === 'refused') return shown;
    if (shown !== undefined && password === undefined) {
      const isOwn = name === undefined || name.authId === shown.holder.credential.authId;
      const detail = "the username is not that of the certificate's credential";
      return isOwn ? [shown] : refuse(Reasons.badUserNameOrPassword, detail, shown.entry);
    }
    const slug = name?.slug ?? shown?.entry.tenant.slug;
    if (name === undefined || slug === undefined) {
      return refuse(Reasons.badUserNameOrPassword, 'the username is not authId@tenant');
    }
    const { changes } = this.#following;
    const known = await this.#verify(await this.#directory.findByName(slug, name.authId), request);
    if (known.kind === 'refused') return known;
    if (known.holder.credential.kind === 'password') {
      const mark = this.#passwords.markOf(password);
      this.#holders.remember(slug, name.authId, { entry: known.entry, mark }, changes);
    }
    return shown === undefined ? [known] : [known, shown];
  }

  /** The credential says what the password is to be. */
  async #verify(entry: DirectoryEntry | undefined, request: SignIn): Promise<Proof | Refusal> {
    const holder = entry?.holder;
    if (entry !== undefined && holder?.credential.kind === 'token') {
      const judged = await this.#tokens.verify(entry, holder, request.password);
      const isWrong = judged.kind === 'refused' && judged.reason === Reasons.badUserNameOrPassword;
      if (isWrong) await this.#passwords.dawdle(entry.tenant.id);
      return judged;
    }
    if (entry !== undefined && holder?.credential.kind === 'external') {
      return this.#authenticators.verify(entry, holder, request);
    }
    return this.#passwords.verify(entry, request.password);
  }

  async #admitToken(username: string | undefined, token: Buffer, request: SignIn): Promise<Grant | Refusal> {
    if (this.#throttle.isThrottled(username, request.remoteAddress)) return tooManyFailures;
    const name = await this.#nameOf(username, request);
    const entry = name && (await this.#directory.findByName(name.slug, name.authId));
    const holder = entry?.holder;
    if (entry === undefined || holder?.credential.kind !== 'token') {
      return refuse(Reasons.badUserNameOrPassword, `${tokenMethod}: the username names no token`, entry);
    }
    const proof = await this.#tokens.verify(entry, holder, token);
    return proof.kind === 'refused' ? proof : this.#admitWithCertificate(proof, request);
  }

  /** For who has proven to be the device by other means than a certificate, and may have shown one. */
  async #admitWithCertificate(proof: Proof, request: SignIn): Promise<Grant | Refusal> {
    const { peerCertificate } = request;
    const shown =
      peerCertificate && (await this.#certificates.verify(peerCertificate, proof.entry.tenant.slug, request));
    if (shown?.kind === 'refused') return shown;
    return this.#admitHolder(shown === undefined ? [proof] : [proof, shown], request);
  }

  /** The username, with the tenant that it names, or else the one whose own host name the client asked for. Undefined: there is none. */
  async #nameOf(
    username: string | undefined,
    { serverName }: SignIn,
  ): Promise<{ authId: string; slug: string } | undefined> {
    const name = readUsername(username);
    if (name === undefined) return undefined;
    const slug = name.slug ?? (await tenantOfHost(this.#directory, serverName))?.slug;
    return slug === undefined ? undefined : { authId: name.authId, slug };
  }

  /** Nobody is signed in by it: a device that is new takes its certificate away, and comes back with it. */
  #claim({ username, remoteAddress: address }: SignIn): Exchange {
    return claimExchange(async (claim) => {
      if (this.#throttle.isThrottled(username, address)) return tooManyFailures;
      return this.#provisioning.request('claims', { ...claim, address }, tenantOfToken(claim.token));
    });
  }

  /** For who would be let in by its certificate now. */
  #renewal(request: SignIn): Exchange {
    const { peerCertificate, username, remoteAddress: address } = request;
    return renewalExchange(async (csr) => {
      if (this.#throttle.isThrottled(username, address)) return tooManyFailures;
      const slug = (await this.#nameOf(username, request))?.slug;
      const shown = peerCertificate && (await this.#certificates.verify(peerCertificate, slug, request));
      if (shown === undefined) return refuse(Reasons.notAuthorized, 'provisioning: no certificate was shown');
      if (shown.kind === 'refused') return shown;
      const grant = await this.#admitHolder([shown], request);
      if (grant.kind === 'refused') return grant;
      const { tenantId } = grant.principal;
      const credentialId = shown.holder.credential.id;
      return this.#provisioning.request('renewals', { tenantId, credentialId, csr, address }, tenantId);
    });
  }

  /** Only who has proven to be the device is told more about it. */
  async #admitHolder(
    proofs: Proofs,
    { clientId, transport, remoteAddress, serverName }: SignIn,
  ): Promise<Grant | Refusal> {
    const [{ entry, holder }] = proofs;
    const host = serverName === undefined ? undefined : await tenantOfHost(this.#directory, serverName);
    if (host !== undefined && host.tenantId !== entry.tenant.id) {
      return refuse(Reasons.badUserNameOrPassword, 'the host name is of another tenant', entry);
    }
    const choose = (rule: ClientIdRule): string =>
      clientId === '' ? assignClientId(rule, holder.device.name, randomUUID()) : clientId;
    const grant = await this.#grants.grant(proofs, choose, { transport, address: remoteAddress });
    if (grant.kind === 'granted') {
      for (const proof of proofs) this.#noteUse(entry.tenant.id, proof.holder.credential.id, remoteAddress);
    }
    return grant;
  }

  #noteUse(tenantId: string, credentialId: string, remoteAddress: string): void {
    this.#directory.noteUse(tenantId, credentialId, remoteAddress, this.#now());
  }

  async #reviewRights(principal: Principal): Promise<Grant | Refusal> {
    const { tenantId, credentialId, deviceId, clientId } = principal;
    const entry = await this.#directory.findByCredential(tenantId, credentialId);
    const gone = (what: string): Refusal => ({
      ...refuse(Reasons.notAuthorized, `${what} is gone`),
      tenantId,
    });
    if (entry === undefined) return gone('the tenant');
    const { holder } = entry;
    if (holder === undefined || holder.device.id !== deviceId) return gone('the credential');
    const lost = await this.#reviewVoucher(principal, entry, holder);
    if (lost !== undefined) return lost;
    const shown = await this.#certificates.review(principal);
    if (shown?.kind === 'refused') return shown;
    const { voucher } = principal;
    const proof: Proof = { kind: 'proof', entry, holder, voucher, until: voucher?.until };
    return this.#grants.grant(shown === undefined ? [proof] : [proof, shown], () => clientId, principal);
  }

  async #reviewVoucher(
    principal: Principal,
    entry: DirectoryEntry,
    holder: Holder,
  ): Promise<Refusal | undefined> {
    if (holder.credential.kind === 'token') return this.#tokens.review(principal, entry, holder);
    return holder.credential.kind === 'external' ? this.#authenticators.review(entry) : undefined;
  }

  /** What a tenant sees as a denial; here, also what belongs to no tenant. At debug: strangers must not fill the log. */
  #noteRefusal({ username, clientId, remoteAddress }: SignIn, { reason, detail, tenantId }: Refusal): void {
    this.#outcome(reason.name);
    if (!this.#log.isDebug) return;
    const who = { tenant: tenantId, client: clientId, username, address: remoteAddress };
    this.#log.debug('sign-in.refused', { ...who, reason: reason.name, detail });
  }

  /** The port's promise: an answer, never a rejection. Whatever failed on our side is no judgement on the client. */
  async #answer<Answer>(work: () => Promise<Answer | Refusal>): Promise<Answer | Refusal> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StoreError) {
        this.#log.warn('gate.store-unavailable', { err: error });
        return refuse(Reasons.serverUnavailable, 'the store cannot be asked now');
      }
      this.#log.error('gate.failed', { err: error });
      const detail = error instanceof UnreadableRulesError ? error.message : 'an error of the server';
      return refuse(Reasons.unspecified, detail);
    }
  }
}
