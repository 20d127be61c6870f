/**
 * What the broker's gate looks up when somebody signs in, and again when rights change. Rows are never cached: whoever signs
 * in gets the rights of this moment, and there is nothing to invalidate. What does not change is: the rules of one version of
 * a policy.
 *
 * A fleet that reconnects asks thousands of questions at once. They are gathered, while earlier ones are under way, into
 * queries of up to 500.
 */
import DataLoader from 'dataloader';
import { Pool } from 'pg';

import { withStoreErrors } from './errors.js';
import { verifyFences } from './fences.js';
import { type Observation, Observations } from './observations.js';

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

/** Who signs tokens for a tenant's devices. */
export interface DirectoryTokenIssuer {
  readonly id: string;
  /** The claim `iss`. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Null: the keys are in `jwks`. */
  readonly jwksUri: string | null;
  /** As stored. */
  readonly jwks: unknown;
  readonly identity: unknown;
  readonly leewayS: number;
  readonly maxLifetimeS: number;
  readonly isDisabled: boolean;
  readonly version: number;
}

/** A tenant's own service that is asked at CONNECT. */
export interface DirectoryAuthenticator {
  readonly url: string;
  readonly sealedSecret: Buffer;
  readonly timeoutMs: number;
  readonly maxConcurrent: number;
  readonly isEnabled: boolean;
  readonly version: number;
}

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
}

/** Whose a host name is. */
export interface DirectoryHost {
  readonly tenantId: string;
  readonly slug: string;
}

