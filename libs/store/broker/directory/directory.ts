/**
 * What the broker's gate looks up when somebody signs in, and again when rights change. Rows are never cached here: whoever asks
 * gets the rights of this moment. What does not change is: the rules of one version of a policy. What may be remembered is for the
 * gate to say, which hears of changes. Each question has a file of its own beside this one.
 */
import { Pool } from 'pg';

import { inUtc } from '../../database/connection.js';
import { withStoreErrors } from '../../database/errors.js';
import { verifyFences } from '../../database/fences.js';
import { type Observation, Observations } from '../observations.js';
import { type AnchorQuery, Anchors, type DirectoryAnchor, type DirectoryRevocation } from './anchors.js';
import { type BanQuery, Bans, type DirectoryBan, type DirectoryListedBan } from './bans.js';
import { type DirectoryDocument, Documents, type PolicyVersionKey } from './documents.js';
import { type CertificateQuery, type DirectoryEntry, Entries } from './entries.js';
import { maxConcurrent } from './gather.js';
import { LastUses } from './last-uses.js';
import { type DirectoryHost, Tenants } from './tenants.js';
import { type DirectoryAuthenticator, type DirectoryTokenIssuer, Vouchers } from './vouchers.js';

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
  /** Written down at once, for the api to fetch; it decides nothing here. */
  noteListPlace(tenantId: string, anchorId: string, url: string): void;
  /** Undefined: there is none that holds now. */
  findBan(query: BanQuery): Promise<DirectoryBan | undefined>;
  /** All that the tenant's clients have to be held against. Undefined: they are too many to be listed. */
  bansOf(tenantId: string): Promise<readonly DirectoryListedBan[] | undefined>;
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

const standingPlans = `SELECT set_config(name, setting, false) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'),
  ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS plans (name, setting)`;

/** Opens no connection yet: they come with the first question. */
export function openDirectory(options: DirectoryOptions): Directory {
  const pool = new Pool({
    connectionString: inUtc(options.url),
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
  readonly #entries: Entries;
  readonly #tenants: Tenants;
  readonly #vouchers: Vouchers;
  readonly #anchors: Anchors;
  readonly #bans: Bans;
  readonly #documents: Documents;
  readonly #uses: LastUses;
  readonly #observations: Observations;
  readonly #onError: (error: unknown) => void;

  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#onError = onError;
    this.#entries = new Entries(pool);
    this.#tenants = new Tenants(pool);
    this.#vouchers = new Vouchers(pool);
    this.#anchors = new Anchors(pool);
    this.#bans = new Bans(pool);
    this.#documents = new Documents(pool);
    this.#uses = new LastUses(pool, onError);
    this.#observations = new Observations(pool, onError);
  }

  findByName(tenantSlug: string, authId: string): Promise<DirectoryEntry | undefined> {
    return this.#entries.byName(tenantSlug, authId);
  }

  findByCredential(tenantId: string, credentialId: string): Promise<DirectoryEntry | undefined> {
    return this.#entries.byCredential(tenantId, credentialId);
  }

  findByCertificate(query: CertificateQuery): Promise<DirectoryEntry | undefined> {
    return this.#entries.byCertificate(query);
  }

  findTenant(tenantSlug: string): Promise<{ readonly id: string } | undefined> {
    return this.#tenants.find(tenantSlug);
  }

  tenantOfHost(host: string): Promise<DirectoryHost | undefined> {
    return this.#tenants.ofHost(host);
  }

  isActive(tenantId: string): Promise<boolean> {
    return this.#tenants.isActive(tenantId);
  }

  findTokenIssuer(tenantId: string, issuer: string): Promise<DirectoryTokenIssuer | undefined> {
    return this.#vouchers.issuer(tenantId, issuer);
  }

  findAuthenticator(tenantId: string): Promise<DirectoryAuthenticator | undefined> {
    return this.#vouchers.authenticator(tenantId);
  }

  anchorsOf(tenantId: string): Promise<readonly DirectoryAnchor[]> {
    return this.#anchors.of(tenantId);
  }

  anchorsBy(query: AnchorQuery): Promise<readonly DirectoryAnchor[]> {
    return this.#anchors.by(query);
  }

  revocation(tenantId: string, anchorId: string, serial: string): Promise<DirectoryRevocation | undefined> {
    return this.#anchors.revocation(tenantId, anchorId, serial);
  }

  noteListPlace(tenantId: string, anchorId: string, url: string): void {
    this.#anchors.noteListPlace(tenantId, anchorId, url).catch(this.#onError);
  }

  findBan(query: BanQuery): Promise<DirectoryBan | undefined> {
    return this.#bans.find(query);
  }

  bansOf(tenantId: string): Promise<readonly DirectoryListedBan[] | undefined> {
    return this.#bans.of(tenantId);
  }

  documents(versions: readonly PolicyVersionKey[]): Promise<readonly DirectoryDocument[] | undefined> {
    return this.#documents.of(versions);
  }

  activeVersion(tenantId: string, policyId: string): Promise<PolicyVersionKey | undefined> {
    return this.#documents.activeVersion(tenantId, policyId);
  }

  noteUse(tenantId: string, credentialId: string, remoteAddress: string, at: number): void {
    this.#uses.note(tenantId, credentialId, remoteAddress, at);
  }

  noteObservation(observation: Observation): void {
    this.#observations.note(observation);
  }

  async verifyFences(): Promise<void> {
    await withStoreErrors(() => verifyFences(this.#pool));
  }

  async close(): Promise<void> {
    await this.#uses.write();
    await this.#observations.write();
    await this.#pool.end();
  }
}
