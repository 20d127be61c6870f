import type { Principal, TenantId } from '#mqtt';

/** What a change of rights may have made untrue. */
export interface Concern {
  /** Undefined: anybody's. */
  readonly tenantId: TenantId | undefined;
  readonly includes: (principal: Principal, serverName: string | undefined) => boolean;
  /** What was read of a credential, with its device, its tenant and what binds it. */
  readonly includesHolder: (credentialId: string, deviceId: string) => boolean;
  readonly includesBans: boolean;
}

/** Changes are looked for every second, also where no notification comes: who has not looked for twice as long may have missed one. */
const knowsForMs = 2_000;

/** Whether this process knows of every change of rights. While it does, what was read before counts, unless a change concerned it. */
export class Following {
  readonly #now: () => number;
  #heardAt = -Infinity;
  /** How many changes have been seen. Where it has grown while something was read, that may be what held before the change. */
  changes = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** All changes that were made up to `agoMs` milliseconds ago have been applied here. */
  heard(agoMs: number): void {
    this.#heardAt = this.#now() - agoMs;
  }

  get agoMs(): number {
    return this.#now() - this.#heardAt;
  }

  get isCurrent(): boolean {
    return this.agoMs <= knowsForMs;
  }
}