/** What certificates may be recognised by: hashes in hexadecimal. */
export interface AnchorQuery {
  readonly keyIds: readonly string[];
  readonly spkiHashes: readonly string[];
  readonly subjectHashes: readonly string[];
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

/** What an anchor's revocation list says of one certificate. */
export interface DirectoryRevocation {
  readonly isRevoked: boolean;
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

/** Whom a ban may be on: a client of a tenant's. */
export interface BanQuery {
  readonly tenantId: string;
  readonly clientId: string;
  readonly authId: string;
  /** `authId@tenant-slug`: what the platform bans. */
  readonly username: string;
  /** Normalized; undefined: it is not known. */
  readonly address: string | undefined;
  readonly now: number;
}

export interface DirectoryBan {
  readonly kind: 'client-id' | 'username' | 'address';
  readonly reason: string;
  readonly isPlatform: boolean;
}

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

export interface DirectoryOptions {
  /** With the role moorage_broker. */
  readonly url: string;
  /** Told what went wrong in the background: a connection that broke while idle, a last use that was not noted. */
  readonly onError?: (error: unknown) => void;
}

/** Every method rejects with a StoreError when PostgreSQL cannot be asked: never an answer that looks like "unknown". */
export interface Directory {
  /** Undefined: there is no such tenant. */
  findByName(tenantSlug: string, authId: string): Promise<DirectoryEntry | undefined>;
  findByCredential(tenantId: string, credentialId: string): Promise<DirectoryEntry | undefined>;
  /** Undefined: there is no such tenant. */
  findTenant(tenantSlug: string): Promise<{ readonly id: string } | undefined>;
  /** The tenant that has this host name for itself alone. Undefined: nobody's, or everybody's. */
  tenantOfHost(host: string): Promise<DirectoryHost | undefined>;
  /** By the claim `iss`. */
  findTokenIssuer(tenantId: string, issuer: string): Promise<DirectoryTokenIssuer | undefined>;
  findAuthenticator(tenantId: string): Promise<DirectoryAuthenticator | undefined>;
  /** All that a tenant trusts. */
  anchorsOf(tenantId: string): Promise<readonly DirectoryAnchor[]>;
  /** Of all tenants, those that the hashes point to: candidates, for signatures to decide between. */
  anchorsBy(query: AnchorQuery): Promise<readonly DirectoryAnchor[]>;
  findByCertificate(query: CertificateQuery): Promise<DirectoryEntry | undefined>;
  /** Undefined: the anchor is not there, or not trusted. */
  revocation(tenantId: string, anchorId: string, serial: string): Promise<DirectoryRevocation | undefined>;
  /** Undefined: there is none that holds now. */
  findBan(query: BanQuery): Promise<DirectoryBan | undefined>;
  /**
   * Reads what the entry names. A step of its own, taken for proven holders only: the time that an answer takes must not
   * tell a stranger which credentials exist. Undefined: a policy was deleted since, the entry is out of date.
   */
  documents(versions: readonly PolicyVersionKey[]): Promise<readonly DirectoryDocument[] | undefined>;
  /** False: the tenant is suspended, or there is none. */
  isActive(tenantId: string): Promise<boolean>;
  /** Which version of a policy is in force. Undefined: there is no such policy. */
  activeVersion(tenantId: string, policyId: string): Promise<PolicyVersionKey | undefined>;
  /** Written down within seconds; the last use of a credential is for people, not for decisions. */
  noteUse(tenantId: string, credentialId: string, remoteAddress: string, at: number): void;
  /** Written down within seconds, and bounded; for people, not for decisions. */
  noteObservation(observation: Observation): void;
  /** Start-up: rejects with FenceError where the fences between tenants are not all up for the broker's role. */
  verifyFences(): Promise<void>;
  close(): Promise<void>;
}

/**
 * What an answer holds is welcomed in one turn of the loop, at about 0.2 ms each: more at once would be felt by everybody else, and the
 * question would hardly be cheaper.
 */
const maxBatch = 64;
/** Batches under way at once for each kind of question; while they are, the next one fills. */
const maxConcurrent = 2;
const maxDocuments = 10_000;
const noteEveryMs = 5_000;

const standingPlans = `SELECT set_config(name, setting, false) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'),
  ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS plans (name, setting)`;

/** Opens no connection yet: they come with the first question. */
export function openDirectory(options: DirectoryOptions): Directory {
  const pool = new Pool({
    connectionString: options.url,
    application_name: 'moorage-broker-directory',
    max: 2 * maxConcurrent + 1,
    // Less than a client waits for CONNACK: "server unavailable" is an answer, silence is not.
    connectionTimeoutMillis: 3_000,
    statement_timeout: 5_000,
    query_timeout: 5_000,
    // Planning took two thirds of what a batch of ten sign-ins cost PostgreSQL (1.9 ms, 0.6 without). One plan for whatever is
    // asked, found by indexes alone; and no plan outlives by more than this what it was made for, should tables grow before
    // PostgreSQL has looked at them.
    maxLifetimeSeconds: 60,
    verify: (client, done) => {
      client.query(standingPlans, (error) => done(error));
    },
  });
  pool.on('error', (error) => options.onError?.(error));
  return new PgDirectory(pool, options.onError ?? (() => undefined));
}

class PgDirectory implements Directory {
  readonly #pool: Pool;
  readonly #onError: (error: unknown) => void;
  readonly #names: DataLoader<readonly [string, string], DirectoryEntry | undefined, string>;
  readonly #credentials: DataLoader<readonly [string, string], DirectoryEntry | undefined, string>;
  readonly #hosts: DataLoader<string, DirectoryHost | undefined, string>;
  readonly #issuers: DataLoader<readonly [string, string], DirectoryTokenIssuer | undefined, string>;
  readonly #authenticators: DataLoader<string, DirectoryAuthenticator | undefined, string>;
  readonly #revocations: DataLoader<RevocationKey, DirectoryRevocation | undefined, string>;
  readonly #bans: DataLoader<BanQuery, DirectoryBan | undefined, string>;
  readonly #versions: DataLoader<PolicyVersionKey, DirectoryDocument | undefined, string>;
  readonly #documents = new Map<string, DirectoryDocument>();
  readonly #observations: Observations;
  #uses = new Map<string, Use>();
  #noting: NodeJS.Timeout | undefined;

  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#onError = onError;
    this.#names = gather((keys) => this.#find('by-name', byName, keys));
    this.#credentials = gather((keys) => this.#find('by-credential', byCredential, keys));
    this.#hosts = gather((hosts) => this.#readHosts(hosts));
    this.#issuers = gather((keys) => this.#readIssuers(keys));
    this.#authenticators = gather((ids) => this.#readAuthenticators(ids));
    this.#revocations = gather((keys) => this.#readRevocations(keys));
    this.#observations = new Observations(pool, onError);
    this.#bans = gather((queries) => this.#readBans(queries));
    this.#versions = gather((keys) => this.#readVersions(keys));
  }

  findByName(tenantSlug: string, authId: string): Promise<DirectoryEntry | undefined> {
    return this.#names.load([tenantSlug, authId]);
  }

  findByCredential(tenantId: string, credentialId: string): Promise<DirectoryEntry | undefined> {
    return this.#credentials.load([tenantId, credentialId]);
  }

