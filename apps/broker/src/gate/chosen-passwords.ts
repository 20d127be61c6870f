import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';

import { chosenPasswordLimits, hashPassword, verifyPassword } from '#access';
import { WorkQueue } from '#process';

export type Verdict = 'right' | 'wrong' | 'busy';

/** One core at least is left to the event loop; 19 MiB each. */
const concurrency = Math.max(1, Math.min(3, availableParallelism() - 1));

/** At some 20 ms each, nobody waits for longer than a client waits for CONNACK. */
const maxWaiting = 200;

/**
 * A fleet that comes back after an outage has been connected for hours. What is remembered is bound to the hash that is
 * stored, so a changed or deleted password counts at once, however long this is.
 */
const rememberedForMs = 24 * 60 * 60 * 1_000;
const maxRemembered = 100_000;
const maxBytes = 4 * chosenPasswordLimits.maxLength;

interface Verified {
  readonly mark: Buffer;
  readonly until: number;
}

/** Passwords that people have chosen: dear to verify, so few at a time, and those verified lately are known again. */
export class ChosenPasswords {
  readonly #secretKey: Buffer;
  readonly #now: () => number;
  readonly #queue: WorkQueue;
  /** Of this process: what is remembered is worth nothing to anybody else, or later. */
  readonly #markKey = createSecretKey(randomBytes(32));
  readonly #verified = new Map<string, Verified>();
  /** How long the last ones took, waiting included: what a wrong password of any kind takes too. */
  readonly #times: number[] = [];
  #nobodys: Promise<string> | undefined;

  constructor(secretKey: Buffer, now: () => number, queue = new WorkQueue(concurrency, maxWaiting)) {
    this.#secretKey = secretKey;
    this.#now = now;
    this.#queue = queue;
  }

  /** `tenantId`: tenants take turns, so that one that is tried at, or tries, does not hold up the others. */
  async verify(
    tenantId: string,
    { id, hash }: { readonly id: string; readonly hash: string },
    password: Buffer,
  ): Promise<Verdict> {
    if (password.length > maxBytes) return this.pass(tenantId);
    const mark = this.#markOf(hash, password);
    if (this.#isKnown(id, mark)) return 'right';
    const isRight = await this.#timed(tenantId, () => verifyPassword(this.#secretKey, password, hash));
    if (isRight === undefined) return 'busy';
    if (isRight) this.#remember(id, mark);
    return isRight ? 'right' : 'wrong';
  }

  /**
   * Takes as long as the verification of a wrong password does at the moment, without its work: who is told that a password is
   * wrong must not learn from the time it took which names there are, and of which kind.
   */
  async pass(tenantId: string | undefined): Promise<Verdict> {
    if (this.#queue.isFullFor(tenantId)) return 'busy';
    const time = this.#times[Math.floor(Math.random() * this.#times.length)];
    if (time === undefined) {
      this.#nobodys ??= hashPassword(this.#secretKey, randomBytes(32));
      const hash = await this.#nobodys;
      const judged = await this.#timed(tenantId, () => verifyPassword(this.#secretKey, '', hash));
      return judged === undefined ? 'busy' : 'wrong';
    }
    await new Promise((resolve) => setTimeout(resolve, time));
    return 'wrong';
  }

  async #timed(tenantId: string | undefined, work: () => Promise<boolean>): Promise<boolean | undefined> {
    const from = performance.now();
    const result = await this.#queue.run(work, tenantId);
    if (result !== undefined) {
      this.#times.push(performance.now() - from);
      if (this.#times.length > 32) this.#times.shift();
    }
    return result;
  }

  #markOf(hash: string, password: Buffer): Buffer {
    return createHmac('sha256', this.#markKey).update(hash).update('\0').update(password).digest();
  }

  #isKnown(credentialId: string, mark: Buffer): boolean {
    const known = this.#verified.get(credentialId);
    if (known === undefined || known.until <= this.#now() || !timingSafeEqual(known.mark, mark)) return false;
    // Used last stands last.
    this.#verified.delete(credentialId);
    this.#verified.set(credentialId, known);
    return true;
  }

  #remember(credentialId: string, mark: Buffer): void {
    this.#verified.delete(credentialId);
    this.#verified.set(credentialId, { mark, until: this.#now() + rememberedForMs });
    if (this.#verified.size <= maxRemembered) return;
    for (const oldest of this.#verified.keys()) {
      this.#verified.delete(oldest);
      return;
    }
  }
}
