/** Who may open a connection at all: before TLS, before the first byte is read. */

export interface AdmissionLimits {
  /** Open connections of this process, on all listeners together. */
  readonly maxConnections: number;
  /** New connections a second from one address, in the long run. */
  readonly acceptRate: number;
  /** New connections at once from one address that has been quiet. */
  readonly acceptBurst: number;
}

export const defaultAdmissionLimits: Omit<AdmissionLimits, 'maxConnections'> = Object.freeze({
  // A whole site may sit behind one address: its devices are back within seconds of an outage, a single attacker is slowed.
  acceptRate: 200,
  acceptBurst: 1_000,
});

/** Benchmarks, test suites and first steps come from here, thousands a second; whoever is on the machine is not kept out. */
const loopbackRate = 100_000;
const maxAddresses = 100_000;

export type Denied = 'too-many-connections' | 'rate';

interface Bucket {
  tokens: number;
  at: number;
}

/** Counts open connections and, per address, how fast new ones come (a token bucket). */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();
  #open = 0;

  constructor(limits: AdmissionLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  get open(): number {
    return this.#open;
  }

  /** Undefined: admitted; `leave` must follow when the connection ends. */
  enter(address: string): Denied | undefined {
    if (this.#open >= this.#limits.maxConnections) return 'too-many-connections';
    if (!this.#take(address)) return 'rate';
    this.#open += 1;
    return undefined;
  }

  leave(): void {
    this.#open -= 1;
  }

  #take(address: string): boolean {
    const loopback = isLoopback(address);
    const rate = loopback ? loopbackRate : this.#limits.acceptRate;
    const burst = loopback ? loopbackRate : this.#limits.acceptBurst;
    const now = this.#now();
    const bucket = this.#buckets.get(address) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1_000) * rate);
    bucket.at = now;
    // Seen last stands last: those at the front have been quiet longest, and forgetting them costs least.
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size > maxAddresses) this.#forgetOldest();
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #forgetOldest(): void {
    for (const address of this.#buckets.keys()) {
      this.#buckets.delete(address);
      return;
    }
  }
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** An IPv4 client of a dual-stack listener looks like `::ffff:192.0.2.1`: it is the same client. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
