import { randomUUID } from 'node:crypto';

import {
  assignClientId,
  type ClientIdRule,
  clientIdRuleSchema,
  generateSecret,
  hashSecret,
  isExpandable,
  isScramMethod,
  mayUseClientId,
  nobodysVerifier,
  validityAt,
  type Variables,
  verifySecret,
} from '#access';
import {
  type ClientId,
  type Exchange,
  type Gate,
  type Grant,
  type PeerCertificate,
  type Principal,
  type Reason,
  Reasons,
  type Refusal,
  type SignIn,
  type TenantId,
} from '#mqtt';
import type { Logger } from '#process';
import { type Directory, type DirectoryDocument, type DirectoryEntry, StoreError } from '#store';

import { Certificates, type Holder, type Shown } from './certificates.js';
import { limitsWith } from './limits.js';
import { isLoopback } from './listeners/admission.js';
import { Policies, UnreadableRulesError } from './policies.js';
import { ScramExchange } from './scram-exchange.js';
import { type Rate, TokenBuckets } from './token-buckets.js';

/** Failed sign-ins. A site with many wrong devices must not lock out its right ones at once; a guesser gets nowhere near 256 bits. */
const failuresFromAddress: Rate = { perSecond: 100, burst: 1_000 };

/** By one username from one address: a device that retries for ever. The address counts, so that nobody locks out another's device. */
const failuresOfUser: Rate = { perSecond: 0.5, burst: 30 };

/** How often an entry is read again because a policy was deleted while it was read. */
const maxAttempts = 3;

export interface StoreGateOptions {
  readonly directory: Directory;
  /** Under which generated secrets are hashed. */
  readonly secretKey: Buffer;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Logger;
  /** The last thing that was to be stored could not be: whoever is let in now adds to what waits. */
  readonly isStoreDown?: () => boolean;
  /** Told each outcome, for the metrics: `granted`, or the reason's name. */
  readonly outcome?: (name: string) => void;
}

/**
 * Sign-in against the store: by a password of `authId@tenant-slug`, by a certificate, or by both, which must be of one device.
 * A certificate that is shown is never overlooked: one that is worth nothing refuses the sign-in, whatever the password. What
 * cannot be decided is refused.
 */
export class StoreGate implements Gate {
  readonly #directory: Directory;
  readonly #secretKey: Buffer;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #isStoreDown: () => boolean;
  readonly #outcome: (name: string) => void;
  readonly #certificates: Certificates;
  readonly #policies = new Policies();
  readonly #failures = new TokenBuckets();
  /** What an unknown user's password is compared with: as long as a known one's takes. */
  readonly #nobodysHash: Buffer;
  /** Reviews that ended without a judgement, because the store could not be asked. Only grows. */
  unansweredReviews = 0;

  constructor(options: StoreGateOptions) {
    this.#directory = options.directory;
    this.#certificates = new Certificates(options.directory, options.now);
    this.#secretKey = options.secretKey;
    this.#now = options.now;
    this.#log = options.log;
    this.#isStoreDown = options.isStoreDown ?? (() => false);
    this.#outcome = options.outcome ?? (() => undefined);
    this.#nobodysHash = hashSecret(options.secretKey, generateSecret());
  }

  async admit(request: SignIn): Promise<Grant | Refusal> {
    const result = await this.#answer(() => this.#signIn(request));
    if (result.kind === 'refused') this.#noteRefusal(request, result);
    else this.#outcome('granted');
    return result;
  }

  async review(principal: Principal): Promise<Grant | Refusal> {
    const result = await this.#answer(() => this.#reviewRights(principal));
    if (result.kind === 'refused' && result.reason === Reasons.serverUnavailable) this.unansweredReviews += 1;
    return result;
  }

