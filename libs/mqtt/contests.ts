/**
 * Two clients that use one client identifier take the connection from each other for ever, each as fast as it reconnects. Once
 * an identifier has changed hands too often in a minute, whoever holds it keeps it for a while, and newcomers are held off: one of
 * the two works again, the tenant sees a denial, and the other comes in no more than now and then.
 */
import type { ClientId } from './message.js';

const windowMs = 60_000;
const holdOffMs = 30_000;
/** Identifiers that were taken over in the last minute; of more, the oldest are forgotten. */
const mostContests = 10_000;

interface Contest {
  taken: number;
  readonly since: number;
  heldUntil: number;
}

export class Contests {
  /** Oldest first. */
  readonly #contests = new Map<ClientId, Contest>();

  /** Whether a newcomer may take the identifier from the connection that has it; if so, it counts. `most` 0: without limit. */
  take(clientId: ClientId, most: number, now: number): boolean {
    if (most === 0) return true;
    let contest = this.#contests.get(clientId);
    if (contest !== undefined && now < contest.heldUntil) return false;
    const isOver = contest !== undefined && (contest.heldUntil > 0 || now - contest.since >= windowMs);
    if (contest === undefined || isOver) {
      this.#contests.delete(clientId);
      this.#contests.set(clientId, (contest = { taken: 0, since: now, heldUntil: 0 }));
      if (this.#contests.size > mostContests) this.#forgetOldest();
    }
    if (contest.taken >= most) {
      contest.heldUntil = now + holdOffMs;
      return false;
    }
    contest.taken += 1;
    return true;
  }

  get size(): number {
    return this.#contests.size;
  }

  #forgetOldest(): void {
    for (const clientId of this.#contests.keys()) {
      this.#contests.delete(clientId);
      return;
    }
  }
}
