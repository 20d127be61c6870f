/** Whose certificates does a tenant trust, and which of them no more? */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import { gather } from './gather.js';

/** A certificate authority whose key a tenant has proven to have. */
export interface DirectoryAnchor {
  readonly tenantId: string;
  readonly tenantSlug: string;
  readonly id: string;
  readonly certificate: Buffer;
  /** As stored. */
  readonly identity: unknown;
  /** Unknown devices under it may register themselves. */
  readonly provisions: boolean;
  /** Its revocation lists are where its certificates say. */
  readonly followsCertificates: boolean;
}

/** What certificates may be recognised by: hashes in hexadecimal. */
export interface AnchorQuery {
  readonly keyIds: readonly string[];
  readonly spkiHashes: readonly string[];
  readonly subjectHashes: readonly string[];
}

/** What an anchor's revocation list says of one certificate. */
export interface DirectoryRevocation {
  readonly isRevoked: boolean;
  /** Of the list; of one that is still to be fetched for the first time: when it should be there. */
  readonly nextUpdate: number | undefined;
  readonly whenStale: 'refuse' | 'grace' | 'ignore';
  readonly graceMs: number;
  /** Undefined: its responder is not to be asked. */
  readonly ocsp: DirectoryOcsp | undefined;
}

export interface DirectoryOcsp {
  /** Whether its silence lets in. */
  readonly mode: 'soft' | 'hard';
  /** Undefined: where the certificate says. */
  readonly url: string | undefined;
  /** The anchor's, DER: the answer has to be in its name. */
  readonly certificate: Buffer;
}

export class Anchors {
  readonly #pool: Pool;
  readonly #revocations: DataLoader<RevocationKey, DirectoryRevocation | undefined, string>;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#revocations = gather((keys) => this.#readRevocations(keys));
  }

  async of(tenantId: string): Promise<readonly DirectoryAnchor[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<AnchorRow>(`${anchorColumns} AND a.tenant_id = $1`, [tenantId]),
    );
    return rows.map(toAnchor);
  }

  async by({ keyIds, spkiHashes, subjectHashes }: AnchorQuery): Promise<readonly DirectoryAnchor[]> {
    const hashes = [keyIds, spkiHashes, subjectHashes].map((of) => of.map((hex) => Buffer.from(hex, 'hex')));
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<AnchorRow>({ name: 'anchors', text: `${anchorColumns} ${byHashes}`, values: hashes }),
    );
    return rows.map(toAnchor);
  }

  revocation(tenantId: string, anchorId: string, serial: string): Promise<DirectoryRevocation | undefined> {
    return this.#revocations.load({ tenantId, anchorId, serial });
  }

  /** Where a certificate of the anchor says that its revocation lists are; noted once. */
  async noteListPlace(tenantId: string, anchorId: string, url: string): Promise<void> {
    await withStoreErrors(() =>
      this.#pool.query({ name: 'note-list-place', text: notePlace, values: [tenantId, anchorId, url] }),
    );
  }

  async #readRevocations(keys: readonly RevocationKey[]): Promise<(DirectoryRevocation | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<RevocationRow>({
        name: 'revocations',
        text: readRevocations,
        values: [
          keys.map((key) => key.tenantId),
          keys.map((key) => key.anchorId),
          keys.map((key) => key.serial),
        ],
      }),
    );
    const found: (DirectoryRevocation | undefined)[] = keys.map(() => undefined);
    for (const row of rows) {
      found[Number(row.place) - 1] = {
        isRevoked: row.is_revoked,
        nextUpdate: row.next_update?.getTime(),
        whenStale: row.when_stale,
        graceMs: row.grace_s * 1_000,
        ocsp: ocspOf(row),
      };
    }
    return found;
  }
}

interface RevocationKey {
  readonly tenantId: string;
  readonly anchorId: string;
  readonly serial: string;
}

interface RevocationRow {
  readonly place: string;
  readonly is_revoked: boolean;
  readonly next_update: Date | null;
  readonly when_stale: DirectoryRevocation['whenStale'];
  readonly grace_s: number;
  readonly ocsp: 'off' | DirectoryOcsp['mode'];
  readonly ocsp_url: string | null;
  readonly certificate: Buffer | null;
}

interface AnchorRow {
  readonly tenant_id: string;
  readonly slug: string;
  readonly id: string;
  readonly certificate: Buffer;
  readonly identity: unknown;
  readonly provisions: boolean;
  readonly follows_certificates: boolean;
}

const anchorColumns = `
  SELECT a.tenant_id, t.slug, a.id, a.certificate, a.identity,
         EXISTS (SELECT FROM provisioning_rules r
                  WHERE r.tenant_id = a.tenant_id AND r.anchor_id = a.id AND r.enabled) AS provisions,
         a.crl_from_certificates AS follows_certificates
    FROM trust_anchors a JOIN tenants t ON t.id = a.tenant_id
   WHERE a.proven_at IS NOT NULL`;

// Each of three indexes by itself; an OR over them would read them all.
const byHashes = `
     AND (a.tenant_id, a.id) IN (
       SELECT tenant_id, id FROM trust_anchors WHERE key_id = ANY($1::bytea[])
       UNION SELECT tenant_id, id FROM trust_anchors WHERE spki_hash = ANY($2::bytea[])
       UNION SELECT tenant_id, id FROM trust_anchors WHERE subject_hash = ANY($3::bytea[]))
   ORDER BY a.proven_at LIMIT 200`;

const readRevocations = `
  SELECT asked.place, coalesce(a.crl_next_update, a.crl_expected_at) AS next_update, a.crl_when_stale AS when_stale, a.crl_grace_s AS grace_s,
         a.ocsp, a.ocsp_url, CASE WHEN a.ocsp <> 'off' THEN a.certificate END AS certificate,
         EXISTS (SELECT FROM revoked_certificates r
                  WHERE r.tenant_id = a.tenant_id AND r.anchor_id = a.id AND r.serial = asked.serial) AS is_revoked
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS asked (tenant_id, anchor_id, serial, place)
    JOIN trust_anchors a ON a.tenant_id = asked.tenant_id AND a.id = asked.anchor_id AND a.proven_at IS NOT NULL`;

// An authority with many shards names many places: the lists of parts are not taken, and each place costs a call every hour.
const mostPlaces = 4;

const notePlace = `
  INSERT INTO crl_sources (tenant_id, anchor_id, url, origin)
  SELECT $1::uuid, $2::uuid, $3::text, 'certificate'
   WHERE (SELECT count(*) FROM crl_sources WHERE tenant_id = $1::uuid AND anchor_id = $2::uuid) < ${mostPlaces}
  ON CONFLICT DO NOTHING`;

function toAnchor(row: AnchorRow): DirectoryAnchor {
  const { tenant_id: tenantId, slug: tenantSlug, follows_certificates: followsCertificates, ...anchor } = row;
  return { tenantId, tenantSlug, followsCertificates, ...anchor };
}

function ocspOf({ ocsp: mode, ocsp_url: url, certificate }: RevocationRow): DirectoryOcsp | undefined {
  return mode === 'off' || certificate === null ? undefined : { mode, url: url ?? undefined, certificate };
}
