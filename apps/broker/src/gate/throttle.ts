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
    return (
      this.#failures.isEmpty(address, failuresFromAddress) ||
      this.#failures.isEmpty(`${address} ${username ?? ''}`, failuresOfUser)
    );
  }

  noteFailure(username: string | undefined, address: string, refusal: Refusal): void {
    if (isLoopback(address) || !countsAsFailure(refusal)) return;
    this.#failures.take(address, failuresFromAddress);
    this.#failures.take(`${address} ${username ?? ''}`, failuresOfUser);
  }
}

/** A store that is down is no failure of the client's, and who is throttled already is not counted again. */
function countsAsFailure({ reason }: Refusal): boolean {
  return reason !== Reasons.serverUnavailable && reason !== Reasons.connectionRateExceeded;
}
