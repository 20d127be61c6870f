import { Inject, Injectable } from '@nestjs/common';
import {
  makeAuthority,
  readCertificate,
  revocationReasons,
  seal,
  signRevocationList,
  type RevokedEntry,
} from '#access';
import {
  createIssuingAuthority,
  createTrustAnchor,
  deleteTrustAnchor,
  findIssuingAuthority,
  listIssuingAuthorities,
  revokedByAuthority,
  updateIssuingAuthority,
  updateTrustAnchor,
  type ControlStore,
  type IssuingAuthority,
  type TenantTx,
} from '#store';
import { audit, record } from '../changes.js';
import { invalidBody, notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import { columnsOf, refusingTaken } from '../trust-anchors/trust-anchor.service.js';
import { Issuer, placeOfKey } from './issuer.js';
import type {
  IssuingAuthorityPatchInput,
  NewIssuingAuthorityInput,
  SignedList,
} from './issuing-authority.schema.js';

/** Days for which a list that is signed on request is good. */
const listDays = 7;
const dayMs = 24 * 3_600_000;

/**
 * Authorities whose key the platform has made. Each is a trust anchor of its tenant, and proven by birth; several at once make
 * a roll-over: the newest that is active issues, the others are trusted on.
 */
@Injectable()
export class IssuingAuthorityService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(Issuer) private readonly issuer: Issuer,
  ) {}

  async create(scope: TenantScope, input: NewIssuingAuthorityInput): Promise<IssuingAuthority> {
    const { name, days, certificateDays, maxCertificateDays } = input;
    const made = await makeAuthority(name, days, Date.now());
    const facts = readCertificate(made.certificate);
    if (facts === undefined) throw new Error('an authority was made that cannot be read');
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'trust-anchors');
        const anchor = await createTrustAnchor(tx, {
          name,
          ...columnsOf(facts),
          identity: {}, // names nobody: what it has issued is known certificate by certificate
          challenge: '',
          crlWhenStale: 'refuse',
          crlGraceS: 0,
        });
        await updateTrustAnchor(tx, anchor.id, anchor.version, { provenAt: new Date() });
        const sealed = seal(this.secretKey, placeOfKey(tx.tenantId, anchor.id), made.privateKey);
        const authority = await createIssuingAuthority(tx, {
          id: anchor.id,
          sealedKey: Uint8Array.from(sealed),
          certificateDays,
          maxCertificateDays,
        });
        await audit(tx, scope, about(authority, 'issuing-authority.create'));
        return authority;
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<IssuingAuthority>> {
    return this.cursors.read(
      `issuing-authorities ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listIssuingAuthorities(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<IssuingAuthority> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, id));
  }

  /** No right of anybody's changes: what has been issued stays as it is. */
  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: IssuingAuthorityPatchInput,
  ): Promise<IssuingAuthority> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      requireVersion(current, expected);
      const { certificateDays = current.certificateDays, maxCertificateDays = current.maxCertificateDays } =
        patch;
      if (certificateDays > maxCertificateDays) {
        const message = 'Not more than maxCertificateDays.';
        throw invalidBody({ pointer: '#/certificateDays', code: 'out-of-range', message });
      }
      const value = await updateIssuingAuthority(tx, id, current.version, patch);
      if (value === undefined) throw staleVersion();
      await audit(tx, scope, about(value, 'issuing-authority.update'));
      return value;
    });
  }

  /** Signed for whoever checks certificates elsewhere; the broker itself looks at each revocation as it is written. */
  async revocationList(scope: TenantScope, id: string): Promise<SignedList> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const authority = await existing(tx, id);
      const now = Date.now();
      const revoked = await revokedByAuthority(tx, id, new Date(now));
      const entries = revoked.map(({ serial, revokedAt, revocationReason }): RevokedEntry => {
        const reason = revocationReasons.find((known) => known === revocationReason) ?? 'unspecified';
        return { serial, at: revokedAt ?? new Date(now), reason };
      });
      // A number of 0 is none that can be grown from: the first list has 1.
      const number = authority.crlNumber + 1n;
      const crl = await signRevocationList(await this.issuer.key(tx, authority), {
        number,
        entries,
        now,
        days: listDays,
      });
      const [thisUpdate, nextUpdate] = [new Date(now), new Date(now + listDays * dayMs)];
      return { number, thisUpdate, nextUpdate, entries: entries.length, crl };
    });
  }

  /** The key is gone for good, and with it every connection that rests on it. */
  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      requireVersion(current, expected);
      if (!(await deleteTrustAnchor(tx, id, current.anchor.version))) throw staleVersion();
      const what = about(current, 'issuing-authority.delete');
      return record(tx, scope, { ...what, kind: 'trust-anchor', subject: { anchorId: id } });
    });
  }
}

async function existing(tx: TenantTx, id: string): Promise<IssuingAuthority> {
  const authority = await findIssuingAuthority(tx, id);
  if (authority === null) throw notFound();
  return authority;
}

function about({ id, anchor, status }: IssuingAuthority, action: string) {
  return { kind: 'trust-anchor', action, subjectId: id, detail: { name: anchor.name, status } } as const;
}
