/**
 * Who has been let in, and comes again showing the same by the same way, is given the same rights:
 *
 * - **At once, without a question to the store**, as long as this process follows the changes of rights. What a change concerns is
 *   forgotten before anybody live is held against it, so who comes back has what it would have had, had it stayed. Rights that time
 *   alone takes away are looked at by the clock. Only somebody let in is remembered: whoever is to be refused, and whoever shows
 *   anything else than before, is judged by the store. Vouchers are asked for each time: who gives them tells nobody when they are void.
 * - **While the store is away**, for tenants that chose so (`signInGraceS`, 0 by default). The grace counts from the last time that this
 *   process heard every change of rights, and is over with it. A revocation that the process knows of always wins.
 *
 * Kept are a keyed hash over all that was shown, under a key that no other process has, and the grant. No secret is. Decision 0012.
 */
import {
  type Exchange,
  type Gate,
  type Grant,
  type Principal,
  Reasons,
  type Refusal,
  type SignIn,
} from '#mqtt';

import type { Concern, Following } from './following.js';
import { Marks } from './marks.js';
import { Remembered } from './remembered.js';

/** A grant, and by which name of the server it was asked for. */
interface RememberedGrant {
  readonly grant: Grant;
  readonly serverName: string | undefined;
}

/** Some hundred bytes each, beside what the live connection has of it too; at most some kilobytes. */
const mostGrants = 50_000;

export interface JudgingGate extends Gate {
  /**
   * For a client that was given this grant before, and shows the same proofs again: does all of a sign-in but judging the proofs.
   * Undefined: they must be judged.
   */
  readmit(request: SignIn, grant: Grant): Grant | undefined;
  /** What this concerns is read from the store again. */
  forget(concern: Concern): void;
}

export interface RememberingGateOptions {
  readonly gate: JudgingGate;
  readonly following: Following;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** What waits for the store is as much as may: nobody is let in to add to it. */
  readonly isFull: () => boolean;
}

export class RememberingGate implements Gate {
  readonly #options: RememberingGateOptions;
  readonly #marks = new Marks();
  readonly #grants = new Remembered<RememberedGrant>(mostGrants);
  /** Sign-ins that were let in by what was remembered, while every change was known. */
  readmitted = 0;
  /** Sign-ins that were let in without the store. */
  recalled = 0;

  constructor(options: RememberingGateOptions) {
    this.#options = options;
  }

  async admit(request: SignIn): Promise<Grant | Refusal> {
    const place = this.#placeOf(request);
    const readmitted = this.#readmit(place, request);
    if (readmitted !== undefined) return readmitted;
    const { following } = this.#options;
    const { changes } = following;
    const answer = await this.#options.gate.admit(request);
    if (answer.kind === 'granted') {
      // A change that came meanwhile may be about this very grant.
      if (changes === following.changes) this.#remember(place, request, answer);
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

  /** Before a change is applied: whom it concerns has to ask the store again. */
  forget(concern: Concern): void {
    this.#options.following.changes += 1;
    this.#options.gate.forget(concern);
    const { tenantId, includes } = concern;
    this.#grants.forget(tenantId, ({ grant, serverName }) => includes(grant.principal, serverName));
  }

  #remember(place: string, { clientId, serverName }: SignIn, grant: Grant): void {
    // Who leaves its identifier to us is somebody new each time.
    if (clientId === '') return;
    this.#grants.set(place, grant.principal.tenantId, {
      grant: grant.isRemembered === true ? grant : { ...grant, isRemembered: true },
      serverName: serverName?.toLowerCase(),
    });
  }

  #readmit(place: string, request: SignIn): Grant | undefined {
    if (!this.#options.following.isCurrent) return undefined;
    const grant = this.#grants.get(place)?.grant;
    if (grant === undefined || grant.principal.voucher !== undefined) return undefined;
    const { expiresAt = Infinity, reviewAt = Infinity } = grant;
    if (Math.min(expiresAt, reviewAt) <= this.#options.now()) return undefined;
    const again = this.#options.gate.readmit(request, grant);
    if (again !== undefined) this.readmitted += 1;
    return again;
  }

  #recall(place: string): Grant | undefined {
    const grant = this.#grants.get(place)?.grant;
    const { signInGraceMs: graceMs = 0 } = grant ?? {};
    if (grant === undefined || graceMs === 0 || this.#options.isFull()) return undefined;
    if (this.#options.following.agoMs > graceMs) return undefined;
    if (grant.expiresAt !== undefined && grant.expiresAt <= this.#options.now()) return undefined;
    this.recalled += 1;
    return { ...grant, isRemembered: false, withoutStore: true }; // there is nobody who could be asked
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
    const shown = [
      clientId,
      username,
      password?.toString('latin1'),
      transport,
      remoteAddress,
      serverName,
      peerCertificate?.leaf.toString('base64'),
      peerCertificate?.intermediates.map((certificate) => certificate.toString('base64')),
    ];
    return this.#marks.of(JSON.stringify(shown));
  }
}
