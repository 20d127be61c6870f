import { type Principal, type Reason, Reasons, type Refusal, type TenantId } from '#mqtt';
import type { DirectoryEntry } from '#store';

export type Holder = NonNullable<DirectoryEntry['holder']>;

/** One way in which somebody has proven to be the holder of a credential. What it entitles to is for `grants.ts`. */
export interface Proof {
  readonly kind: 'proof';
  readonly entry: DirectoryEntry;
  readonly holder: Holder;
  /** It ends by itself, whatever happens to the credential. */
  readonly until?: number | undefined;
  /** Something that it rests on has to be asked again then. */
  readonly reviewAt?: number | undefined;
  readonly certificate?: Principal['certificate'];
  readonly voucher?: Principal['voucher'];
}

/** Of one sign-in: the first is who the client is called by, and all must be of one device. */
export type Proofs = readonly [Proof, ...Proof[]];

export function refuse(reason: Reason, detail: string, entry?: DirectoryEntry): Refusal {
  return {
    kind: 'refused',
    reason,
    detail,
    tenantId: entry?.tenant.id as TenantId | undefined,
    deviceId: entry?.holder?.device.id,
  };
}

/** As `authId@tenant-slug`, however the client put it. */
export function usernameOf({ entry, holder }: Proof): string {
  return `${holder.credential.authId}@${entry.tenant.slug}`;
}

export const storeIsDown: Refusal = refuse(Reasons.serverUnavailable, 'nothing can be stored now');

export const tooManyFailures: Refusal = refuse(Reasons.connectionRateExceeded, 'too many failed sign-ins');
