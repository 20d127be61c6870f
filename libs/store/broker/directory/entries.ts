/** Who is it? A credential with its tenant, its device and the policies that bind it, by name, by id or by certificate. */
import type DataLoader from 'dataloader';
import type { Pool } from 'pg';

import { withStoreErrors } from '../../database/errors.js';
import type { PolicyVersionKey } from './documents.js';
import { gather } from './gather.js';

export interface DirectoryTenant {
  readonly id: string;
  readonly slug: string;
  readonly status: 'active' | 'suspended';
  /** As stored: overrides of limits by name, and settings. */
  readonly limits: unknown;
  readonly settings: unknown;
  /** Address rules, as stored. */
  readonly addresses: unknown;
}

export interface DirectoryDevice {
  readonly id: string;
  readonly name: string;
  readonly status: 'active' | 'disabled';
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Telemetry rules of its profile, as stored. */
  readonly telemetry: unknown;
  /** Address rules, as stored. */
  readonly addresses: unknown;
}

export interface DirectoryCredential {
  readonly id: string;
  readonly kind: 'password' | 'certificate' | 'token' | 'external';
  readonly authId: string;
  /** Of a password that was generated; null of anything else. */
  readonly secretHash: Buffer | null;
  /** Of a password that somebody has chosen. */
  readonly passwordHash: string | null;
  /** Of tokens that the device signs itself: JWK, as stored. */
  readonly publicKey: unknown;
  /** Of tokens by an issuer: the one; null: any of the tenant's, where there is no key. */
  readonly issuerId: string | null;
  /** Verifiers for SCRAM, as stored; null where there are none. */
  readonly scram: unknown;
  readonly clientIdRule: unknown;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
  readonly disabledAt: number | undefined;
  /** It is a certificate that is known by itself, and needs no anchor. One that the platform has issued needs its own. */
  readonly isPinned: boolean;
}

/** By what the credential of a certificate is found, within one tenant. */
export interface CertificateQuery {
  readonly tenantId: string;
  /** SHA-256 of the certificate, hexadecimal: a credential that pins it goes first. */
  readonly fingerprint: string;
  /** The anchor it leads to. */
  readonly anchorId: string | undefined;
  /** The name it carries there. */
  readonly named: { readonly kind: 'device' | 'authId'; readonly value: string } | undefined;
  /** Of several that fit, one that is valid now goes first. */
  readonly now: number;
}

/** A tenant without the credential: the tenant is there, the credential is not. */
export interface DirectoryEntry {
  readonly tenant: DirectoryTenant;
  readonly holder:
    | {
        readonly credential: DirectoryCredential;
        readonly device: DirectoryDevice;
        /** Active versions of all policies bound to the device, its groups, its profile and its tenant, by policy id. */
        readonly versions: readonly PolicyVersionKey[];
      }
    | undefined;
}

type Loader = DataLoader<readonly [string, string], DirectoryEntry | undefined, string>;

export class Entries {
  readonly #pool: Pool;
  readonly #names: Loader;
  readonly #credentials: Loader;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#names = gather((keys) => this.#find('by-name', byName, keys));
    this.#credentials = gather((keys) => this.#find('by-credential', byCredential, keys));
  }

  byName(tenantSlug: string, authId: string): Promise<DirectoryEntry | undefined> {
    return this.#names.load([tenantSlug, authId]);
  }

  byCredential(tenantId: string, credentialId: string): Promise<DirectoryEntry | undefined> {
    return this.#credentials.load([tenantId, credentialId]);
  }

  async byCertificate(query: CertificateQuery): Promise<DirectoryEntry | undefined> {
    const { tenantId, fingerprint, anchorId, named, now } = query;
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<Row>({
        name: 'by-certificate',
        text: `${columns} ${byCertificate} ${joins}`,
        values: [
          tenantId,
          Buffer.from(fingerprint, 'hex'),
          anchorId ?? null,
          named?.kind === 'device' ? named.value : null,
          named?.kind === 'authId' ? named.value : null,
          new Date(now),
        ],
      }),
    );
    return rows[0] && toEntry(rows[0]);
  }

  async #find(
    name: string,
    asked: string,
    keys: readonly (readonly [string, string])[],
  ): Promise<(DirectoryEntry | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<Row>({
        name,
        text: `${columns} ${asked} ${joins}`,
        values: [keys.map(([a]) => a), keys.map(([, b]) => b)],
      }),
    );
    const found: (DirectoryEntry | undefined)[] = keys.map(() => undefined);
    for (const row of rows) found[Number(row.place) - 1] = toEntry(row);
    return found;
  }
}

interface Row {
  readonly place: string;
  readonly tenant_id: string;
  readonly slug: string;
  readonly tenant_status: 'active' | 'suspended';
  readonly limits: unknown;
  readonly settings: unknown;
  readonly tenant_addresses: unknown;
  readonly device_addresses: unknown;
  readonly credential_id: string | null;
  readonly kind: DirectoryCredential['kind'];
  readonly is_pinned: boolean;
  readonly auth_id: string;
  readonly secret_hash: Buffer | null;
  readonly password_hash: string | null;
  readonly public_key: unknown;
  readonly issuer_id: string | null;
  readonly scram: unknown;
  readonly client_id_rule: unknown;
  readonly not_before: Date | null;
  readonly not_after: Date | null;
  readonly disabled_at: Date | null;
  readonly device_id: string;
  readonly device_name: string;
  readonly device_status: 'active' | 'disabled';
  readonly attributes: Record<string, unknown>;
  readonly telemetry: unknown;
  readonly versions: { readonly id: string; readonly name: string; readonly version: number }[] | null;
}

