import { type Refusal, Reasons } from '#mqtt';

import { isLoopback } from '../listeners/admission.js';
import { type Rate, TokenBuckets } from '../token-buckets.js';

/** Failed sign-ins. A site with many wrong devices must not lock out its right ones at once; a guesser gets nowhere near 256 bits. */
const failuresFromAddress: Rate = { perSecond: 100, burst: 1_000 };

/** By one username from one address: a device that retries for ever. The address counts, so that nobody locks out another's device. */
const failuresOfUser: Rate = { perSecond: 0.5, burst: 30 };

/** Slows down whoever fails to sign in again and again. */
export class Throttle {
  readonly #failures = new TokenBuckets();

  isThrottled(username: string | undefined, address: string): boolean {
    if (isLoopback(address)) return false;
    const network = networkOf(address);
    return (
      this.#failures.isEmpty(network, failuresFromAddress) ||
      this.#failures.isEmpty(`${network} ${username ?? ''}`, failuresOfUser)
    );
  }

  noteFailure(username: string | undefined, address: string, refusal: Refusal): void {
    if (isLoopback(address) || !countsAsFailure(refusal)) return;
    const network = networkOf(address);
    this.#failures.take(network, failuresFromAddress);
    this.#failures.take(`${network} ${username ?? ''}`, failuresOfUser);
  }
}

/** What is down or busy is no failure of the client's, and who is throttled already is not counted again. */
function countsAsFailure({ reason }: Refusal): boolean {
  return (
    reason !== Reasons.serverUnavailable &&
    reason !== Reasons.serverBusy &&
    reason !== Reasons.connectionRateExceeded
  );
}

/** Whoever has one address of IPv6 has the 2^64 of its network; of IPv4, the address itself. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [zoneless = ''] = address.split('%');
  const [head = '', tail] = zoneless.split('::');
  const before = head === '' ? [] : head.split(':');
  // A tail that ends in IPv4 has one group less than it stands for; it is not among the first four.
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [
    ...before,
    ...Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0'),
    ...after,
  ];
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}
