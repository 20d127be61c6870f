/**
 * Sign-ins while the store is away, for tenants that chose so (`signInGraceS`, 0 by default): who had signed in here, and comes again
 * with the same secret, is given the rights of then. The grace counts from the last time that this process heard every change of
 * rights, and is over with it. What has been changed since is forgotten first: a revocation that the process knows of always wins.
 *
 * Kept are a keyed hash over all that was shown, under a key that no other process has, and the grant. No secret is.
 */
import { createHmac, randomBytes } from 'node:crypto';

import {
  type Exchange,
  type Gate,
  type Grant,
  type Principal,
  Reasons,
  type Refusal,
  type SignIn,
} from '#mqtt';

export interface RememberingGateOptions {
  readonly gate: Gate;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** What waits for the store is as much as may: nobody is let in to add to it. */
  readonly isFull: () => boolean;
}

/** Some kilobytes each at most; their policies are shared with the live ones. */
const mostRemembered = 50_000;

export class RememberingGate implements Gate {
  readonly #options: RememberingGateOptions;
  readonly #key = randomBytes(32);
  readonly #grants = new Map<string, Grant>();
  #heardAt = -Infinity;
  /** Grows with each change of rights. */
  #changes = 0;
  /** Sign-ins that were let in without the store. */
  recalled = 0;

  constructor(options: RememberingGateOptions) {
    this.#options = options;
  }

  async admit(request: SignIn): Promise<Grant | Refusal> {
    const changes = this.#changes;
    const answer = await this.#options.gate.admit(request);
    const place = this.#placeOf(request);
    if (answer.kind === 'granted') {
      // A change that came meanwhile may be about this very grant.
      if (changes === this.#changes) this.#remember(place, answer);
      return answer;
    }
    if (answer.reason !== Reasons.serverUnavailable) {
      this.#grants.delete(place);
      return answer;
    }
    // Who was found in the store has been judged by what is in it: what is away then is something of the tenant's own, which is no
    // reason to believe what it said before (docs/failure-modes.md, What tenants run themselves).
    if (answer.tenantId !== undefined) return answer;
    return this.#recall(place) ?? answer;
  }

  review(principal: Principal): Promise<Grant | Refusal> {
    return this.#options.gate.review(principal);
  }

  exchange(method: string, request: SignIn): Exchange | undefined {
    return this.#options.gate.exchange(method, request);
  }

  /** All changes until now have been applied here. */
  heard(): void {
    this.#heardAt = this.#options.now();
  }

  /** Before a change is applied: whom it concerns has to ask the store again. */
  forget(concerns: (principal: Principal) => boolean): void {
    this.#changes += 1;
    for (const [place, { principal }] of this.#grants) if (concerns(principal)) this.#grants.delete(place);
  }

  #remember(place: string, grant: Grant): void {
    this.#grants.delete(place);
    if ((grant.signInGraceMs ?? 0) === 0) return;
    this.#grants.set(place, { ...grant, withoutStore: true });
    if (this.#grants.size <= mostRemembered) return;
    for (const oldest of this.#grants.keys()) {
      this.#grants.delete(oldest);
      return;
    }
  }

  #recall(place: string): Grant | undefined {
    const grant = this.#grants.get(place);
    if (grant === undefined || this.#options.isFull()) return undefined;
    const now = this.#options.now();
    if (now - this.#heardAt > (grant.signInGraceMs ?? 0)) return undefined;
    if (grant.expiresAt !== undefined && grant.expiresAt <= now) return undefined;
    this.recalled += 1;
    return grant;
  }

  /** Of everything that was shown and by which way: who comes otherwise asks the store. */
  #placeOf({
    clientId,
    username,
    password,
    transport,
    remoteAddress,
    serverName,
    peerCertificate,
  }: SignIn): string {
    const shown = [clientId, username, password?.toString('base64'), transport, remoteAddress, serverName];
    const certificate = peerCertificate?.leaf.toString('base64');
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([...shown, certificate]))
      .digest('base64');
  }
}
