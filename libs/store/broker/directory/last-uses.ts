/** When and from where were credentials last used? Written down within seconds: it is for people, not for decisions. */
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';

const noteEveryMs = 5_000;
/** In one statement: it is made ready on the event loop, which took 30 to 90 ms for a fleet of ten thousand that had come at once. */
const mostAtOnce = 500;

export class LastUses {
  readonly #pool: Pool;
  readonly #onError: (error: unknown) => void;
  #uses = new Map<string, Use>();
  #noting: NodeJS.Timeout | undefined;
  /** One after the other: two at once would wait for each other's rows. */
  #writing: Promise<void> = Promise.resolve();

  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#onError = onError;
  }

  note(tenantId: string, credentialId: string, remoteAddress: string, at: number): void {
    this.#uses.set(`${tenantId} ${credentialId}`, { tenantId, credentialId, remoteAddress, at });
    this.#noting ??= setTimeout(() => void this.write(), noteEveryMs).unref();
  }

  /** Resolves when all that was noted is written, or lost. */
  write(): Promise<void> {
    clearTimeout(this.#noting);
    this.#noting = undefined;
    const uses = [...this.#uses.values()];
    this.#uses = new Map();
    this.#writing = this.#writing.then(() => this.#write(uses));
    return this.#writing;
  }

  async #write(uses: readonly Use[]): Promise<void> {
    try {
      for (let at = 0; at < uses.length; at += mostAtOnce)
        await this.#update(uses.slice(at, at + mostAtOnce));
    } catch (error) {
      // Safe to go on without: the next use of the credential says the same.
      this.#onError(error);
    }
  }

  async #update(uses: readonly Use[]): Promise<void> {
    await withStoreErrors(() =>
      this.#pool.query(noteUses, [
        uses.map((use) => use.tenantId),
        uses.map((use) => use.credentialId),
        uses.map((use) => use.remoteAddress),
        uses.map((use) => new Date(use.at)),
      ]),
    );
  }
}

interface Use {
  readonly tenantId: string;
  readonly credentialId: string;
  readonly remoteAddress: string;
  readonly at: number;
}

const noteUses = `
  UPDATE credentials c SET last_used_at = used.at, last_used_from = used.address
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[]) AS used (tenant_id, credential_id, address, at)
   WHERE c.tenant_id = used.tenant_id AND c.id = used.credential_id`;
