import type { TenantId } from '#mqtt';

/**
 * A tenant with up to so many values has all of them looked at when something changes. With more, the change is noted, and each value is
 * looked at when it is asked for; so many changes are noted of a tenant.
 */
const mostAtOnce = 256;
/** The same of changes that concern all tenants: of the platform, and of host names. */
const mostForAll = 1_024;

interface Kept<Value> {
  readonly tenantId: TenantId;
  readonly value: Value;
  /** The number of the last change that it has been held against. */
  readonly upTo: number;
}

interface Own<Value> {
  /** Used last stands last. */
  readonly places: Set<string>;
  /** Undefined as long as they are few. */
  changes: Changes<Value> | undefined;
}

/**
 * What is remembered of tenants, by its place (a key). There is room for so many: what was used last stays, and a tenant that has more than
 * its share loses its own first. To look at fifty thousand values for every change would hold up the loop for everybody; so changes are
 * noted, and a value is held against those that it has missed when it is asked for.
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

  /** Counts also those that a change has made untrue, and that nobody has asked for since. */
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
   * For several at once: the oldest is found at the front of a Map, which keeps the empty places of what was deleted for a while and
   * goes through them each time. One by one that took 16 µs a newcomer with fifty thousand kept.
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

  /** Takes away what a change concerns: of one tenant, or of all (undefined). */
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

/** The last changes, by number. A value that has missed one that is not kept any more counts as concerned. */
class Changes<Value> {
  readonly #most: number;
  #kept: { readonly number: number; readonly isConcerned: (value: Value) => boolean }[] = [];
  /** The number of the last one that is not kept any more. */
  #lostTo = 0;

  constructor(most: number) {
    this.#most = most;
  }

  note(number: number, isConcerned: (value: Value) => boolean): void {
    this.#kept.push({ number, isConcerned });
    if (this.#kept.length <= this.#most) return;
    this.#lostTo = this.#kept.shift()?.number ?? 0;
  }

  /** Whether no change after `upTo` concerns the value. */
  isSpared(value: Value, upTo: number): boolean {
    if (upTo < this.#lostTo) return false;
    const missed = this.#kept.findLastIndex(({ number }) => number <= upTo) + 1;
    for (let i = missed; i < this.#kept.length; i++) {
      if (this.#kept[i]?.isConcerned(value) === true) return false;
    }
    return true;
  }
}
