import { type Exchange, type Grant, Reasons, type Refusal } from '#mqtt';

/** The name of our own method (MQTT 5.0, 4.12): the Authentication Data is a token, nothing comes back. */
export const tokenMethod = 'MOORAGE-JWT';

/**
 * One step: the token, in CONNECT or in the AUTH that begins a re-authentication. What it is for: a client that has connected by
 * this method brings its next token before the one it has ends, and stays connected.
 */
export class TokenExchange implements Exchange {
  readonly #admit: (token: Buffer) => Promise<Grant | Refusal>;

  constructor(admit: (token: Buffer) => Promise<Grant | Refusal>) {
    this.#admit = admit;
  }

  async next(data: Buffer | undefined): ReturnType<Exchange['next']> {
    if (data === undefined) {
      const detail = `${tokenMethod}: no token`;
      return { kind: 'refused', reason: Reasons.badUserNameOrPassword, detail, tenantId: undefined };
    }
    const grant = await this.#admit(data);
    return grant.kind === 'granted' ? { grant, data: undefined } : grant;
  }
}