  exchange(method: string, request: SignIn): Exchange | undefined {
    if (!isScramMethod(method)) return undefined;
    const { remoteAddress } = request;
    const exchange = new ScramExchange(method, request, {
      isThrottled: (username) => this.#isThrottled(username, remoteAddress),
      find: (username) => this.#find(parseUsername(username)),
      nobody: (username) => nobodysVerifier(method, this.#secretKey, username),
      admit: (entry, holder, username) => this.#admitWithCertificate(entry, holder, username, request),
    });
    return { next: (data) => this.#step(exchange, remoteAddress, data) };
  }

  async #step(
    exchange: ScramExchange,
    address: string,
    data: Buffer | undefined,
  ): ReturnType<Exchange['next']> {
    const result = this.#isStoreDown() ? storeIsDown : await this.#answer(() => exchange.next(data));
    if ('grant' in result) this.#outcome('granted');
    else if (result.kind === 'refused') {
      this.#outcome(result.reason.name);
      if (countsAsFailure(result)) this.#noteFailure(exchange.username, address);
    }
    return result;
  }

  async #signIn(request: SignIn): Promise<Grant | Refusal> {
    const { username, remoteAddress } = request;
    if (this.#isStoreDown()) return storeIsDown;
    if (this.#isThrottled(username, remoteAddress)) {
      return refuse(Reasons.connectionRateExceeded, 'too many failed sign-ins');
    }
    const { peerCertificate } = request;
    const result =
      peerCertificate === undefined
        ? await this.#verify(request, parseUsername(username), undefined)
        : await this.#verifyCertificate(request, peerCertificate);
    if (result.kind === 'refused' && countsAsFailure(result)) this.#noteFailure(username, remoteAddress);
    return result;
  }

  async #verifyCertificate(request: SignIn, peer: PeerCertificate): Promise<Grant | Refusal> {
    const { username = '', password } = request;
    const name = username === '' ? undefined : parseUsername(username);
    // The certificate names the tenant where the username does not.
    const isBare = name === undefined && isAuthId(username);
    if (username !== '' && name === undefined && !isBare) {
      return refuse(Reasons.badUserNameOrPassword, 'the username is not authId@tenant');
    }
    const shown = await this.#certificates.verify(peer, name?.slug);
    if (shown.kind === 'refused') return shown;
    const { entry, holder } = shown;
    const authId = isBare ? username : name?.authId;
    const { slug } = entry.tenant;
    if (password !== undefined) return this.#verify(request, authId && { authId, slug }, shown);
    const own = holder.credential.authId;
    if (authId !== undefined && authId !== own) {
      const detail = "the username is not that of the certificate's credential";
      return refuse(Reasons.badUserNameOrPassword, detail, entry.tenant.id as TenantId, holder.device.id);
    }
    return this.#admitHolder(entry, holder, `${own}@${slug}`, request, shown);
  }

