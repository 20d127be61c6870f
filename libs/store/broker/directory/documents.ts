/** What do policies say? One version of one does not change: it is read once, and is the same object as long as it is remembered. */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import { gather } from './gather.js';

/** One version of a policy. Immutable, and the same object as long as it is remembered. */
export interface DirectoryDocument {
  readonly policyId: string;
  readonly name: string;
  readonly version: number;
  /** As stored. */
  readonly rules: unknown;
}

/** Names one version of a policy. */
export interface PolicyVersionKey {
  readonly tenantId: string;
  readonly policyId: string;
  readonly name: string;
  readonly version: number;
}

/** Remembered at once. */
const maxDocuments = 10_000;

export class Documents {
  readonly #pool: Pool;
  readonly #versions: DataLoader<PolicyVersionKey, DirectoryDocument | undefined, string>;
  readonly #known = new Map<string, DirectoryDocument>();

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#versions = gather((keys) => this.#read(keys));
  }

  async of(versions: readonly PolicyVersionKey[]): Promise<readonly DirectoryDocument[] | undefined> {
    const documents = await Promise.all(versions.map((version) => this.#document(version)));
    const there = documents.filter((document) => document !== undefined);
    return there.length < documents.length ? undefined : there;
  }

  async activeVersion(tenantId: string, policyId: string): Promise<PolicyVersionKey | undefined> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<{ name: string; version: number }>(
        'SELECT name, active_version AS version FROM policies WHERE tenant_id = $1 AND id = $2',
        [tenantId, policyId],
      ),
    );
    return rows[0] && { tenantId, policyId, ...rows[0] };
  }

  async #document(version: PolicyVersionKey): Promise<DirectoryDocument | undefined> {
    const key = keyOf(version);
    const known = this.#known.get(key);
    if (known !== undefined) {
      // Used last stands last.
      this.#known.delete(key);
      this.#known.set(key, known);
      return known;
    }
    const read = await this.#versions.load(version);
    // Whoever read it first gave it its identity: policies compiled from it are found by that.
    const first = this.#known.get(key) ?? read;
    if (first !== undefined) this.#remember(key, first);
    return first;
  }

  #remember(key: string, document: DirectoryDocument): void {
    this.#known.set(key, document);
    if (this.#known.size <= maxDocuments) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }

  async #read(keys: readonly PolicyVersionKey[]): Promise<(DirectoryDocument | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<{ place: string; rules: unknown }>(readVersions, [
        keys.map((key) => key.tenantId),
        keys.map((key) => key.policyId),
        keys.map((key) => key.version),
      ]),
    );
    const documents: (DirectoryDocument | undefined)[] = keys.map(() => undefined);
    for (const { place, rules } of rows) {
      const key = keys[Number(place) - 1];
      if (key === undefined) continue;
      const { policyId, name, version } = key;
      documents[Number(place) - 1] = Object.freeze({ policyId, name, version, rules });
    }
    return documents;
  }
}

const readVersions = `
  SELECT asked.place, v.rules
    FROM unnest($1::uuid[], $2::uuid[], $3::int[]) WITH ORDINALITY AS asked (tenant_id, policy_id, number, place)
    JOIN policy_versions v
      ON v.tenant_id = asked.tenant_id AND v.policy_id = asked.policy_id AND v.number = asked.number`;

function keyOf({ tenantId, policyId, name, version }: PolicyVersionKey): string {
  return `${tenantId} ${policyId} ${version} ${name}`;
}
