import { Inject, Injectable } from '@nestjs/common';
import {
  AddressFence,
  checkRules,
  clientIdRuleSchema,
  describeAddressFault,
  describeBan,
  explain,
  mayUseClientId,
  normalizeAddress,
  validityAt,
  type AddressRules,
  type Explanation,
  type PolicyDocument,
  type Question,
} from '#access';
import {
  findBanOn,
  findCredential,
  findDevice,
  findPlatformBanOn,
  findTenant,
  rulesInForce,
  type BanQuestion,
  type ControlStore,
  type Credential,
  type Device,
  type FoundBan,
  type PlatformTx,
  type Tenant,
  type TenantTx,
} from '#store';
import { attributesOf } from '../devices/device.schema.js';
import { invalidBody, notFound } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { grantsInPart } from '../tenants/tenant.schema.js';
import { STORE } from '../injection-tokens.js';
import type { EvaluationInput } from './policy.schema.js';

/** Who asks for what, with everything that a decision looks at. */
interface Situation {
  readonly tenant: Tenant;
  readonly device: Device;
  /** The one that it is to sign in with, where that is said. */
  readonly credential: Credential | undefined;
  readonly documents: readonly PolicyDocument[];
  /** Of the tenant, on this client. */
  readonly ban: FoundBan | undefined;
  readonly asked: BanQuestion;
  readonly now: number;
}

/** What the broker would decide, by the same code and in the same order, and why. */
@Injectable()
export class PolicyEvaluationService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async evaluate(scope: TenantScope, input: EvaluationInput): Promise<Explanation> {
    const situation = await this.store.tenant(scope.tenantId, (tx) => situationOf(tx, scope, input));
    const explained = decide(situation, input);
    if (input.action !== 'connect') return explained;
    const wall = wallBefore(situation, input) ?? (await this.#banOf(scope, situation));
    if (wall === undefined) return explained;
    return { ...explained, decision: 'deny', reason: wall, origin: undefined, maxQos: undefined };
  }

  /** The tenant's own comes first. */
  async #banOf({ tenantId }: TenantScope, { ban, asked, now }: Situation): Promise<string | undefined> {
    if (ban !== undefined) return inWords(ban, false);
    const look = (tx: PlatformTx) => findPlatformBanOn(tx, asked, new Date(now));
    const ofPlatform = await this.store.platform(look, tenantId);
    return ofPlatform && inWords(ofPlatform, true);
  }
}

async function situationOf(tx: TenantTx, scope: TenantScope, input: EvaluationInput): Promise<Situation> {
  const tenant = await findTenant(tx, tx.tenantId);
  if (tenant === null) throw notFound();
  const device = await findDevice(tx, input.deviceId);
  if (device === null)
    throw invalidBody({ pointer: '#/deviceId', code: 'unknown', message: 'There is no such device.' });
  const credential =
    input.credentialId === undefined ? undefined : await credentialOf(tx, input.credentialId);
  const { authId, username } = nameOf(scope, input.username ?? credential?.authId ?? device.name);
  const asked = {
    clientId: input.clientId ?? device.name,
    authId,
    username,
    address: input.address === undefined ? undefined : normalizeAddress(input.address),
  };
  const now = input.at?.getTime() ?? Date.now();
  return {
    tenant,
    device,
    credential,
    documents: (await rulesInForce(tx, device.id)).map(readDocument),
    ban: await findBanOn(tx, asked, new Date(now)),
    asked,
    now,
  };
}

async function credentialOf(tx: TenantTx, id: string): Promise<Credential> {
  const credential = await findCredential(tx, id);
  if (credential !== null) return credential;
  const message = 'There is no such credential.';
  throw invalidBody({ pointer: '#/credentialId', code: 'unknown', message });
}

/** A username without its tenant is one where SNI or a certificate names the tenant. */
function nameOf(scope: TenantScope, name: string): { readonly authId: string; readonly username: string } {
  const at = name.lastIndexOf('@');
  return at === -1
    ? { authId: name, username: `${name}@${scope.tenantSlug}` }
    : { authId: name.slice(0, at), username: name };
}

function readDocument(stored: Awaited<ReturnType<typeof rulesInForce>>[number]): PolicyDocument {
  const { id: policyId, name, version } = stored;
  const checked = checkRules(stored.rules);
  // What is stored had been checked.
  if (!checked.ok) throw new Error(`policy ${name}, version ${version}, cannot be read`);
  return { policyId, name, version, rules: checked.rules };
}

function decide({ tenant, device, documents, asked, now }: Situation, input: EvaluationInput): Explanation {
  const { clientId, username } = asked;
  const variables = {
    tenant: tenant.slug,
    device: device.name,
    clientId,
    username,
    commonName: input.commonName,
    attributes: attributesOf(device),
  };
  const circumstances = {
    transports: input.transport && transportsOfWay[input.transport],
    address: input.address,
    now,
  };
  return explain(documents, variables, questionOf(input), circumstances, grantsInPart(tenant));
}

const transportsOfWay = {
  tcp: ['tcp'],
  tls: ['tls'],
  mtls: ['tls', 'mtls'],
  ws: ['ws'],
  wss: ['wss'],
  mwss: ['wss', 'mtls'],
} as const;

/** What stands before bans and rules, in the broker's order (gate/grants.ts). */
function wallBefore(
  { tenant, device, credential, asked, now }: Situation,
  input: EvaluationInput,
): string | undefined {
  if (tenant.status !== 'active') return 'the tenant is suspended';
  if (device.status !== 'active') return 'the device is disabled';
  if (credential !== undefined && credential.deviceId !== device.id)
    return 'the credential is of another device';
  const validity = credential && validityAt(timesOf(credential), now);
  if (validity !== undefined && validity !== 'valid') return `the credential is ${validity}`;
  for (const [whose, rules] of [
    ['tenant', tenant.addresses],
    ['device', device.addresses],
  ] as const) {
    const fault =
      input.address === undefined
        ? undefined
        : new AddressFence(rules as AddressRules).faultOf(input.address);
    if (fault !== undefined) return describeAddressFault(fault, whose);
  }
  if (credential === undefined) return undefined;
  const mayUse = mayUseClientId(
    clientIdRuleSchema.parse(credential.clientIdRule),
    asked.clientId,
    device.name,
  );
  return mayUse ? undefined : "the credential's client-id rule does not allow this client identifier";
}

function timesOf({ notBefore, notAfter, disabledAt }: Credential): Parameters<typeof validityAt>[0] {
  return {
    notBefore: notBefore?.getTime(),
    notAfter: notAfter?.getTime(),
    disabledAt: disabledAt?.getTime(),
  };
}

function inWords({ kind, reason }: FoundBan, isPlatform: boolean): string {
  return describeBan({ kind: kind as Parameters<typeof describeBan>[0]['kind'], reason, isPlatform });
}

function questionOf(input: EvaluationInput): Question {
  const { action, topic = '', qos, retain, payloadBytes } = input;
  switch (action) {
    case 'connect':
      return { action };
    case 'subscribe':
      return { action, filter: topic, ...(qos === undefined ? {} : { qos }) };
    case 'receive':
    case 'retain':
      return { action, topic };
    case 'publish':
      return {
        action,
        topic,
        ...(qos === undefined ? {} : { qos }),
        ...(retain === undefined ? {} : { retain }),
        ...(payloadBytes === undefined ? {} : { payloadBytes }),
      };
  }
}
