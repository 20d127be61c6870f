/** The client's side of SCRAM, written from RFC 5802 alone. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

import type { ScramMethod } from '#access';

export class ScramClient {
  readonly #hash: 'sha256' | 'sha512';
  readonly #password: string;
  readonly #bare: string;
  #signature = '';

  constructor(method: ScramMethod, username: string, password: string) {
    this.#hash = method === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
    this.#password = password;
    const name = username.replaceAll('=', '=3D').replaceAll(',', '=2C');
    this.#bare = `n=${name},r=${randomBytes(12).toString('base64')}`;
  }

  /** client-first-message. */
  first(): Buffer {
    return Buffer.from(`n,,${this.#bare}`);
  }

  /** client-final-message for the server's challenge. */
  final(challenge: Buffer): Buffer {
    const fields = new Map(
      challenge
        .toString()
        .split(',')
        .map((field) => [field[0], field.slice(2)]),
    );
    const salt = Buffer.from(fields.get('s') ?? '', 'base64');
    const bytes = this.#hash === 'sha256' ? 32 : 64;
    const salted = pbkdf2Sync(this.#password, salt, Number(fields.get('i')), bytes, this.#hash);
    const clientKey = this.#hmac(salted, 'Client Key');
    const withoutProof = `c=biws,r=${fields.get('r')}`;
    const authMessage = `${this.#bare},${challenge.toString()},${withoutProof}`;
    const signature = this.#hmac(createHash(this.#hash).update(clientKey).digest(), authMessage);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0)));
    this.#signature = `v=${this.#hmac(this.#hmac(salted, 'Server Key'), authMessage).toString('base64')}`;
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Whether server-final-message proves that the server knows the verifier. */
  trusts(data: Buffer | undefined): boolean {
    return this.#signature !== '' && data?.toString() === this.#signature;
  }

  #hmac(key: Buffer, data: string): Buffer {
    return createHmac(this.#hash, key).update(data).digest();
  }
}
