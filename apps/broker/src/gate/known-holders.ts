import type { TenantId } from '#mqtt';
import type { DirectoryEntry } from '#store';

import type { Concern, Following } from './following.js';
import { Remembered } from './remembered.js';

/** As many as one process holds connections; some kilobytes each. */
const most = 20_000;

export interface KnownHolder {
  readonly entry: DirectoryEntry;
  /** Of the password that was found right (`marks.ts`). */
  readonly mark: string;
}

/**
 * Credentials with a password that was found right, as they were read from the store, and the mark of that password. Where many clients
 * share a credential, or one comes with a new client identifier each time, the credential is read once, and its password verified once.
 * Everything else (address, client identifier, bans, hours) is judged at each sign-in.
 */
export class KnownHolders {
  readonly #following: Following;
  readonly #known = new Remembered<KnownHolder>(most);

  constructor(following: Following) {
    this.#following = following;
  }

  find(tenantSlug: string, authId: string): KnownHolder | undefined {
    return this.#following.isCurrent ? this.#known.get(placeOf(tenantSlug, authId)) : undefined;
  }

  /** `changes`: how many had been seen before the store was asked. Where there are more by now, what was read may be out of date. */
  remember(tenantSlug: string, authId: string, known: KnownHolder, changes: number): void {
    if (changes !== this.#following.changes) return;
    this.#known.set(placeOf(tenantSlug, authId), known.entry.tenant.id as TenantId, known);
  }

  forget({ tenantId, includesHolder }: Concern): void {
    this.#known.forget(
      tenantId,
      ({ entry: { holder } }) =>
        holder === undefined || includesHolder(holder.credential.id, holder.device.id),
    );
  }
}

/** No slug has a blank in it. */
function placeOf(tenantSlug: string, authId: string): string {
  return `${tenantSlug} ${authId}`;
}
