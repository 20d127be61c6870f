import { generateSecret, hashSecret, verifySecret } from '#access';
import { Reasons, type Refusal } from '#mqtt';
import type { Directory } from '#store';

import { type Proof, refuse } from './proof.js';

/** Holds passwords against what is kept of them. */
export class Passwords {
  readonly #directory: Directory;
  readonly #secretKey: Buffer;
  /** What an unknown user's password is compared with: as long as a known one's takes. */
  readonly #nobodysHash: Buffer;

  constructor(directory: Directory, secretKey: Buffer) {
    this.#directory = directory;
    this.#secretKey = secretKey;
    this.#nobodysHash = hashSecret(secretKey, generateSecret());
  }

  async verify(slug: string, authId: string, password: Buffer | undefined): Promise<Proof | Refusal> {
    const entry = await this.#directory.findByName(slug, authId);
    const holder = entry?.holder;
    const hash = holder?.credential.secretHash ?? this.#nobodysHash;
    const isRight = verifySecret(this.#secretKey, password ?? '', hash);
    const no = (detail: string): Refusal => refuse(Reasons.badUserNameOrPassword, detail, entry);
    if (entry === undefined) return no('unknown tenant');
    if (holder === undefined) return no('unknown credential');
    if (!isRight) return no('wrong password');
    return { kind: 'proof', entry, holder };
  }
}
