import { normalizeAddress } from '#access';

import { type Rate, TokenBuckets } from '../token-buckets.js';

/** Of a whole site behind one address, back within seconds of an outage; a single attacker is slowed. */
const acceptRate: Rate = { perSecond: 200, burst: 1_000 };

/** Benchmarks, test suites and first steps come from here, thousands a second; whoever is on the machine is not kept out. */
const loopbackRate: Rate = { perSecond: 100_000, burst: 100_000 };

export type Denied = 'too-many-connections' | 'rate';

/** Who may open a connection at all: before TLS, before the first byte is read. One for all listeners of the process. */
export class Admission {
  readonly #maxConnections: number;
  readonly #rates: TokenBuckets;
  #open = 0;

  constructor(maxConnections: number, rates: TokenBuckets = new TokenBuckets()) {
    this.#maxConnections = maxConnections;
    this.#rates = rates;
  }

  get open(): number {
    return this.#open;
  }

  /** Undefined: admitted; `leave` must follow when the connection ends. */
  enter(address: string): Denied | undefined {
    if (this.#open >= this.#maxConnections) return 'too-many-connections';
    if (!this.isInRate(address)) return 'rate';
    this.#open += 1;
    return undefined;
  }

  /** As `enter`, for a proxy in which many clients have one address: `isInRate` is asked when it has said whose it is. */
  enterProxied(): Denied | undefined {
    if (this.#open >= this.#maxConnections) return 'too-many-connections';
    this.#open += 1;
    return undefined;
  }

  isInRate(address: string): boolean {
    return this.#rates.take(address, isLoopback(address) ? loopbackRate : acceptRate);
  }

  leave(): void {
    this.#open -= 1;
  }
}

/** What the operating system lets this process open, less what it needs for itself (database, log, listeners). */
export function maxConnectionsOf(openFiles: number | 'unlimited' | undefined): number {
  return typeof openFiles === 'number' && openFiles > 0 ? Math.max(16, openFiles - 256) : 1_000_000;
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** An IPv4 client of a dual-stack listener looks like `::ffff:192.0.2.1`, or `::ffff:c000:201`: it is the same client. */
export function plainAddress(address: string): string {
  return address.includes(':') ? (normalizeAddress(address) ?? address) : address;
}