  async #verify(
    request: SignIn,
    name: { authId: string; slug: string } | '' | undefined,
    shown: Shown | undefined,
  ): Promise<Grant | Refusal> {
    const entry = await this.#find(name || undefined);
    const holder = entry?.holder;
    const hash = holder?.credential.secretHash ?? this.#nobodysHash;
    const proven = verifySecret(this.#secretKey, request.password ?? '', hash);
    if (!name) return refuse(Reasons.badUserNameOrPassword, 'the username is not authId@tenant');
    if (entry === undefined) return refuse(Reasons.badUserNameOrPassword, 'unknown tenant');
    const tenantId = entry.tenant.id as TenantId;
    if (holder === undefined) return refuse(Reasons.badUserNameOrPassword, 'unknown credential', tenantId);
    if (!proven) return refuse(Reasons.badUserNameOrPassword, 'wrong password', tenantId, holder.device.id);
    return this.#admitHolder(entry, holder, `${name.authId}@${name.slug}`, request, shown);
  }

  async #find(name: { authId: string; slug: string } | undefined): Promise<DirectoryEntry | undefined> {
    return name && this.#directory.findByName(name.slug, name.authId);
  }

  /** For who has proven to be the device by other means than a certificate, and may have shown one. */
  async #admitWithCertificate(
    entry: DirectoryEntry,
    holder: Holder,
    username: string,
    request: SignIn,
  ): Promise<Grant | Refusal> {
    const { peerCertificate } = request;
    const shown = peerCertificate && (await this.#certificates.verify(peerCertificate, entry.tenant.slug));
    if (shown?.kind === 'refused') return shown;
    return this.#admitHolder(entry, holder, username, request, shown);
  }

  /** Only who has proven to be the device is told more about it. */
  async #admitHolder(
    entry: DirectoryEntry,
    holder: Holder,
    username: string,
    { clientId, remoteAddress }: SignIn,
    shown: Shown | undefined,
  ): Promise<Grant | Refusal> {
    const choose = (rule: ClientIdRule): string =>
      clientId === '' ? assignClientId(rule, holder.device.name, randomUUID()) : clientId;
    const grant = await this.#grant(entry, holder, username, choose, shown);
    if (grant.kind === 'granted') {
      const used = new Set([holder.credential.id, shown?.holder.credential.id ?? holder.credential.id]);
      for (const id of used) this.#directory.noteUse(entry.tenant.id, id, remoteAddress, this.#now());
    }
    return grant;
  }

  async #reviewRights(principal: Principal): Promise<Grant | Refusal> {
    const { tenantId, credentialId, deviceId, username, clientId } = principal;
    const entry = await this.#directory.findByCredential(tenantId, credentialId);
    if (entry === undefined) return refuse(Reasons.notAuthorized, 'the tenant is gone', tenantId);
    if (entry.holder === undefined || entry.holder.device.id !== deviceId) {
      return refuse(Reasons.notAuthorized, 'the credential is gone', tenantId);
    }
    const shown = await this.#certificates.review(principal);
    if (shown?.kind === 'refused') return shown;
    return this.#grant(entry, entry.holder, username, () => clientId, shown);
  }

  /** Everything that does not depend on the secret: the same at sign-in and when rights are reviewed. */
  async #grant(
    entry: DirectoryEntry,
    holder: Holder,
    username: string,
    chooseClientId: (rule: ClientIdRule) => string,
    shown: Shown | undefined,
  ): Promise<Grant | Refusal> {
    const { tenant } = entry;
    const { credential, device } = holder;
    const tenantId = tenant.id as TenantId;
    const no = (reason: Reason, detail: string): Refusal => refuse(reason, detail, tenantId, device.id);
    if (tenant.status !== 'active') return no(Reasons.notAuthorized, 'the tenant is suspended');
    if (device.status !== 'active') return no(Reasons.notAuthorized, 'the device is disabled');
    if (shown !== undefined && shown.holder.device.id !== device.id) {
      return no(Reasons.badUserNameOrPassword, 'the certificate is of another device');
    }
    const credentials = [credential, ...(shown === undefined ? [] : [shown.holder.credential])];
    for (const one of credentials) {
      const validity = validityAt(one, this.#now());
      if (validity !== 'valid') return no(Reasons.notAuthorized, `the credential is ${validity}`);
    }

    const rules = credentials.map((one) => clientIdRuleSchema.safeParse(one.clientIdRule));
    const [rule] = rules;
    const clientId = rule?.success === true ? chooseClientId(rule.data) : '';
    if (!rules.every((one) => one.success && mayUseClientId(one.data, clientId, device.name))) {
      const detail = "the credential's client-id rule does not allow this client identifier";
      return no(Reasons.clientIdentifierNotValid, detail);
    }

    const variables: Variables = {
      tenant: tenant.slug,
      device: device.name,
      clientId,
      username,
      attributes: textsOf(device.attributes),
    };
    const documents = await this.#documentsOf(entry, holder);
    if (documents === undefined) return no(Reasons.serverUnavailable, 'policies are changing');
    const policy = this.#policies.of(documents, device.telemetry, variables);
    if (!policy.connectRight.allowed) {
      return no(Reasons.notAuthorized, policy.connectRight.detail);
    }
    return {
      kind: 'granted',
      principal: {
        tenantId,
        deviceId: device.id,
        credentialId: credential.id,
        username,
        clientId: clientId as ClientId,
        certificate: shown?.certificate,
      },
      tenantSlug: tenant.slug,
      limits: this.#limitsOf(tenant),
      policy,
      publishDenied: publishDeniedOf(tenant.settings),
      expiresAt: earliest([shown?.until, ...credentials.map(({ notAfter }) => notAfter)]),
    };
  }

  async #documentsOf(
    entry: DirectoryEntry,
    holder: Holder,
  ): Promise<readonly DirectoryDocument[] | undefined> {
    let versions: Holder['versions'] | undefined = holder.versions;
    for (let attempt = 1; attempt <= maxAttempts && versions !== undefined; attempt += 1) {
      const documents = await this.#directory.documents(versions);
      if (documents !== undefined) return documents;
      const again = await this.#directory.findByCredential(entry.tenant.id, holder.credential.id);
      versions = again?.holder?.versions;
    }
    return undefined;
  }

  #limitsOf(tenant: DirectoryEntry['tenant']): Grant['limits'] {
    const { limits, unusable } = limitsWith(tenant.limits);
    // The api lets none through; one that is there was written by another version. The default is in force.
    if (unusable.length > 0)
      this.#log.warn('tenant.limits-unusable', { tenant: tenant.slug, limits: unusable });
    return limits;
  }

  /** What a tenant sees as a denial; here, also what belongs to no tenant. At debug: strangers must not fill the log. */
  #noteRefusal({ username, clientId, remoteAddress }: SignIn, { reason, detail, tenantId }: Refusal): void {
    this.#outcome(reason.name);
    if (!this.#log.isDebug) return;
    const who = { tenant: tenantId, client: clientId, username, address: remoteAddress };
    this.#log.debug('sign-in.refused', { ...who, reason: reason.name, detail });
  }

  #isThrottled(username: string | undefined, address: string): boolean {
    if (isLoopback(address)) return false;
    return (
      this.#failures.isEmpty(address, failuresFromAddress) ||
      this.#failures.isEmpty(`${address} ${username ?? ''}`, failuresOfUser)
    );
  }

  #noteFailure(username: string | undefined, address: string): void {
    if (isLoopback(address)) return;
    this.#failures.take(address, failuresFromAddress);
    this.#failures.take(`${address} ${username ?? ''}`, failuresOfUser);
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

