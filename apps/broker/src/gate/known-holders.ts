import type { TenantId } from '#mqtt';
import type { DirectoryEntry } from '#store';

import type { Concern, Following } from './following.js';
import { Remembered } from './remembered.js';

/** As many as one process holds connections; some kilobytes each. */
const most = 20_000;

/**
 * Credentials that somebody has proven to hold, as they were read: a fleet whose identifiers are new with each sign-in, or that shares a
 * credential, has it read once. What is computed from it (address, client identifier, bans, hours) is computed each time.
 */
export class KnownHolders {
  readonly #following: Following;
  readonly #known = new Remembered<DirectoryEntry>(most);

  constructor(following: Following) {
    this.#following = following;
  }

  find(tenantSlug: string, authId: string): DirectoryEntry | undefined {
    return this.#following.isCurrent ? this.#known.get(placeOf(tenantSlug, authId)) : undefined;
  }

  /** `changes`: as many as had been seen before it was asked for. */
  remember(tenantSlug: string, authId: string, entry: DirectoryEntry, changes: number): void {
    if (changes !== this.#following.changes) return;
    this.#known.set(placeOf(tenantSlug, authId), entry.tenant.id as TenantId, entry);
  }

  forget({ tenantId, includesHolder }: Concern): void {
    this.#known.forget(
      tenantId,
      ({ holder }) => holder === undefined || includesHolder(holder.credential.id, holder.device.id),
    );
  }
}

/** No slug has a blank in it. */
function placeOf(tenantSlug: string, authId: string): string {
  return `${tenantSlug} ${authId}`;
}