  async findTenant(tenantSlug: string): Promise<{ readonly id: string } | undefined> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<{ id: string }>('SELECT id FROM tenants WHERE slug = $1', [tenantSlug]),
    );
    return rows[0];
  }

  tenantOfHost(host: string): Promise<DirectoryHost | undefined> {
    return this.#hosts.load(host);
  }

  findTokenIssuer(tenantId: string, issuer: string): Promise<DirectoryTokenIssuer | undefined> {
    return this.#issuers.load([tenantId, issuer]);
  }

  findAuthenticator(tenantId: string): Promise<DirectoryAuthenticator | undefined> {
    return this.#authenticators.load(tenantId);
  }

  async anchorsOf(tenantId: string): Promise<readonly DirectoryAnchor[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<AnchorRow>(`${anchorColumns} AND a.tenant_id = $1`, [tenantId]),
    );
    return rows.map(toAnchor);
  }

  async anchorsBy({ keyIds, spkiHashes, subjectHashes }: AnchorQuery): Promise<readonly DirectoryAnchor[]> {
    const hashes = [keyIds, spkiHashes, subjectHashes].map((of) => of.map((hex) => Buffer.from(hex, 'hex')));
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<AnchorRow>({ name: 'anchors', text: `${anchorColumns} ${byHashes}`, values: hashes }),
    );
    return rows.map(toAnchor);
  }

  async findByCertificate(query: CertificateQuery): Promise<DirectoryEntry | undefined> {
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

  revocation(tenantId: string, anchorId: string, serial: string): Promise<DirectoryRevocation | undefined> {
    return this.#revocations.load({ tenantId, anchorId, serial });
  }

  findBan(query: BanQuery): Promise<DirectoryBan | undefined> {
    return this.#bans.load(query);
  }

  async documents(versions: readonly PolicyVersionKey[]): Promise<readonly DirectoryDocument[] | undefined> {
    const documents = await Promise.all(versions.map((version) => this.#document(version)));
    const there = documents.filter((document) => document !== undefined);
    return there.length < documents.length ? undefined : there;
  }

  async isActive(tenantId: string): Promise<boolean> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query(`SELECT FROM tenants WHERE id = $1 AND status = 'active'`, [tenantId]),
    );
    return rows.length > 0;
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

  noteUse(tenantId: string, credentialId: string, remoteAddress: string, at: number): void {
    this.#uses.set(`${tenantId} ${credentialId}`, { tenantId, credentialId, remoteAddress, at });
    this.#noting ??= setTimeout(() => void this.#writeUses(), noteEveryMs).unref();
  }

  noteObservation(observation: Observation): void {
    this.#observations.note(observation);
  }

  async verifyFences(): Promise<void> {
    await withStoreErrors(() => verifyFences(this.#pool));
  }

  async close(): Promise<void> {
    await this.#writeUses();
    await this.#observations.write();
    await this.#pool.end();
  }

  async #document(version: PolicyVersionKey): Promise<DirectoryDocument | undefined> {
    const key = keyOf(version);
    const known = this.#documents.get(key);
    if (known !== undefined) {
      // Used last stands last.
      this.#documents.delete(key);
      this.#documents.set(key, known);
      return known;
    }
    const read = await this.#versions.load(version);
    // Whoever read it first gave it its identity: policies compiled from it are found by that.
    const first = this.#documents.get(key) ?? read;
    if (first !== undefined) this.#remember(key, first);
    return first;
  }

  #remember(key: string, document: DirectoryDocument): void {
    this.#documents.set(key, document);
    if (this.#documents.size <= maxDocuments) return;
    for (const oldest of this.#documents.keys()) {
      this.#documents.delete(oldest);
      return;
    }
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

  async #readHosts(hosts: readonly string[]): Promise<(DirectoryHost | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryHost & { readonly host: string }>({
        name: 'hosts',
        text: readHosts,
        values: [[...new Set(hosts)]],
      }),
    );
    const byHost = new Map(rows.map(({ host, tenantId, slug }) => [host, { tenantId, slug }]));
    return hosts.map((host) => byHost.get(host));
  }

  async #readIssuers(
    keys: readonly (readonly [string, string])[],
  ): Promise<(DirectoryTokenIssuer | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryTokenIssuer & { readonly place: string }>({
        name: 'token-issuers',
        text: readIssuers,
        values: [keys.map(([tenantId]) => tenantId), keys.map(([, issuer]) => issuer)],
      }),
    );
    return inPlaces(keys, rows);
  }

  async #readAuthenticators(ids: readonly string[]): Promise<(DirectoryAuthenticator | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<DirectoryAuthenticator & { readonly place: string }>({
        name: 'authenticators',
        text: readAuthenticators,
        values: [ids],
      }),
    );
    return inPlaces(ids, rows);
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

  async #readBans(queries: readonly BanQuery[]): Promise<(DirectoryBan | undefined)[]> {
    const { rows } = await withStoreErrors(() =>
      this.#pool.query<BanRow>(readBans, [
        queries.map((query) => query.tenantId),
        queries.map((query) => query.clientId),
        queries.map((query) => query.authId),
        queries.map((query) => query.username),
        queries.map((query) => query.address ?? null),
        queries.map((query) => new Date(query.now)),
      ]),
    );
    const found: (DirectoryBan | undefined)[] = queries.map(() => undefined);
    for (const row of rows) {
      found[Number(row.place) - 1] = { kind: row.kind, reason: row.reason, isPlatform: row.is_platform };
    }
    return found;
  }

  async #readVersions(keys: readonly PolicyVersionKey[]): Promise<(DirectoryDocument | undefined)[]> {
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

  async #writeUses(): Promise<void> {
    clearTimeout(this.#noting);
    this.#noting = undefined;
    const uses = [...this.#uses.values()];
    this.#uses = new Map();
    if (uses.length === 0) return;
    try {
      await withStoreErrors(() =>
        this.#pool.query(noteUses, [
          uses.map((use) => use.tenantId),
          uses.map((use) => use.credentialId),
          uses.map((use) => use.remoteAddress),
          uses.map((use) => new Date(use.at)),
        ]),
      );
    } catch (error) {
      // Safe to go on without: the next use of the credential says the same.
      this.#onError(error);
    }
  }
}

