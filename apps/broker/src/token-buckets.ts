/** How fast something may go on, per key: a token bucket for each, in bounded memory. */

export interface Rate {
  /** In the long run. */
  readonly perSecond: number;
  /** How many at once, for a key that has been quiet. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

const maxKeys = 100_000;

export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** False: there is none left. */
  take(key: string, rate: Rate): boolean {
    const bucket = this.#filled(key, rate);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Whether `take` would be refused, without taking. */
  isEmpty(key: string, rate: Rate): boolean {
    return this.#buckets.has(key) && this.#filled(key, rate).tokens < 1;
  }

  #filled(key: string, rate: Rate): Bucket {
    const now = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: rate.burst, at: now };
    bucket.tokens = Math.min(rate.burst, bucket.tokens + ((now - bucket.at) / 1_000) * rate.perSecond);
    bucket.at = now;
    // Seen last stands last: those in front have been quiet longest, and forgetting them costs least.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > maxKeys) this.#forgetOldest();
    return bucket;
  }

  /** Several at once: a Map keeps the empty places of what was deleted for a while, and goes through them to find its first. */
  #forgetOldest(): void {
    let wanted = maxKeys / 256;
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      wanted -= 1;
      if (wanted <= 0) return;
    }
  }
}
