import type { TenantId } from '#mqtt';

/** A tenant with no more than so many has them looked at when something changes; others, each when it is asked for. */
const mostAtOnce = 256;
/** Changes that are kept for those which have not been held against them yet. Of platform and host names, which concern all tenants: */
const mostForAll = 1_024;

interface Kept<Value> {
  readonly tenantId: TenantId;
  readonly value: Value;
  /** The last change that it has been held against. */
  readonly upTo: number;
}

interface Own<Value> {
  /** Used last stands last. */
  readonly places: Set<string>;
  /** Undefined as long as they are few. */
  changes: Changes<Value> | undefined;
}

/**
 * What is remembered of tenants, by its place. Bounded: what was used last stays, and a tenant with more than its share of the room
 * makes room of its own. To look at fifty thousand for every change would hold up the loop for everybody: what is changed is noted, and
 * each value is held against what it has missed when it is asked for.
 */
export class Remembered<Value> {
  readonly #most: number;
  readonly #known = new Map<string, Kept<Value>>();
  readonly #own = new Map<TenantId, Own<Value>>();
  readonly #forAll = new Changes<Value>(mostForAll);
  #number = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Those that have not been asked for since something took them away among them. */
  get size(): number {
    return this.#known.size;
  }

  get(place: string): Value | undefined {
    const known = this.#known.get(place);
    if (known === undefined) return undefined;
    const { tenantId, value, upTo } = known;
    const changes = this.#own.get(tenantId)?.changes;
    if (changes?.isSpared(value, upTo) === false || !this.#forAll.isSpared(value, upTo)) {
      this.delete(place);
      return undefined;
    }
    this.set(place, tenantId, value); // used last stands last
    return value;
  }

  set(place: string, tenantId: TenantId, value: Value): void {
    this.delete(place);
    let own = this.#own.get(tenantId);
    if (own === undefined) this.#own.set(tenantId, (own = { places: new Set(), changes: undefined }));
    if (this.#known.size >= this.#most) this.#makeRoom(own);
    this.#known.set(place, { tenantId, value, upTo: this.#number });
    own.places.add(place);
    this.#own.set(tenantId, own);
  }

  /**
   * For several at once: a Map goes on holding the places of what was deleted for a while, and who begins at its front goes through them.
   * For one newcomer after the other that took 16 µs each with fifty thousand kept.
   */
  #makeRoom({ places }: Own<Value>): void {
    const overShare = places.size - this.#most / this.#own.size;
    const atOnce = this.#most / 256;
    let wanted = overShare > 0 ? Math.min(overShare, atOnce) : atOnce;
    for (const oldest of overShare > 0 ? places : this.#known.keys()) {
      this.delete(oldest);
      wanted -= 1;
      if (wanted <= 0) return;
    }
  }

  delete(place: string): void {
    const known = this.#known.get(place);
    if (known === undefined) return;
    this.#known.delete(place);
    const own = this.#own.get(known.tenantId);
    own?.places.delete(place);
    if (own?.places.size === 0) this.#own.delete(known.tenantId);
  }

  /** Undefined: of every tenant. */
  forget(tenantId: TenantId | undefined, isConcerned: (value: Value) => boolean): void {
    this.#number += 1;
    if (tenantId === undefined) return this.#forAll.note(this.#number, isConcerned);
    const own = this.#own.get(tenantId);
    if (own === undefined) return;
    if (own.changes === undefined && own.places.size > mostAtOnce) own.changes = new Changes(mostAtOnce);
    if (own.changes !== undefined) return own.changes.note(this.#number, isConcerned);
    for (const place of own.places) {
      const known = this.#known.get(place);
      if (known !== undefined && isConcerned(known.value)) this.delete(place);
    }
  }
}

/** The last changes, by number. What has missed one that is not kept any more is taken to be concerned by it. */
class Changes<Value> {
  readonly #most: number;
  #kept: { readonly number: number; readonly isConcerned: (value: Value) => boolean }[] = [];
  #lostTo = 0;

  constructor(most: number) {
    this.#most = most;
  }

  note(number: number, isConcerned: (value: Value) => boolean): void {
    this.#kept.push({ number, isConcerned });
    if (this.#kept.length <= this.#most) return;
    this.#lostTo = this.#kept.shift()?.number ?? 0;
  }

  isSpared(value: Value, upTo: number): boolean {
    if (upTo < this.#lostTo) return false;
    const missed = this.#kept.findLastIndex(({ number }) => number <= upTo) + 1;
    for (let i = missed; i < this.#kept.length; i++) {
      if (this.#kept[i]?.isConcerned(value) === true) return false;
    }
    return true;
  }
}