interface Use {
  readonly tenantId: string;
  readonly credentialId: string;
  readonly remoteAddress: string;
  readonly at: number;
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

interface BanRow {
  readonly place: string;
  readonly kind: DirectoryBan['kind'];
  readonly reason: string;
  readonly is_platform: boolean;
}

interface AnchorRow {
  readonly tenant_id: string;
  readonly slug: string;
  readonly id: string;
  readonly certificate: Buffer;
  readonly identity: unknown;
  readonly provisions: boolean;
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

const anchorColumns = `
  SELECT a.tenant_id, t.slug, a.id, a.certificate, a.identity,
         EXISTS (SELECT FROM provisioning_rules r
                  WHERE r.tenant_id = a.tenant_id AND r.anchor_id = a.id AND r.enabled) AS provisions
    FROM trust_anchors a JOIN tenants t ON t.id = a.tenant_id
   WHERE a.proven_at IS NOT NULL`;

// Each of three indexes by itself; an OR over them would read them all.
const byHashes = `
     AND (a.tenant_id, a.id) IN (
       SELECT tenant_id, id FROM trust_anchors WHERE key_id = ANY($1::bytea[])
       UNION SELECT tenant_id, id FROM trust_anchors WHERE spki_hash = ANY($2::bytea[])
       UNION SELECT tenant_id, id FROM trust_anchors WHERE subject_hash = ANY($3::bytea[]))
   ORDER BY a.proven_at LIMIT 200`;

const readHosts = `
  SELECT h.host, t.id AS "tenantId", t.slug FROM tenant_hosts h JOIN tenants t ON t.id = h.tenant_id
   WHERE h.host = ANY($1::text[])`;

const readIssuers = `
  SELECT asked.place, i.id, i.issuer, i.audiences, i.algorithms, i.jwks_uri AS "jwksUri", i.jwks, i.identity,
         i.leeway_s AS "leewayS", i.max_lifetime_s AS "maxLifetimeS", i.disabled_at IS NOT NULL AS "isDisabled", i.version
    FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS asked (tenant_id, issuer, place)
    JOIN token_issuers i ON i.tenant_id = asked.tenant_id AND i.issuer = asked.issuer`;

const readAuthenticators = `
  SELECT asked.place, a.url, a.sealed_secret AS "sealedSecret", a.timeout_ms AS "timeoutMs",
         a.max_concurrent AS "maxConcurrent", a.enabled AS "isEnabled", a.version
    FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (tenant_id, place)
    JOIN authenticators a ON a.tenant_id = asked.tenant_id`;

const readRevocations = `
  SELECT asked.place, a.crl_next_update AS next_update, a.crl_when_stale AS when_stale, a.crl_grace_s AS grace_s,
         a.ocsp, a.ocsp_url, CASE WHEN a.ocsp <> 'off' THEN a.certificate END AS certificate,
         EXISTS (SELECT FROM revoked_certificates r
                  WHERE r.tenant_id = a.tenant_id AND r.anchor_id = a.id AND r.serial = asked.serial) AS is_revoked
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS asked (tenant_id, anchor_id, serial, place)
    JOIN trust_anchors a ON a.tenant_id = asked.tenant_id AND a.id = asked.anchor_id AND a.proven_at IS NOT NULL`;

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

// Equality by the unique index and ranges by the GiST index: a client costs the same with ten bans and with a million.
const readBans = `
  SELECT asked.place, ban.kind, ban.reason, ban.tenant_id IS NULL AS is_platform
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::inet[], $6::timestamptz[])
           WITH ORDINALITY AS asked (tenant_id, client_id, auth_id, username, address, now, place)
   CROSS JOIN LATERAL (
      SELECT b.* FROM (
        SELECT * FROM bans WHERE tenant_id = asked.tenant_id AND kind = 'client-id' AND value = asked.client_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id = asked.tenant_id AND kind = 'username' AND value = asked.auth_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id IS NULL AND kind = 'client-id' AND value = asked.client_id
        UNION ALL
        SELECT * FROM bans WHERE tenant_id IS NULL AND kind = 'username' AND value = asked.username
        UNION ALL
        SELECT * FROM bans WHERE range >>= asked.address AND (tenant_id = asked.tenant_id OR tenant_id IS NULL)
      ) b
       WHERE b.expires_at IS NULL OR b.expires_at > asked.now
       ORDER BY b.tenant_id IS NULL LIMIT 1
    ) ban`;

const readVersions = `
  SELECT asked.place, v.rules
    FROM unnest($1::uuid[], $2::uuid[], $3::int[]) WITH ORDINALITY AS asked (tenant_id, policy_id, number, place)
    JOIN policy_versions v
      ON v.tenant_id = asked.tenant_id AND v.policy_id = asked.policy_id AND v.number = asked.number`;

const noteUses = `
  UPDATE credentials c SET last_used_at = used.at, last_used_from = used.address
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[]) AS used (tenant_id, credential_id, address, at)
   WHERE c.tenant_id = used.tenant_id AND c.id = used.credential_id`;

/** Answers in the order of the questions, each of which has one or none. */
function inPlaces<Value extends { readonly place: string }>(
  asked: readonly unknown[],
  rows: readonly Value[],
): (Value | undefined)[] {
  const found: (Value | undefined)[] = asked.map(() => undefined);
  for (const row of rows) found[Number(row.place) - 1] = row;
  return found;
}

function toAnchor({ tenant_id: tenantId, slug: tenantSlug, ...anchor }: AnchorRow): DirectoryAnchor {
  return { tenantId, tenantSlug, ...anchor };
}

function ocspOf({ ocsp: mode, ocsp_url: url, certificate }: RevocationRow): DirectoryOcsp | undefined {
  return mode === 'off' || certificate === null ? undefined : { mode, url: url ?? undefined, certificate };
}

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

function keyOf({ tenantId, policyId, name, version }: PolicyVersionKey): string {
  return `${tenantId} ${policyId} ${version} ${name}`;
}

/** A loader without a cache of answers, that lets a batch fill while earlier ones are under way. */
function gather<Key, Value>(ask: (keys: readonly Key[]) => Promise<Value[]>): DataLoader<Key, Value, string> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return new DataLoader<Key, Value, string>(
    async (keys) => {
      try {
        return await ask(keys);
      } finally {
        running -= 1;
        next();
      }
    },
    {
      cache: false,
      maxBatchSize: maxBatch,
      batchScheduleFn: (dispatch) => {
        waiting.push(dispatch);
        setImmediate(next);
      },
    },
  );

  function next(): void {
    if (running >= maxConcurrent) return;
    const dispatch = waiting.shift();
    if (dispatch === undefined) return;
    running += 1;
    dispatch();
  }
}
