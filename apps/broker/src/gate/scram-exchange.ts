import { type ScramMethod, ScramServer, type ScramVerifier, scramVerifiersSchema } from '#access';
import {
  type Challenge,
  type Exchange,
  type Grant,
  Reasons,
  type Refusal,
  type SignIn,
  type TenantId,
} from '#mqtt';
import type { DirectoryEntry } from '#store';

import { type Holder, type Proof, tooManyFailures } from './proof.js';

/** What the exchange asks of the gate. */
export interface ScramDesk {
  isThrottled(username: string): boolean;
  find(username: string): Promise<DirectoryEntry | undefined>;
  /** What a user who is not there is challenged with. */
  nobody(username: string): ScramVerifier;
  admit(proof: Proof): Promise<Grant | Refusal>;
}

/**
 * SCRAM as an enhanced authentication (MQTT 5.0, 4.12): client-first in CONNECT, or in the AUTH that begins a re-authentication;
 * one challenge; the server's signature with the success. Whoever is unknown, or has a credential without a verifier, is
 * challenged like everybody and refused at the end: what was wrong is told to the tenant alone, in its denials.
 */
export class ScramExchange implements Exchange {
  readonly #method: ScramMethod;
  readonly #request: SignIn;
  readonly #desk: ScramDesk;
  #server: ScramServer | undefined;
  #entry: DirectoryEntry | undefined;
  #hasVerifier = false;

  constructor(method: ScramMethod, request: SignIn, desk: ScramDesk) {
    this.#method = method;
    this.#request = request;
    this.#desk = desk;
  }

  /** As the client named it, once it has. */
  get username(): string | undefined {
    return this.#server?.username;
  }

  async next(data: Buffer | undefined): ReturnType<Exchange['next']> {
    const server = this.#server;
    return server === undefined ? this.#begin(data) : this.#finish(server, data);
  }

  async #begin(data: Buffer | undefined): Promise<Challenge | Refusal> {
    const server = ScramServer.begin(this.#method, data);
    if ('fault' in server) return this.#refuse(server.fault);
    this.#server = server;
    const { username } = server;
    if (this.#request.username !== undefined && this.#request.username !== username) {
      return this.#refuse('CONNECT names another user than the exchange');
    }
    if (this.#desk.isThrottled(username)) return tooManyFailures;
    this.#entry = await this.#desk.find(username);
    const verifier = this.#verifierOf(this.#entry?.holder);
    this.#hasVerifier = verifier !== undefined;
    return { kind: 'challenge', data: server.challenge(verifier ?? this.#desk.nobody(username)) };
  }

  #verifierOf(holder: Holder | undefined): ScramVerifier | undefined {
    const kept = scramVerifiersSchema.safeParse(holder?.credential.scram);
    return kept.success ? kept.data[this.#method] : undefined;
  }

  async #finish(server: ScramServer, data: Buffer | undefined): ReturnType<Exchange['next']> {
    const answer = server.finish(data);
    const entry = this.#entry;
    if (entry === undefined) return this.#refuse('unknown tenant');
    if (entry.holder === undefined) return this.#refuse('unknown credential');
    if (!this.#hasVerifier)
      return this.#refuse(`the credential is older than ${this.#method} here: rotate it`);
    if ('fault' in answer) return this.#refuse(answer.fault);
    const grant = await this.#desk.admit({ kind: 'proof', entry, holder: entry.holder });
    return grant.kind === 'granted' ? { grant, data: answer } : grant;
  }

  #refuse(detail: string): Refusal {
    const tenantId = this.#entry?.tenant.id as TenantId | undefined;
    // CONNECT need not name the user, and a tenant wants to know who it was.
    const as = this.#server === undefined ? '' : ` as ${this.#server.username}`;
    return {
      kind: 'refused',
      reason: Reasons.badUserNameOrPassword,
      detail: `${this.#method}${as}: ${detail}`,
      tenantId,
    };
  }
}