const columns = `
  SELECT asked.place, t.id AS tenant_id, t.slug, t.status AS tenant_status, t.limits, t.settings, t.addresses AS tenant_addresses,
         c.id AS credential_id, c.kind, c.fingerprint IS NOT NULL AND c.anchor_id IS NULL AS is_pinned, c.auth_id, c.secret_hash, c.password_hash, c.public_key, c.issuer_id, c.scram, c.client_id_rule, c.not_before, c.not_after, c.disabled_at,
         d.id AS device_id, d.name AS device_name, d.status AS device_status, d.attributes, d.addresses AS device_addresses, p.telemetry, bound.versions`;

const byName = `
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (slug, auth_id, place)
    JOIN tenants t ON t.slug = asked.slug
    LEFT JOIN credentials c ON c.tenant_id = t.id AND c.auth_id = asked.auth_id`;

const byCredential = `
    FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (tenant_id, credential_id, place)
    JOIN tenants t ON t.id = asked.tenant_id
    LEFT JOIN credentials c ON c.tenant_id = t.id AND c.id = asked.credential_id`;

// One row: the tenant, and its credential for this certificate if there is one.
const byCertificate = `
    FROM (SELECT 1 AS place) asked
    JOIN tenants t ON t.id = $1::uuid
    LEFT JOIN LATERAL (
      SELECT fits.* FROM (
        SELECT own.* FROM credentials own WHERE own.tenant_id = t.id AND own.fingerprint = $2::bytea
           AND (own.anchor_id IS NULL OR own.anchor_id = $3::uuid)
        UNION ALL
        SELECT own.* FROM devices named
          JOIN credentials own ON own.tenant_id = named.tenant_id AND own.device_id = named.id
         WHERE named.tenant_id = t.id AND named.name = $4::text
           AND own.kind = 'certificate' AND own.fingerprint IS NULL
           AND (own.anchor_id IS NULL OR own.anchor_id = $3::uuid)
        UNION ALL
        SELECT own.* FROM credentials own
         WHERE own.tenant_id = t.id AND own.auth_id = $5::text
           AND own.kind = 'certificate' AND own.fingerprint IS NULL
           AND (own.anchor_id IS NULL OR own.anchor_id = $3::uuid)
      ) fits
       ORDER BY fits.fingerprint IS NULL,
                (fits.disabled_at IS NULL OR fits.disabled_at > $6::timestamptz)
                  AND (fits.not_before IS NULL OR fits.not_before <= $6::timestamptz)
                  AND (fits.not_after IS NULL OR fits.not_after > $6::timestamptz) DESC,
                fits.id
       LIMIT 1
    ) c ON true`;

// Each kind of target is a look-up of its own in the index of bindings; an OR over the kinds would read them all.
const joins = `
    LEFT JOIN devices d ON d.tenant_id = c.tenant_id AND d.id = c.device_id
    LEFT JOIN profiles p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
    LEFT JOIN LATERAL (
      SELECT jsonb_agg(DISTINCT jsonb_build_object('id', po.id, 'name', po.name, 'version', po.active_version)) AS versions
        FROM (SELECT 'tenant' AS kind, d.tenant_id AS id
              UNION ALL SELECT 'profile', d.profile_id
              UNION ALL SELECT 'device', d.id
              UNION ALL SELECT 'group', m.group_id FROM group_members m
                         WHERE m.tenant_id = d.tenant_id AND m.device_id = d.id) target
        JOIN policy_bindings b ON b.tenant_id = d.tenant_id AND b.target_kind = target.kind AND b.target_id = target.id
        JOIN policies po ON po.tenant_id = b.tenant_id AND po.id = b.policy_id
    ) bound ON true`;

function toEntry(row: Row): DirectoryEntry {
  const tenant = {
    id: row.tenant_id,
    slug: row.slug,
    status: row.tenant_status,
    limits: row.limits,
    settings: row.settings,
    addresses: row.tenant_addresses,
  };
  if (row.credential_id === null) return { tenant, holder: undefined };
  const credential = {
    id: row.credential_id,
    kind: row.kind,
    isPinned: row.is_pinned,
    authId: row.auth_id,
    secretHash: row.secret_hash,
    passwordHash: row.password_hash,
    publicKey: row.public_key,
    issuerId: row.issuer_id,
    scram: row.scram,
    clientIdRule: row.client_id_rule,
    notBefore: row.not_before?.getTime(),
    notAfter: row.not_after?.getTime(),
    disabledAt: row.disabled_at?.getTime(),
  };
  const device = {
    id: row.device_id,
    name: row.device_name,
    status: row.device_status,
    attributes: row.attributes,
    telemetry: row.telemetry,
    addresses: row.device_addresses,
  };
  const versions = (row.versions ?? [])
    .map(({ id, name, version }) => ({ tenantId: row.tenant_id, policyId: id, name, version }))
    .sort((a, b) => (a.policyId < b.policyId ? -1 : 1));
  return { tenant, holder: { credential, device, versions } };
}
