import type { Broker, CertificateProof, ClientId, Principal, Receipt, Renewal, TenantId } from '#mqtt';
import { type Change, type ChangeSubject, nobody } from '#store';

import { isBannedBy } from './banned.js';
import type { Concern } from './gate/following.js';
import type { StoreGate } from './gate/gate.js';

/** Some session could not be held against the new rights, because the store could not be asked. The change is to be applied again. */
export class UnansweredReviewError extends Error {
  override readonly name = 'UnansweredReviewError';
  readonly code = 'changes.unanswered-review';
}

/**
 * Carries one change of rights to the live sessions: for each that it concerns the gate reads its rights from the store again. A policy
 * that thousands have is read once for all of them. What is remembered for those who come back is forgotten before this (`concernOf`).
 */
export async function applyChange(broker: Broker, gate: StoreGate, change: Change): Promise<Receipt> {
  const { clientId, deviceId } = change.subject;
  if (change.kind === 'session' && typeof clientId === 'string') {
    return broker.disconnect(change.tenantId, clientId as ClientId);
  }
  if (change.kind === 'retained' && typeof change.subject['filter'] === 'string') {
    return broker.clearRetained(change.tenantId, change.subject['filter']);
  }
  if (change.subject['isDeleted'] === true && typeof deviceId === 'string') {
    return broker.expel(change.tenantId, deviceId);
  }
  const unanswered = gate.unansweredReviews;
  const renewal = await renewalOf(gate, change);
  const receipt =
    renewal === undefined
      ? await reauthorize(broker, change.tenantId, concernedBy(change))
      : await broker.renewPolicies(change.tenantId, renewal);
  // A receipt says that the rights of now are in force here.
  if (gate.unansweredReviews > unanswered)
    throw new UnansweredReviewError('the store could not be asked for rights');
  return receipt;
}

/** What of all that is remembered a change may have made untrue: it is forgotten, so that the next sign-in asks the store. */
export function concernOf(change: Change): Concern {
  const { kind, subject } = change;
  // The name is another tenant's now, or nobody's: whoever came by it is concerned.
  if (kind === 'host-name') {
    const { host } = subject;
    return {
      tenantId: undefined,
      includes: (_, serverName) => serverName === host,
      includesHolder: () => false,
      includesBans: false,
    };
  }
  const tenantId = change.tenantId === nobody ? undefined : change.tenantId;
  const isConcerned = concernedBy(change);
  const mayLeadElsewhere = certificatesConcernedBy(change);
  return {
    tenantId,
    includes: (principal) =>
      isConcerned(principal) ||
      (principal.certificate !== undefined && mayLeadElsewhere(principal.certificate)),
    includesHolder:
      kind === 'ban' || saysNothingOfRights(kind) || arePinnedToNewDevices(change)
        ? () => false
        : holdersConcernedBy(subject),
    includesBans: kind === 'ban',
  };
}

/**
 * Certificates that may lead to another anchor or another credential when they are shown again. Who is connected by one stays; a new
 * sign-in has to look for its path anew.
 */
function certificatesConcernedBy(change: Change): (certificate: CertificateProof) => boolean {
  const { kind, subject } = change;
  const { credentialId, fingerprint } = subject;
  if (kind === 'trust-anchor') return () => credentialId === undefined;
  if (arePinnedToNewDevices(change)) return () => true;
  if (kind !== 'credential' || typeof fingerprint !== 'string') return () => false;
  return (certificate) => certificate.fingerprint === fingerprint;
}

/** A change by the platform (`nobody`'s) may concern every tenant. */
async function reauthorize(
  broker: Broker,
  tenantId: TenantId,
  concerns: (principal: Principal) => boolean,
): Promise<Receipt> {
  if (tenantId !== nobody) return broker.reauthorize(tenantId, concerns);
  const receipts = await Promise.all(Array.from(broker.tenants, (id) => broker.reauthorize(id, concerns)));
  const sum = (name: keyof Receipt): number => receipts.reduce((total, receipt) => total + receipt[name], 0);
  return {
    sessionsTouched: sum('sessionsTouched'),
    subscriptionsRemoved: sum('subscriptionsRemoved'),
    connectionsClosed: sum('connectionsClosed'),
    willsSuppressed: sum('willsSuppressed'),
    willsSent: sum('willsSent'),
    retainedCleared: sum('retainedCleared'),
  };
}

/** Defined where one answer does for all: a policy has changed (and not its bindings), or a tenant is suspended. */
async function renewalOf(gate: StoreGate, { kind, tenantId, subject }: Change): Promise<Renewal | undefined> {
  const { policyId, targetKind } = subject;
  if (kind === 'tenant') return gate.suspension(tenantId);
  if (kind !== 'policy' || typeof policyId !== 'string' || targetKind !== undefined) return undefined;
  return gate.renewal(tenantId, policyId);
}

/**
 * Which clients a change may concern, as few as can be said, for each costs a look-up: a profile, or a policy that is bound to more than one
 * device, may concern anybody.
 */
function concernedBy(change: Change): (principal: Principal) => boolean {
  const { kind, subject } = change;
  if (kind === 'ban') return isBannedBy(subject);
  if (kind === 'host-name' || saysNothingOfRights(kind) || arePinnedToNewDevices(change)) return () => false;
  if (kind === 'authenticator') return ({ voucher }) => voucher?.kind === 'authenticator';
  const { credentialId: changed, anchorId, issuerId } = subject;
  if (changed === undefined && typeof issuerId === 'string') {
    return ({ voucher }) => voucher?.kind === 'issuer' && voucher.issuerId === issuerId;
  }
  if (changed === undefined && typeof anchorId === 'string')
    return (principal) => principal.certificate?.anchorId === anchorId;
  const isOf = holdersConcernedBy(subject);
  return ({ credentialId, deviceId, certificate }) =>
    isOf(credentialId, deviceId) || (certificate !== undefined && isOf(certificate.credentialId, deviceId));
}

function saysNothingOfRights(kind: Change['kind']): boolean {
  return kind === 'session' || kind === 'retained';
}

/**
 * Pinned certificates of devices that were made with them. Nobody has signed in as such a device yet; but with such a certificate somebody
 * may have, as another device that it names.
 */
function arePinnedToNewDevices({ kind, subject }: Change): boolean {
  return kind === 'credential' && subject['arePinned'] === true;
}

/** Which credentials and devices a change may concern. */
function holdersConcernedBy(subject: ChangeSubject): (credentialId: string, deviceId: string) => boolean {
  const { credentialId, targetKind, targetId } = subject;
  const deviceId = targetKind === 'device' ? targetId : subject['deviceId'];
  if (typeof credentialId === 'string') return (credential) => credential === credentialId;
  if (typeof deviceId === 'string') return (_, device) => device === deviceId;
  return () => true;
}
