import { Reasons } from './reason.js';
import type { Session } from './session.js';

const gatherMs = 250;

/**
 * Tells a tenant of messages that a session's queue had no room for: of the first at once, then of those of 250 ms together. A record for
 * each message cost more than delivering it would have, when a flood met twenty full queues.
 */
export class Drops {
  readonly #session: Session;
  /** Since the tenant was told last; undefined: none was lately. */
  #untold: number | undefined = undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  note(): void {
    if (this.#untold !== undefined) {
      this.#untold += 1;
      return;
    }
    this.#untold = 0;
    this.#tell(1);
    this.#session.space.clock.after(gatherMs, () => {
      const count = this.#untold ?? 0;
      this.#untold = undefined;
      if (count > 0) this.#tell(count);
    });
  }

  #tell(count: number): void {
    const { space, clientId, principal, limits } = this.#session;
    space.journal.denied({
      tenantId: principal.tenantId,
      deviceId: principal.deviceId,
      clientId,
      username: principal.username,
      remoteAddress: '',
      action: 'receive',
      topic: '',
      reason: Reasons.quotaExceeded,
      detail: `queue over the limit of ${limits.maxQueuedMessages} messages or ${limits.maxQueuedBytes} bytes`,
      at: space.clock.now(),
      count,
    });
  }
}
