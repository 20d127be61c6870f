import {
  anchorHints,
  type Certificate,
  type CertificateFault,
  type CertificatePath,
  clientFault,
  commonNameOf,
  findPath,
  identityOf,
  identityTemplateSchema,
  type PresentedChain,
  provenUntil,
  readChain,
  standingOf,
  type TrustedAuthority,
} from '#access';
import {
  type CertificateProof,
  type PeerCertificate,
  type Principal,
  type Reason,
  Reasons,
  type Refusal,
  type SignIn,
  type TenantId,
} from '#mqtt';
import type { Egress } from '#process';
import type {
  Directory,
  DirectoryAnchor,
  DirectoryEntry,
  DirectoryHost,
  DirectoryOcsp,
  DirectoryRevocation,
} from '#store';

import { tenantOfHost } from './hosts.js';
import type { Holder, Proof } from './proof.js';
import type { Provisioning } from './provisioning.js';
import { ReadCertificates } from './read-certificates.js';
import { Responders, type Standing } from './responders.js';

/** A certificate that stands, and whose it is. */
export interface Shown extends Proof {
  readonly certificate: NonNullable<Principal['certificate']>;
  readonly until: number;
}

/** Why a certificate is worth nothing here. Stable: tenants see it in their denials. */
type Fault =
  | CertificateFault
  | 'unknown-tenant'
  | 'ambiguous-tenant' // several tenants trust its authority, and the client names none
  | 'wrong-host' // it is another tenant's than the host name under which it came
  | 'unknown-identity' // it names nobody, or nobody who has a credential for it
  | 'credential-gone'; // since it signed in

interface Anchor extends TrustedAuthority {
  readonly row: DirectoryAnchor;
}

type Tenant = { readonly id: string };

/** Anchors that are kept as they were read: of all tenants of an installation, as a rule. */
const maxAnchors = 2_000;
/** About ten kilobytes each. */
const maxShown = 4_000;
const maxPlaces = 10_000;

/** Holds certificates against what tenants trust: at sign-in on every listener, and again whenever rights change. */
export class Certificates {
  readonly #directory: Directory;
  readonly #provisioning: Pick<Provisioning, 'register'>;
  readonly #responders: Responders;
  readonly #now: () => number;
  readonly #authorities = new ReadCertificates(maxAnchors);
  /** Of clients whose path was found, with what they sent to show it. */
  readonly #shown = new ReadCertificates(maxShown);
  /** Where lists are that have been noted already, by anchor. */
  readonly #places = new Set<string>();

  constructor(
    directory: Directory,
    provisioning: Pick<Provisioning, 'register'>,
    egress: Egress,
    now: () => number,
  ) {
    this.#directory = directory;
    this.#provisioning = provisioning;
    this.#responders = new Responders(egress, now);
    this.#now = now;
  }

  /**
   * `slug`: the tenant that the client names besides. Where it names none, the host name does under which it came, or else the
   * anchor.
   */
  async verify(
    peer: PeerCertificate,
    slug: string | undefined,
    { serverName, remoteAddress }: Pick<SignIn, 'serverName' | 'remoteAddress'>,
  ): Promise<Shown | Refusal> {
    const host = await tenantOfHost(this.#directory, serverName);
    if (slug === undefined && host !== undefined) return this.#verifyUnder(peer, host, remoteAddress);
    // Under another tenant's host name nobody becomes a device: it would be refused as soon as it is one.
    const isElsewhere = host !== undefined && host.slug !== slug;
    return this.#verifyFor(peer, slug, isElsewhere ? undefined : remoteAddress);
  }

  /** Who came under a tenant's own host name is that tenant's. Another's who would have been let in elsewhere is told so. */
  async #verifyUnder(peer: PeerCertificate, host: DirectoryHost, address: string): Promise<Shown | Refusal> {
    const shown = await this.#verifyFor(peer, host.slug, address);
    if (shown.kind !== 'refused' || !pathless.has(shown.detail)) return shown;
    const found = await this.#find(peer, undefined);
    const isElsewhere = 'path' in found && found.path !== undefined && found.tenantId !== host.tenantId;
    return isElsewhere ? refuse('wrong-host', found.tenantId) : shown;
  }