function refuse(reason: Reason, detail: string, tenantId?: TenantId, deviceId?: string): Refusal {
  return { kind: 'refused', reason, detail, tenantId, deviceId };
}

const storeIsDown = refuse(Reasons.serverUnavailable, 'nothing can be stored now');

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const first = Math.min(...times.map((time) => time ?? Infinity));
  return Number.isFinite(first) ? first : undefined;
}

/** A store that is down is no failure of the client's, and who is throttled already is not counted again. */
function countsAsFailure({ reason }: Refusal): boolean {
  return reason !== Reasons.serverUnavailable && reason !== Reasons.connectionRateExceeded;
}

const slugForm = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const maxAuthIdLength = 200;

/** The first part of a username by itself. */
function isAuthId(text: string): boolean {
  return text !== '' && text.length <= maxAuthIdLength && !text.includes('@');
}

/** `authId@tenant-slug`. Undefined: it names nobody. */
export function parseUsername(username: string | undefined): { authId: string; slug: string } | undefined {
  const at = username?.lastIndexOf('@') ?? -1;
  if (username === undefined || at < 1 || at > maxAuthIdLength) return undefined;
  const slug = username.slice(at + 1);
  return slugForm.test(slug) ? { authId: username.slice(0, at), slug } : undefined;
}

/** Attributes that can stand in a topic; any other has no value there. */
function textsOf(attributes: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'string' && isExpandable(value)) texts[name] = value;
  }
  return texts;
}

function publishDeniedOf(settings: unknown): Grant['publishDenied'] {
  const chosen =
    typeof settings === 'object' && settings !== null ? Reflect.get(settings, 'publishDenied') : undefined;
  return chosen === 'close' ? 'close' : 'acknowledge';
}
