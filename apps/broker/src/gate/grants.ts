import {
  type ClientIdRule,
  clientIdRuleSchema,
  describeBan,
  grantingInPart,
  isExpandable,
  mayUseClientId,
  normalizeAddress,
  transportsOf,
  validityAt,
  type Variables,
} from '#access';
import {
  type ClientId,
  type Grant,
  type Principal,
  type Reason,
  Reasons,
  type Refusal,
  type TenantId,
} from '#mqtt';
import type { Logger } from '#process';
import type { BanQuery, Directory, DirectoryBan, DirectoryDocument, DirectoryTenant } from '#store';

import { AddressFences } from './addresses.js';
import { TenantLimits } from './limits.js';
import { Policies } from './policies.js';
import { type Proof, type Proofs, refuse, usernameOf } from './proof.js';

/** How often an entry is read again because a policy was deleted while it was read. */
const maxAttempts = 3;

/** How and from where somebody has come; unknown of who was stored before it was kept. */
export type Arrival = Pick<Principal, 'transport' | 'address'>;

interface Bans {
  find(query: BanQuery): Promise<DirectoryBan | undefined>;
}

/** What proofs entitle to: everything that does not depend on a secret, the same at sign-in and when rights are reviewed. */
export class Grants {
  readonly #directory: Directory;
  readonly #bans: Bans;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #policies = new Policies();
  readonly #limits = new TenantLimits();
  readonly #fences = new AddressFences();

  constructor(directory: Directory, bans: Bans, now: () => number, log: Logger) {
    this.#directory = directory;
    this.#bans = bans;
    this.#now = now;
    this.#log = log;
  }

  async grant(
    proofs: Proofs,
    chooseClientId: (rule: ClientIdRule) => string,
    { transport, address }: Arrival,
  ): Promise<Grant | Refusal> {
    const [proof] = proofs;
    const { tenant } = proof.entry;
    const { credential, device } = proof.holder;
    const no = (reason: Reason, detail: string): Refusal => refuse(reason, detail, proof.entry);
    if (tenant.status !== 'active') return no(Reasons.notAuthorized, 'the tenant is suspended');
    if (device.status !== 'active') return no(Reasons.notAuthorized, 'the device is disabled');
    if (!proofs.every(({ holder }) => holder.device.id === device.id)) {
      return no(Reasons.badUserNameOrPassword, 'the certificate is of another device');
    }
    const credentials = proofs.map(({ holder }) => holder.credential);
    for (const one of credentials) {
      const validity = validityAt(one, this.#now());
      if (validity !== 'valid') return no(Reasons.notAuthorized, `the credential is ${validity}`);
    }

    const fault = this.#fences.faultOf(proof.entry.tenant.addresses, device.addresses, address);
    if (fault !== undefined) return no(Reasons.notAuthorized, fault);

    const rules = credentials.map((one) => clientIdRuleSchema.safeParse(one.clientIdRule));
    const [rule] = rules;
    const clientId = rule?.success === true ? chooseClientId(rule.data) : '';
    if (!rules.every((one) => one.success && mayUseClientId(one.data, clientId, device.name))) {
      const detail = "the credential's client-id rule does not allow this client identifier";
      return no(Reasons.clientIdentifierNotValid, detail);
    }

    const username = usernameOf(proof);
    const ban = await this.#banOn(proof, clientId, username, address);
    if (ban !== undefined) return no(Reasons.banned, ban);
    const certificate = proofs.find((one) => one.certificate !== undefined)?.certificate;
    const variables: Variables = {
      tenant: tenant.slug,
      device: device.name,
      clientId,
      username,
      commonName: certificate?.commonName,
      attributes: textsOf(device.attributes),
    };
    const documents = await this.#documentsOf(proof);
    if (documents === undefined) return no(Reasons.serverUnavailable, 'policies are changing');
    const { policy, reviewAt } = this.#policies.of(documents, device.telemetry, variables, {
      transports: transport && transportsOf(transport, certificate !== undefined),
      address,
      now: this.#now(),
    });
    if (!policy.connectRight.allowed) {
      return no(Reasons.notAuthorized, policy.connectRight.detail);
    }
    return {
      kind: 'granted',
      principal: {
        tenantId: tenant.id as TenantId,
        deviceId: device.id,
        credentialId: credential.id,
        username,
        clientId: clientId as ClientId,
        voucher: proof.voucher,
        certificate,
        transport,
        address,
      },
      limits: this.#limitsOf(tenant),
      policy: grantsInPart(tenant.settings) ? grantingInPart(policy) : policy,
      publishDenied: publishDeniedOf(tenant.settings),
      signInGraceMs: signInGraceOf(tenant.settings),
      expiresAt: earliest([
        ...proofs.map(({ until }) => until),
        ...credentials.map(({ notAfter }) => notAfter),
      ]),
      reviewAt: earliest([reviewAt, ...proofs.map((one) => one.reviewAt)]),
    };
  }

  /** Why, for the tenant. */
  async #banOn(
    { entry, holder }: Proof,
    clientId: string,
    username: string,
    address: string | undefined,
  ): Promise<string | undefined> {
    const ban = await this.#bans.find({
      tenantId: entry.tenant.id,
      clientId,
      authId: holder.credential.authId,
      username,
      address: address === undefined ? undefined : normalizeAddress(address),
      now: this.#now(),
    });
    return ban && describeBan(ban);
  }

  async #documentsOf({ entry, holder }: Proof): Promise<readonly DirectoryDocument[] | undefined> {
    let versions: Proof['holder']['versions'] | undefined = holder.versions;
    for (let attempt = 1; attempt <= maxAttempts && versions !== undefined; attempt += 1) {
      const documents = await this.#directory.documents(versions);
      if (documents !== undefined) return documents;
      const again = await this.#directory.findByCredential(entry.tenant.id, holder.credential.id);
      versions = again?.holder?.versions;
    }
    return undefined;
  }

  #limitsOf(tenant: DirectoryTenant): Grant['limits'] {
    const { limits, unusable } = this.#limits.of(tenant.limits);
    // The api lets none through; one that is there was written by another version. The default is in force.
    if (unusable.length > 0)
      this.#log.warn('tenant.limits-unusable', { tenant: tenant.slug, limits: unusable });
    return limits;
  }
}

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const first = Math.min(...times.map((time) => time ?? Infinity));
  return Number.isFinite(first) ? first : undefined;
}

/** Attributes that can stand in a topic; any other has no value there. */
function textsOf(attributes: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'string' && isExpandable(value)) texts[name] = value;
  }
  return texts;
}

function grantsInPart(settings: unknown): boolean {
  return Reflect.get(Object(settings), 'partialCover') === 'narrow';
}

function publishDeniedOf(settings: unknown): Grant['publishDenied'] {
  const chosen =
    typeof settings === 'object' && settings !== null ? Reflect.get(settings, 'publishDenied') : undefined;
  return chosen === 'close' ? 'close' : 'acknowledge';
}

function signInGraceOf(settings: unknown): number {
  const seconds: unknown = Reflect.get(Object(settings), 'signInGraceS');
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : 0;
}
