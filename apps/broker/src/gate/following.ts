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

/** Twice as often as changes are looked for, where no notification comes: who has not looked for longer does not know. */
const knowsForMs = 2_000;

/** Whether this process knows of every change of rights: then what was read before counts, unless one concerned it. */
export class Following {
  readonly #now: () => number;
  #heardAt = -Infinity;
  /** Grows with each change that is seen. What was read while one came may be of before it. */
  changes = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** All changes that there were so many milliseconds ago have been applied here. */
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
