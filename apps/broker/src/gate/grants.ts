import {
  type ClientIdRule,
  describeAddressFault,
  describeBan,
  grantingInPart,
  mayUseClientId,
  normalizeAddress,
  transportsOf,
  validityAt,
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
import type { Directory, DirectoryDocument } from '#store';

import type { KnownBans } from './known-bans.js';
import { type BoundRules, Policies } from './policies.js';
import { type Proof, type Proofs, refuse } from './proof.js';
import { type Standing, Standings } from './standing.js';

/** How often an entry is read again because a policy was deleted while it was read. */
const maxAttempts = 3;

/** How and from where somebody has come; unknown of who was stored before it was kept. */
export type Arrival = Pick<Principal, 'transport' | 'address'>;

/** What proofs entitle to: everything that does not depend on a secret, the same at sign-in and when rights are reviewed. */
export class Grants {
  readonly #directory: Directory;
  readonly #bans: KnownBans;
  readonly #now: () => number;
  readonly #policies = new Policies();
  readonly #standings: Standings;

  constructor(directory: Directory, bans: KnownBans, now: () => number, log: Logger) {
    this.#directory = directory;
    this.#bans = bans;
    this.#now = now;
    // The api lets none through; one that is there was written by another version. The default is in force.
    this.#standings = new Standings(({ slug }, limits) =>
      log.warn('tenant.limits-unusable', { tenant: slug, limits }),
    );
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
    const now = this.#now();
    for (const { holder } of proofs) {
      const validity = validityAt(holder.credential, now);
      if (validity !== 'valid') return no(Reasons.notAuthorized, `the credential is ${validity}`);
    }

    const standing = this.#standings.of(proof);
    const fault = addressFaultOf(standing, address);
    if (fault !== undefined) return no(Reasons.notAuthorized, fault);

    const { username, clientIdRule } = standing;
    const clientId = clientIdRule === undefined ? '' : chooseClientId(clientIdRule);
    const isAllowed = (one: Proof): boolean => {
      const rule = this.#standings.of(one).clientIdRule;
      return rule !== undefined && mayUseClientId(rule, clientId, device.name);
    };
    if (!proofs.every(isAllowed)) {
      const detail = "the credential's client-id rule does not allow this client identifier";
      return no(Reasons.clientIdentifierNotValid, detail);
    }

    const query = {
      tenantId: tenant.id,
      clientId,
      authId: credential.authId,
      username,
      address: address === undefined ? undefined : normalizeAddress(address),
      now,
    };
    if (!this.#bans.isFree(query)) {
      const ban = await this.#bans.find(query);
      if (ban !== undefined) return no(Reasons.banned, describeBan(ban));
    }

    standing.rules ??= await this.#rulesOf(proof);
    if (standing.rules === undefined) return no(Reasons.serverUnavailable, 'policies are changing');
    const certificate = proofs.find((one) => one.certificate !== undefined)?.certificate;
    const { policy, reviewAt } = standing.rules.for(
      {
        tenant: tenant.slug,
        device: device.name,
        clientId,
        username,
        commonName: certificate?.commonName,
        attributes: standing.attributes,
      },
      { transports: transport && transportsOf(transport, certificate !== undefined), address, now },
    );
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
      limits: standing.limits,
      policy: standing.grantsInPart ? grantingInPart(policy) : policy,
      publishDenied: standing.publishDenied,
      signInGraceMs: standing.signInGraceMs,
      expiresAt: earliest(proofs.map(({ until, holder }) => earlier(until, holder.credential.notAfter))),
      reviewAt: earliest([reviewAt, ...proofs.map((one) => one.reviewAt)]),
    };
  }

  /** Undefined: they changed each time that they were read. */
  async #rulesOf(proof: Proof): Promise<BoundRules | undefined> {
    const documents = await this.#documentsOf(proof);
    return documents && this.#policies.bind(documents, proof.holder.device.telemetry);
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
}

/** Why, for the tenant. Both must let an address in. */
function addressFaultOf({ fences }: Standing, address: string | undefined): string | undefined {
  for (const whose of ['tenant', 'device'] as const) {
    const fault = fences[whose]?.faultOf(address);
    if (fault !== undefined) return describeAddressFault(fault, whose);
  }
  return undefined;
}

function earliest(times: readonly (number | undefined)[]): number | undefined {
  return times.reduce(earlier, undefined);
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