  /** `address`: from where somebody new may come; undefined: nobody new may. */
  async #verifyFor(
    peer: PeerCertificate,
    slug: string | undefined,
    address: string | undefined,
  ): Promise<Shown | Refusal> {
    const found = await this.#find(peer, slug);
    if ('kind' in found) return found;
    const { tenantId } = found;
    return tenantId === undefined ? refuse(found.fault) : this.#show(found.chain, tenantId, found, address);
  }

  async #find(
    peer: PeerCertificate,
    slug: string | undefined,
  ): Promise<(Trace & { readonly chain: PresentedChain }) | Refusal> {
    const tenant = slug === undefined ? undefined : await this.#directory.findTenant(slug);
    if (slug !== undefined && tenant === undefined) return refuse('unknown-tenant');
    const chain = readChain(peer.leaf, peer.intermediates, (der) => this.#shown.read(der));
    if (chain === undefined) return refuse('malformed', tenant?.id);
    const rows =
      tenant === undefined
        ? await this.#directory.anchorsBy(anchorHints(chain))
        : await this.#directory.anchorsOf(tenant.id);
    const found = trace(
      chain,
      rows.map((row) => this.#anchor(row)),
      tenant,
    );
    if (found.path !== undefined) {
      for (const certificate of [chain.leaf, ...chain.intermediates]) this.#shown.keep(certificate);
    }
    return { ...found, chain };
  }

  /** The same for somebody who is in: the path has not changed, everything else may have. */
  async review({ tenantId, certificate }: Principal): Promise<Shown | Refusal | undefined> {
    if (certificate === undefined) return undefined;
    const entry = await this.#directory.findByCredential(tenantId, certificate.credentialId);
    if (entry?.holder === undefined) return refuse('credential-gone', tenantId);
    return this.#stand(entry, entry.holder, certificate);
  }

  async #show(
    chain: PresentedChain,
    tenantId: string,
    { path, fault }: Pick<Trace, 'path' | 'fault'>,
    address: string | undefined,
  ): Promise<Shown | Refusal> {
    const template = identityTemplateSchema.safeParse(path?.anchor.row.identity);
    const identity = template.success ? identityOf(chain.leaf.names, template.data) : undefined;
    const look = (): Promise<DirectoryEntry | undefined> =>
      this.#directory.findByCertificate({
        tenantId,
        fingerprint: chain.leaf.fingerprint,
        anchorId: path?.anchor.anchorId,
        named: identity,
        now: this.#now(),
      });
    if (path?.anchor.row.followsCertificates === true) this.#notePlace(path);
    const entry = await look();
    const proof = path?.proof ?? pinned(chain, entry?.holder);
    if (entry === undefined || proof === undefined) return refuse(fault, tenantId);
    const stands = await this.#stand(entry, entry.holder, proof);
    const isNew = entry.holder === undefined && isUnknownOnly(stands);
    if (!isNew || path?.anchor.row.provisions !== true || identity === undefined) return stands;
    if (address === undefined) return refuse('wrong-host', tenantId);
    const { kind, value: name } = identity;
    const { anchorId } = path.anchor;
    const refused = await this.#provisioning.register({ tenantId, anchorId, kind, name, address });
    if (refused !== undefined) return refused;
    const registered = await look();
    return registered === undefined
      ? refuse(fault, tenantId)
      : this.#stand(registered, registered.holder, proof);
  }

  /** Its list is fetched by the api. Whether the certificate stands meanwhile, the anchor's `crlWhenStale` says. */
  #notePlace({ anchor: { row }, listUrl }: NonNullable<Trace['path']>): void {
    if (listUrl === undefined) return;
    const key = `${row.id} ${listUrl}`;
    if (this.#places.has(key)) return;
    if (this.#places.size >= maxPlaces) this.#places.clear();
    this.#places.add(key);
    this.#directory.noteListPlace(row.tenantId, row.id, listUrl);
  }

  async #stand(
    entry: DirectoryEntry,
    holder: Holder | undefined,
    proof: CertificateProof,
  ): Promise<Shown | Refusal> {
    const tenantId = entry.tenant.id;
    const standing = await this.#standingOfAnchor(tenantId, proof);
    const fault = standingOf(proof, standing, this.#now());
    if (fault !== undefined) return refuse(fault, tenantId, holder?.device.id);
    const asked = await this.#askResponder(tenantId, proof, standing?.ocsp);
    if (asked.fault !== undefined) return refuse(asked.fault, tenantId, holder?.device.id, asked.why);
    if (holder === undefined) return refuse('unknown-identity', tenantId);
    const certificate = { ...proof, credentialId: holder.credential.id };
    const until = provenUntil(proof, standing);
    return { kind: 'proof', entry, holder, certificate, until, reviewAt: asked.until };
  }

  /** Last of all, for it is asked of strangers, and takes long. */
  async #askResponder(
    tenantId: string,
    proof: CertificateProof,
    ocsp: DirectoryOcsp | undefined,
  ): Promise<Standing> {
    if (ocsp === undefined) return { fault: undefined, until: undefined };
    const { mode, url, certificate } = ocsp;
    const authority = this.#authority(certificate, proof.anchorId);
    return this.#responders.standingOf(proof, { tenantId, authority, mode, url });
  }

  #anchor(row: DirectoryAnchor): Anchor {
    return { anchorId: row.id, certificate: this.#authority(row.certificate, row.id), row };
  }

  #authority(der: Buffer, anchorId = ''): Certificate {
    const certificate = this.#authorities.read(der);
    // It was read when it was brought; one that cannot be now was changed behind our back.
    if (certificate === undefined) throw new UnreadableAnchorError(`trust anchor ${anchorId} cannot be read`);
    this.#authorities.keep(certificate);
    return certificate;
  }

  async #standingOfAnchor(
    tenantId: string,
    { anchorId, serial }: CertificateProof,
  ): Promise<DirectoryRevocation | undefined> {
    return anchorId === undefined ? undefined : this.#directory.revocation(tenantId, anchorId, serial);
  }
}

