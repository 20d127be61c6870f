import type { Grant, Principal, TenantId } from '#mqtt';

/** A grant, and by which name of the server it was asked for. */
export interface Remembered {
  readonly grant: Grant;
  readonly serverName: string | undefined;
}

/** Whose grants a change of rights may have made untrue. */
export interface Concern {
  /** Undefined: anybody's. */
  readonly tenantId: TenantId | undefined;
  readonly includes: (principal: Principal, serverName: string | undefined) => boolean;
}

/** Some hundred bytes each, beside what the live connection has of it too; at most some kilobytes. */
const most = 50_000;
/** A tenant with no more than so many has them looked at when something changes; others, each when it is asked for. */
const mostAtOnce = 256;
/** Changes that are kept for those which have not been held against them yet. Of platform and host names, which concern all tenants: */
const mostForAll = 1_024;

interface Kept extends Remembered {
  /** The last change that it has been held against. */
  upTo: number;
}

interface Own {
  /** Used last stands last. */
  readonly places: Set<string>;
  /** Undefined as long as they are few. */
  changes: Changes | undefined;
}

/**
 * Grants by the place of what was shown for them. Bounded: what was used last stays, and a tenant with more than its share of the room
 * makes room of its own. To look at fifty thousand for every change would hold up the loop for everybody: what is changed is noted, and
 * each grant is held against what it has missed when it is asked for.
 */
export class RememberedGrants {
  readonly #most: number;
  readonly #known = new Map<string, Kept>();
  readonly #own = new Map<TenantId, Own>();
  readonly #forAll = new Changes(mostForAll);
  #number = 0;

  constructor(room = most) {
    this.#most = room;
  }

  /** Those that have not been asked for since something took them away among them. */
  get size(): number {
    return this.#known.size;
  }

  get(place: string): Remembered | undefined {
    const known = this.#known.get(place);
    if (known === undefined) return undefined;
    const changes = this.#own.get(known.grant.principal.tenantId)?.changes;
    if (changes?.isSpared(known) === false || !this.#forAll.isSpared(known)) {
      this.delete(place);
      return undefined;
    }
    this.set(place, known); // used last stands last
    return known;
  }

  set(place: string, { grant, serverName }: Remembered): void {
    this.delete(place);
    const { tenantId } = grant.principal;
    let own = this.#own.get(tenantId);
    if (own === undefined) this.#own.set(tenantId, (own = { places: new Set(), changes: undefined }));
    if (this.#known.size >= this.#most) {
      const isOverShare = own.places.size > this.#most / this.#own.size;
      const [oldest] = isOverShare ? own.places : this.#known.keys();
      if (oldest !== undefined) this.delete(oldest);
    }
    this.#known.set(place, { grant, serverName, upTo: this.#number });
    own.places.add(place);
    this.#own.set(tenantId, own);
  }

  delete(place: string): void {
    const known = this.#known.get(place);
    if (known === undefined) return;
    this.#known.delete(place);
    const { tenantId } = known.grant.principal;
    const own = this.#own.get(tenantId);
    own?.places.delete(place);
    if (own?.places.size === 0) this.#own.delete(tenantId);
  }

  forget({ tenantId, includes }: Concern): void {
    this.#number += 1;
    if (tenantId === undefined) return this.#forAll.note(this.#number, includes);
    const own = this.#own.get(tenantId);
    if (own === undefined) return;
    if (own.changes === undefined && own.places.size > mostAtOnce) own.changes = new Changes(mostAtOnce);
    if (own.changes !== undefined) return own.changes.note(this.#number, includes);
    for (const place of own.places) {
      const known = this.#known.get(place);
      if (known !== undefined && includes(known.grant.principal, known.serverName)) this.delete(place);
    }
  }
}

/** The last changes, by number. What has missed one that is not kept any more is taken to be concerned by it. */
class Changes {
  readonly #most: number;
  #kept: { readonly number: number; readonly includes: Concern['includes'] }[] = [];
  #lostTo = 0;

  constructor(most: number) {
    this.#most = most;
  }

  note(number: number, includes: Concern['includes']): void {
    this.#kept.push({ number, includes });
    if (this.#kept.length <= this.#most) return;
    this.#lostTo = this.#kept.shift()?.number ?? 0;
  }

  isSpared({ grant: { principal }, serverName, upTo }: Kept): boolean {
    if (upTo < this.#lostTo) return false;
    const missed = this.#kept.findLastIndex(({ number }) => number <= upTo) + 1;
    for (let i = missed; i < this.#kept.length; i++) {
      if (this.#kept[i]?.includes(principal, serverName) === true) return false;
    }
    return true;
  }
}
