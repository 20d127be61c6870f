import type { Broker, ClientId, Principal, Receipt } from '#mqtt';
import type { Change } from '#store';

import type { StoreGate } from './gate/gate.js';

const nothingDone: Receipt = {
  sessionsTouched: 0,
  subscriptionsRemoved: 0,
  connectionsClosed: 0,
  willsSuppressed: 0,
};

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
  if (change.kind === 'session') return disconnect(broker, change);
  const unanswered = gate.unansweredReviews;
  const receipt = await broker.reauthorize(change.tenantId, concernedBy(change));
  // A receipt says that the rights of now are in force here.
  if (gate.unansweredReviews > unanswered)
    throw new UnansweredReviewError('the store could not be asked for rights');
  return receipt;
}

/** The fewer it concerns, the fewer look-ups: a policy or a profile may concern anybody in the tenant. */
function concernedBy({ subject }: Change): (principal: Principal) => boolean {
  const { credentialId, anchorId, deviceId } = subject;
  if (typeof credentialId === 'string') {
    return (principal) =>
      principal.credentialId === credentialId || principal.certificate?.credentialId === credentialId;
  }
  if (typeof anchorId === 'string') return (principal) => principal.certificate?.anchorId === anchorId;
  if (typeof deviceId === 'string') return (principal) => principal.deviceId === deviceId;
  return () => true;
}

function disconnect(broker: Broker, { tenantId, subject }: Change): Receipt {
  const { clientId } = subject;
  if (typeof clientId !== 'string') return nothingDone;
  const wasHere = broker.disconnect(tenantId, clientId as ClientId);
  return wasHere ? { ...nothingDone, sessionsTouched: 1, connectionsClosed: 1 } : nothingDone;
}