interface Trace {
  /** Undefined: no tenant, or more than one. */
  readonly tenantId: string | undefined;
  readonly path: CertificatePath<Anchor> | undefined;
  /** Where there is no path: why. */
  readonly fault: Fault;
}

/**
 * In each tenant's anchors by themselves: what one tenant trusts never helps or hinders another. A tenant whose anchor is merely
 * named by the certificate is told about the attempt, if it is the only one.
 */
function trace(chain: PresentedChain, anchors: readonly Anchor[], named: Tenant | undefined): Trace {
  const tenants = Map.groupBy(anchors, ({ row }) => row.tenantId);
  if (named !== undefined && tenants.size === 0) tenants.set(named.id, []);
  const traces = [...tenants].map(([tenantId, own]): Trace => {
    const path = findPath(chain, own);
    return typeof path === 'string'
      ? { tenantId, path: undefined, fault: path }
      : { tenantId, path, fault: 'unknown-identity' };
  });
  const proven = traces.filter(({ path }) => path !== undefined);
  const [first, ...others] = proven.length > 0 ? proven : traces;
  if (first !== undefined && others.length === 0) return first;
  const fault = proven.length > 1 ? 'ambiguous-tenant' : (first?.fault ?? 'unknown-anchor');
  return { tenantId: undefined, path: undefined, fault };
}

/** Everything stands, and nobody is known by it. */
function isUnknownOnly(result: Shown | Refusal): boolean {
  return result.kind === 'refused' && result.detail === detailOf('unknown-identity');
}

/** A certificate that is pinned needs no path. */
function pinned({ leaf }: PresentedChain, holder: Holder | undefined): CertificateProof | undefined {
  if (holder?.credential.isPinned !== true || clientFault(leaf) !== undefined) return undefined;
  const { fingerprint, serial, notBefore, notAfter } = leaf;
  const commonName = commonNameOf(leaf);
  return { fingerprint, commonName, anchorId: undefined, serial, notBefore, notAfter };
}

class UnreadableAnchorError extends Error {
  override readonly name = 'UnreadableAnchorError';
  readonly code = 'trust-anchor.unreadable';
}

/** What was right once and is over is another thing than what never was. */
const over: ReadonlySet<Fault> = new Set([
  'expired',
  'not-yet-valid',
  'revoked',
  'revocation-unknown',
  'anchor-gone',
  'credential-gone',
]);

function refuse(fault: Fault, tenantId?: string, deviceId?: string, why?: string): Refusal {
  const reason: Reason = over.has(fault) ? Reasons.notAuthorized : Reasons.badUserNameOrPassword;
  const detail = why === undefined ? detailOf(fault) : `${detailOf(fault)}: ${why}`;
  return { kind: 'refused', reason, detail, tenantId: tenantId as TenantId | undefined, deviceId };
}

function detailOf(fault: Fault): string {
  return `certificate: ${fault}`;
}

/** Of a chain that leads to no anchor of the tenant in question. */
const pathless: ReadonlySet<string> = new Set(
  (['unknown-anchor', 'chain-incomplete'] as const).map((fault) => detailOf(fault)),
);
