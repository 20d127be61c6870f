import type { Broker, ClientId, Principal, Receipt } from '#mqtt';
import type { Change } from '#store';

import type { StoreGate } from './gate/gate.js';

/** Some session could not be held against the new rights, because the store could not be asked. The change is to be applied again. */
export class UnansweredReviewError extends Error {
  override readonly name = 'UnansweredReviewError';
  readonly code = 'changes.unanswered-review';
}

/**
 * Carries one change of rights to the live sessions. The gate reads rights from the store whenever it is asked, so nothing is
 * invalidated first: whoever is concerned is asked about again.
 */
export async function applyChange(broker: Broker, gate: StoreGate, change: Change): Promise<Receipt> {
  const { clientId, deviceId } = change.subject;
  if (change.kind === 'session' && typeof clientId === 'string') {
    return broker.disconnect(change.tenantId, clientId as ClientId);
  }
  if (change.subject['isDeleted'] === true && typeof deviceId === 'string') {
    return broker.expel(change.tenantId, deviceId);
  }
  const unanswered = gate.unansweredReviews;
  const receipt = await broker.reauthorize(change.tenantId, concernedBy(change));
  // A receipt says that the rights of now are in force here.
  if (gate.unansweredReviews > unanswered)
    throw new UnansweredReviewError('the store could not be asked for rights');
  return receipt;
}

/** The fewer it concerns, the fewer look-ups: a policy or a profile may concern anybody in the tenant. */
function concernedBy({ kind, subject }: Change): (principal: Principal) => boolean {
  if (kind === 'authenticator') return ({ voucher }) => voucher?.kind === 'authenticator';
  const { credentialId, anchorId, issuerId, deviceId } = subject;
  if (typeof credentialId === 'string') {
    return (principal) =>
      principal.credentialId === credentialId || principal.certificate?.credentialId === credentialId;
  }
  if (typeof issuerId === 'string') {
    return ({ voucher }) => voucher?.kind === 'issuer' && voucher.issuerId === issuerId;
  }
  if (typeof anchorId === 'string') return (principal) => principal.certificate?.anchorId === anchorId;
  if (typeof deviceId === 'string') return (principal) => principal.deviceId === deviceId;
  return () => true;
}
