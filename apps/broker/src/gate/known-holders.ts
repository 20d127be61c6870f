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
 * Credentials that somebody has proven to hold by a password, as they were read, with the mark of that password: a fleet whose identifiers
 * are new with each sign-in, or that shares a credential, has it read once, and its password judged once. What else is computed from it
 * (address, client identifier, bans, hours) is computed each time.
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

  /** `changes`: as many as had been seen before it was asked for. */
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
