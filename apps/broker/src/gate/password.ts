import type { KeyObject } from 'node:crypto';

import { generateSecret, hashSecret, prepareSecretKey, verifySecret } from '#access';
import { Reasons, type Refusal } from '#mqtt';
import type { DirectoryEntry } from '#store';

import { ChosenPasswords, type Verdict } from './chosen-passwords.js';
import type { KnownHolder } from './known-holders.js';
import { Marks } from './marks.js';
import { type Holder, type Proof, refuse } from './proof.js';

const nothing = Buffer.alloc(0);

/** Holds passwords against what is kept of them. */
export class Passwords {
  readonly #secretKey: KeyObject;
  readonly #chosen: ChosenPasswords;
  readonly #marks = new Marks();
  /** What an unknown user's password is compared with. */
  readonly #nobodysHash: Buffer;

  constructor(secretKey: Buffer, chosen: ChosenPasswords) {
    this.#secretKey = prepareSecretKey(secretKey);
    this.#chosen = chosen;
    this.#nobodysHash = hashSecret(this.#secretKey, generateSecret());
  }

  async verify(entry: DirectoryEntry | undefined, password: Buffer = nothing): Promise<Proof | Refusal> {
    const holder = entry?.holder;
    const verdict = await this.#judge(entry?.tenant.id, holder?.credential, password);
    const no = (detail: string): Refusal => refuse(Reasons.badUserNameOrPassword, detail, entry);
    if (verdict === 'busy') return refuse(Reasons.serverBusy, 'too many passwords are being verified', entry);
    if (entry === undefined) return no('unknown tenant');
    if (holder === undefined) return no('unknown credential');
    if (verdict === 'wrong') return no('wrong password');
    return { kind: 'proof', entry, holder };
  }

  /** Of a password that was found right, for `recognise`. */
  markOf(password: Buffer = nothing): string {
    return this.#marks.of(password.toString('latin1'));
  }

  /** Whether it is the password that was found right before. A no is told at once too: it is for the store to refuse. */
  recognise(known: KnownHolder | undefined, password: Buffer = nothing): Proof | undefined {
    const holder = known?.entry.holder;
    if (known === undefined || holder === undefined || known.mark !== this.markOf(password)) return undefined;
    return { kind: 'proof', entry: known.entry, holder };
  }

  async #judge(
    tenantId: string | undefined,
    credential: Holder['credential'] | undefined,
    password: Buffer,
  ): Promise<Verdict> {
    if (tenantId !== undefined && credential !== undefined && credential.passwordHash !== null) {
      const { id, passwordHash: hash } = credential;
      return this.#chosen.verify(tenantId, { id, hash }, password);
    }
    const hash = credential?.secretHash ?? this.#nobodysHash;
    return verifySecret(this.#secretKey, password, hash) ? 'right' : this.#chosen.pass(tenantId);
  }

  /** For who is refused by other proofs than passwords, to take as long. */
  async dawdle(tenantId: string): Promise<void> {
    await this.#chosen.pass(tenantId);
  }
}
