import { createHash } from 'node:crypto';

import { type Certificate, readCertificate } from '#access';

/**
 * What certificates say, by the SHA-256 of their DER: reading one takes milliseconds, and who comes again shows the same. Nothing
 * that is judged is kept here. Those read last stay.
 */
export class ReadCertificates {
  readonly #most: number;
  readonly #known = new Map<string, Certificate>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Undefined: it cannot be read. */
  read(der: Buffer): Certificate | undefined {
    return this.#known.get(createHash('sha256').update(der).digest('hex')) ?? readCertificate(der);
  }

  /** Strangers show what they like: for the caller to say whose is worth keeping. */
  keep(certificate: Certificate): void {
    this.#known.delete(certificate.fingerprint);
    this.#known.set(certificate.fingerprint, certificate);
    if (this.#known.size <= this.#most) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}
