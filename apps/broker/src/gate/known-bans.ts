import { AddressSet } from '#access';
import type { BanQuery, Directory, DirectoryBan, DirectoryListedBan } from '#store';

import type { Concern, Following } from './following.js';

const mostTenants = 5_000;

/**
 * Who is banned. A tenant's bans are read once, with the platform's, where they are few: whoever is on none of them is let in without a
 * question to the store. For whoever may be on one the store is asked, for the ban's reason and its end.
 */
export class KnownBans {
  readonly #directory: Directory;
  readonly #following: Following;
  readonly #lists = new Map<string, Listing>();

  constructor(directory: Directory, following: Following) {
    this.#directory = directory;
    this.#following = following;
  }

  /** Whether no ban is on it, as far as is known without waiting. False: `find` has to be asked. */
  isFree(query: BanQuery): boolean {
    return this.#following.isCurrent && this.#lists.get(query.tenantId)?.list?.isFree(query) === true;
  }

  async find(query: BanQuery): Promise<DirectoryBan | undefined> {
    const list = this.#following.isCurrent ? await this.#listOf(query.tenantId) : undefined;
    return list?.isFree(query) === true ? undefined : this.#directory.findBan(query);
  }

  forget({ tenantId, includesBans }: Concern): void {
    if (!includesBans) return;
    if (tenantId === undefined) this.#lists.clear();
    else this.#lists.delete(tenantId);
  }

  /** A change that comes while the list is read is not in it. Who waits for that list is signing in, and is reviewed when the change is applied. */
  async #listOf(tenantId: string): Promise<BanList | undefined> {
    let listing = this.#lists.get(tenantId);
    if (listing === undefined) {
      if (this.#lists.size >= mostTenants) this.#lists.clear();
      listing = { reading: this.#directory.bansOf(tenantId), list: undefined };
      this.#lists.set(tenantId, listing);
    }
    try {
      const bans = await listing.reading;
      return (listing.list ??= bans && new BanList(bans));
    } catch (error) {
      if (this.#lists.get(tenantId) === listing) this.#lists.delete(tenantId);
      throw error;
    }
  }
}

interface Listing {
  readonly reading: ReturnType<Directory['bansOf']>;
  /** Once it is read. Undefined then: they are too many to be listed. */
  list: BanList | undefined;
}

class BanList {
  readonly #texts: ReadonlySet<string>;
  readonly #addresses: AddressSet;

  constructor(bans: readonly DirectoryListedBan[]) {
    const texts = bans.filter(({ kind }) => kind !== 'address');
    this.#texts = new Set(texts.map(({ kind, value }) => `${kind} ${value}`));
    this.#addresses = new AddressSet(bans.flatMap(({ kind, value }) => (kind === 'address' ? value : [])));
  }

  /** False: a ban may be on it. It may have ended, or be the platform's where the tenant's is meant: the store decides. */
  isFree({ clientId, authId, username, address }: BanQuery): boolean {
    const texts = this.#texts;
    if (texts.size > 0) {
      const isOn = [`client-id ${clientId}`, `username ${authId}`, `username ${username}`];
      if (isOn.some((text) => texts.has(text))) return false;
    }
    return address === undefined || !this.#addresses.has(address);
  }
}
