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

/**
 * Grants by the place of what was shown for them. Bounded: what was used last stays, and a tenant with more than its share of the room
 * makes room of its own.
 */
export class RememberedGrants {
  readonly #most: number;
  readonly #known = new Map<string, Remembered>();
  /** A change of one tenant's rights looks at its own alone. */
  readonly #places = new Map<TenantId, Set<string>>();

  constructor(room = most) {
    this.#most = room;
  }

  get size(): number {
    return this.#known.size;
  }

  get(place: string): Remembered | undefined {
    const known = this.#known.get(place);
    if (known !== undefined) this.set(place, known); // used last stands last
    return known;
  }

  set(place: string, remembered: Remembered): void {
    this.delete(place);
    const { tenantId } = remembered.grant.principal;
    let own = this.#places.get(tenantId);
    if (own === undefined) this.#places.set(tenantId, (own = new Set()));
    if (this.#known.size >= this.#most) {
      const isOverShare = own.size > this.#most / this.#places.size;
      const [oldest] = isOverShare ? own : this.#known.keys();
      if (oldest !== undefined) this.delete(oldest);
    }
    this.#known.set(place, remembered);
    own.add(place);
    this.#places.set(tenantId, own);
  }

  delete(place: string): void {
    const known = this.#known.get(place);
    if (known === undefined) return;
    this.#known.delete(place);
    const { tenantId } = known.grant.principal;
    const own = this.#places.get(tenantId);
    own?.delete(place);
    if (own?.size === 0) this.#places.delete(tenantId);
  }

  forget({ tenantId, includes }: Concern): void {
    const places = tenantId === undefined ? this.#known.keys() : (this.#places.get(tenantId) ?? []);
    for (const place of places) {
      const known = this.#known.get(place);
      if (known !== undefined && includes(known.grant.principal, known.serverName)) this.delete(place);
    }
  }
}
