import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  anchorFault,
  isSignedBy,
  possessionFault,
  readCertificate,
  readRevocationList,
  type Certificate,
  type RevocationList,
} from '#access';
import {
  createTrustAnchor,
  crlFetched,
  deleteTrustAnchor,
  findIssuingAuthority,
  findTrustAnchor,
  forgetSeenCrlSources,
  isUniqueViolation,
  listTrustAnchors,
  nameCrlSources,
  replaceRevocationList,
  updateTrustAnchor,
  type AnchorCertificate,
  type ControlStore,
  type DueCrlSource,
  type TenantTx,
  type TrustAnchor,
} from '#store';
import { audit, record, type Changed } from '../changes.js';
import {
  Failure,
  invalidBody,
  nameTaken,
  notFound,
  requireVersion,
  staleVersion,
  type ExpectedVersion,
} from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type {
  NewTrustAnchorInput,
  PossessionProofInput,
  TrustAnchorPatchInput,
} from './trust-anchor.schema.js';

/**
 * Two tenants may trust the same authority, where each has proven that it has the key: then a certificate alone does not name
 * the tenant, and the client has to.
 */
@Injectable()
export class TrustAnchorService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, input: NewTrustAnchorInput): Promise<TrustAnchor> {
    const { certificate: encoded, crlUrls, ...rest } = input;
    const authority = authorityOf(encoded);
    // A common name has room for 64 characters (RFC 5280, appendix A).
    const challenge = `moorage-${randomBytes(20).toString('hex')}`;
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'trust-anchors');
        const isFetched = crlUrls.length > 0 || rest.crlFromCertificates;
        const { id } = await createTrustAnchor(tx, {
          ...rest,
          ...columnsOf(authority),
          challenge,
          crlExpectedAt: isFetched ? firstListDue() : null,
        });
        await nameCrlSources(tx, id, crlUrls);
        const anchor = await existing(tx, id);
        await audit(tx, scope, about(anchor, 'trust-anchor.create'));
        return anchor;
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<TrustAnchor>> {
    return this.cursors.read(
      `trust-anchors ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listTrustAnchors(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<TrustAnchor> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, id));
  }

  /** Until then it is trusted for nothing. Proven again it stays as it is. */
  async prove(scope: TenantScope, id: string, input: PossessionProofInput): Promise<TrustAnchor> {
    const answer = readCertificate(input.certificate);
    if (answer === undefined) throw certificateFault('malformed');
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      const fault = possessionFault(answer, storedAuthority(current), current.challenge, Date.now());
      if (fault !== undefined) throw certificateFault(fault);
      if (current.provenAt !== null) return current;
      const anchor = await updateTrustAnchor(tx, id, current.version, { provenAt: new Date() });
      if (anchor === undefined) throw staleVersion();
      await record(tx, scope, about(anchor, 'trust-anchor.prove')); // paths may lead to it that led elsewhere
      return anchor;
    });
  }

  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    { certificate, crlUrls, ...patch }: TrustAnchorPatchInput,
  ): Promise<Changed<TrustAnchor>> {
    const authority = certificate === undefined ? undefined : authorityOf(certificate);
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const current = await existing(tx, id);
        requireVersion(current, expected);
        if (authority !== undefined) await requireRenewal(tx, current, authority);
        const renewed = authority === undefined ? {} : columnsOf(authority);
        const isFetchedAnew = crlUrls !== undefined || patch.crlFromCertificates !== undefined;
        if (isFetchedAnew && (await findIssuingAuthority(tx, id)) !== null) throw sourceFault('issued-here');
        if (crlUrls !== undefined) await nameCrlSources(tx, id, crlUrls);
        if (patch.crlFromCertificates === false) await forgetSeenCrlSources(tx, id);
        const value = await updateTrustAnchor(tx, id, current.version, {
          ...patch,
          ...renewed,
          ...(isFetchedAnew ? { crlExpectedAt: await whenExpected(tx, current, patch) } : {}),
        });
        if (value === undefined) throw staleVersion();
        return { value, operation: await record(tx, scope, about(value, 'trust-anchor.update')) };
      }),
    );
  }

  /** A newer list takes the place of the one before, and everybody whom it revokes is shown out. */
  async revoke(scope: TenantScope, id: string, encoded: Buffer | string): Promise<Changed<TrustAnchor>> {
    const list = await listOf(encoded);
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      const value = await this.#replace(tx, current, list);
      const detail = { name: value.name, crl: String(list.number), entries: list.serials.length };
      const operation = await record(tx, scope, { ...about(value, 'trust-anchor.revoke'), detail });
      return { value, operation };
    });
  }

  /** The same by what was fetched; the one that is in force already, again, is as good. */
  async fetched({ tenantId, anchorId, url }: DueCrlSource, encoded: Buffer): Promise<void> {
    const list = await listOf(encoded);
    await this.store.tenant(tenantId, async (tx) => {
      const current = await findTrustAnchor(tx, anchorId);
      if (current === null) return; // it has gone meanwhile, and its sources with it
      const isKnown = current.crlNumber === String(list.number) && isSignedBy(list, storedAuthority(current));
      const value = isKnown ? current : await this.#replace(tx, current, list);
      await crlFetched(tx, { tenantId, anchorId, url }, whenDue(list, value.crlRefreshS));
      if (isKnown) return;
      const detail = { name: value.name, crl: String(list.number), entries: list.serials.length, url };
      const platform = { caller: { actor: 'platform' } };
      await record(tx, platform, { ...about(value, 'trust-anchor.revoke'), detail });
    });
  }

  async #replace(tx: TenantTx, current: TrustAnchor, list: RevocationList): Promise<TrustAnchor> {
    // The platform keeps its own book for its own authorities: a list of yesterday must not take back what was revoked since.
    if ((await findIssuingAuthority(tx, current.id)) !== null) throw listFault('issued-here');
    if (!isSignedBy(list, storedAuthority(current))) throw listFault('not-signed-by-anchor');
    if (!isNewer(list, current)) throw listFault('not-newer');
    const value = await replaceRevocationList(tx, current.id, current.version, {
      number: String(list.number),
      thisUpdate: new Date(list.thisUpdate),
      nextUpdate: new Date(list.nextUpdate),
      serials: list.serials,
    });
    if (value === undefined) throw staleVersion();
    return value;
  }

  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      await refuseIssuing(tx, id);
      requireVersion(current, expected);
      if (!(await deleteTrustAnchor(tx, id, current.version))) throw staleVersion();
      return record(tx, scope, about(current, 'trust-anchor.delete'));
    });
  }
}

function authorityOf(encoded: string): Certificate {
  const authority = readCertificate(encoded);
  const fault = authority === undefined ? 'malformed' : anchorFault(authority, Date.now());
  if (authority === undefined || fault !== undefined) throw certificateFault(fault ?? 'malformed');
  return authority;
}

/** The same key under the same name: what has been proven of it, and what it has signed, stands. */
async function requireRenewal(tx: TenantTx, current: TrustAnchor, authority: Certificate): Promise<void> {
  const { spkiHash, subjectHash, keyId } = columnsOf(authority);
  if ((await findIssuingAuthority(tx, current.id)) !== null) throw certificateFault('issued-here');
  if (!isSame(spkiHash, current.spkiHash)) throw certificateFault('other-key');
  if (!isSame(subjectHash, current.subjectHash)) throw certificateFault('other-subject');
  if (!isSame(keyId, current.keyId)) throw certificateFault('other-key-id');
  // Nothing else shows that it is the authority that has renewed it.
  const { certificate, notBefore } = authority;
  if (!certificate.verify(certificate.publicKey)) throw certificateFault('not-signed-by-anchor');
  // It takes the place of one that is in force.
  if (notBefore > Date.now()) throw certificateFault('not-yet-valid');
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

function storedAuthority(row: TrustAnchor): Certificate {
  const authority = readCertificate(Buffer.from(row.certificate));
  if (authority === undefined) throw new Error(`the certificate of trust anchor ${row.id} cannot be read`);
  return authority;
}

export function columnsOf(authority: Certificate): AnchorCertificate {
  const bytes = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(hex, 'hex'));
  return {
    certificate: Uint8Array.from(authority.certificate.raw),
    subject: authority.subject,
    fingerprint: bytes(authority.fingerprint),
    spkiHash: bytes(authority.spkiHash),
    keyId: bytes(authority.keyId),
    subjectHash: bytes(authority.subjectHash),
    notBefore: new Date(authority.notBefore),
    notAfter: new Date(authority.notAfter),
  };
}

async function listOf(encoded: Buffer | string): Promise<RevocationList> {
  const list = await readRevocationList(encoded);
  if (typeof list === 'string') throw listFault(list);
  const now = Date.now();
  if (list.thisUpdate > now) throw listFault('not-yet-valid');
  if (list.nextUpdate <= now) throw listFault('expired');
  return list;
}

/** The first list has to be there by then: until then a tenant that has just named its place shuts nobody out. */
const firstListWithinMs = 5 * 60_000;

function firstListDue(): Date {
  return new Date(Date.now() + firstListWithinMs);
}

/** Null: no list is to be fetched. A wait that has begun goes on. */
async function whenExpected(
  tx: TenantTx,
  { id, crlExpectedAt, crlFromCertificates: was }: TrustAnchor,
  { crlFromCertificates = was }: Pick<TrustAnchorPatchInput, 'crlFromCertificates'>,
): Promise<Date | null> {
  const { crlSources } = await existing(tx, id);
  if (crlSources.length === 0 && !crlFromCertificates) return null;
  return crlExpectedAt ?? firstListDue();
}

const shortestWaitMs = 60_000;
const mostAheadMs = 3_600_000;

/** Well before the list is over: an hour, or a tenth of its time. And often enough to learn of what is revoked in between. */
function whenDue({ thisUpdate, nextUpdate }: RevocationList, refreshS: number): Date {
  const ahead = Math.min(mostAheadMs, (nextUpdate - thisUpdate) / 10);
  const now = Date.now();
  return new Date(Math.max(now + shortestWaitMs, Math.min(now + refreshS * 1_000, nextUpdate - ahead)));
}

/** By its number; and never by going back in time, whatever the number says. */
function isNewer({ number, thisUpdate }: RevocationList, { crlNumber, crlThisUpdate }: TrustAnchor): boolean {
  if (crlNumber === null || crlThisUpdate === null) return true;
  return number > BigInt(crlNumber) && thisUpdate >= crlThisUpdate.getTime();
}

async function existing(tx: TenantTx, id: string): Promise<TrustAnchor> {
  const anchor = await findTrustAnchor(tx, id);
  if (anchor === null) throw notFound();
  return anchor;
}

/** Its key would go with it: whoever may write trust anchors need not be allowed that. */
async function refuseIssuing(tx: TenantTx, id: string): Promise<void> {
  if ((await findIssuingAuthority(tx, id)) === null) return;
  throw new Failure('in-use', 'It is an issuing authority: delete it as one.');
}

function about(anchor: TrustAnchor, action: string) {
  const { id, name } = anchor;
  const detail = { name, publicKeyHash: Buffer.from(anchor.spkiHash).toString('hex') };
  return { kind: 'trust-anchor', subject: { anchorId: id }, action, subjectId: id, detail } as const;
}

export async function refusingTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUniqueViolation(error, 'trust_anchors_tenant_id_spki_hash_key'))
      throw nameTaken('#/certificate', 'There is a trust anchor of this key.');
    if (isUniqueViolation(error)) throw nameTaken('#/name', 'There is a trust anchor of this name.');
    throw error;
  }
}

const messages: Readonly<Record<string, string>> = {
  malformed: 'Not one well-formed certificate in PEM.',
  'not-an-authority': 'Its basic constraints do not make it an authority.',
  'wrong-usage': 'Its key usage does not let it issue client certificates.',
  'weak-key': 'RSA from 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448.',
  'weak-signature': 'Signed with SHA-1, MD5 or another algorithm that is not taken.',
  'unsupported-extension': 'It has a critical extension, or name constraints, that are not understood here.',
  expired: 'It has expired.',
  'not-signed-by-anchor': 'The key of the trust anchor has not signed it.',
  'wrong-common-name': 'Its common name is not the challenge.',
  'not-yet-valid': 'It is not valid yet.',
  'other-key': 'It has another key: bring it as a trust anchor of its own.',
  'other-subject': 'It has another subject: bring it as a trust anchor of its own.',
  'other-key-id': 'It has another subject key identifier: what was issued before would not lead to it.',
  'issued-here': 'The authority is of the platform.',
};

function certificateFault(code: string): Failure {
  return invalidBody({ pointer: '#/certificate', code, message: messages[code] ?? code });
}

const listMessages: Readonly<Record<string, string>> = {
  malformed: 'Not one well-formed revocation list, in PEM or in base64.',
  'no-number': 'It has no CRL number: an older one could not be told from it.',
  'no-next-update': 'It does not say when the next one comes.',
  'partial-list':
    'It has critical extensions: a delta, or a list for a part of the certificates, is not taken.',
  'not-newer': 'The list that is in force has this number or a higher one, or is of a later time.',
  'not-yet-valid': 'Its thisUpdate is in the future.',
  expired: 'Its nextUpdate is in the past.',
  'issued-here': 'The authority is of the platform: revoke its certificates one by one.',
};

function sourceFault(code: string): Failure {
  return invalidBody({ pointer: '#/crlUrls', code, message: listMessages[code] ?? code });
}

function listFault(code: string): Failure {
  return invalidBody({ pointer: '#/crl', code, message: listMessages[code] ?? messages[code] ?? code });
}
