import { countKept, type PlatformTx } from '#store';
import { Failure } from '../failure.js';

/** Of a tenant, in a day. A fleet of a million devices with passwords, uploaded in a day, keeps some 750 MB in 2 000 answers. */
const mostRequests = 100_000;
const mostBytes = 1024 ** 3;

/** A count looks at every row of the tenant's; what this process has kept since is added. */
const countedForMs = 60_000;
const mostCounted = 10_000;

interface Count {
  readonly at: number;
  requests: number;
  bytes: number;
}

/** Whether there is room for one more kept answer of a tenant's. A platform's own are not counted: the disk is its own, too. */
export class KeptRoom {
  readonly #counts = new Map<string, Count>();

  /** Refuses what is not done yet: afterwards its answer could not be refused any more. */
  async require(tx: PlatformTx, tenantId: string | null): Promise<void> {
    if (tenantId === null) return;
    const { requests, bytes } = await this.#count(tx, tenantId);
    if (requests < mostRequests && bytes < mostBytes) return;
    throw new Failure(
      'limit-reached',
      `Of a tenant at most ${mostRequests} requests of a day with an Idempotency-Key are kept, and 1 GiB of their answers: send this one later, or without the key.`,
    );
  }

  taken(tenantId: string | null, bytes: number): void {
    const count = this.#counts.get(tenantId ?? '');
    if (count === undefined) return;
    count.requests += 1;
    count.bytes += bytes;
  }

  async #count(tx: PlatformTx, tenantId: string): Promise<Count> {
    const known = this.#counts.get(tenantId);
    if (known !== undefined && Date.now() - known.at < countedForMs) return known;
    const count = { at: Date.now(), ...(await countKept(tx, tenantId)) };
    if (this.#counts.size >= mostCounted) this.#counts.clear();
    this.#counts.set(tenantId, count);
    return count;
  }
}
