import { Inject, Injectable } from '@nestjs/common';
import {
  findDevice,
  findIssuedCertificate,
  listIssuedCertificates,
  revokeIssuedCertificate,
  type ControlStore,
  type IssuedCertificate,
  type TenantTx,
} from '#store';
import { audit, record, type Changed } from '../changes.js';
import { Failure, notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { NewDeviceCertificateInput, RevocationInput } from './device-certificate.schema.js';
import { Issuer, requestOf, type Issued } from './issuer.js';

@Injectable()
export class DeviceCertificateService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(Issuer) private readonly issuer: Issuer,
  ) {}

  /** A renewal too: the one before stays good until it ends or is revoked. */
  async issue(scope: TenantScope, deviceId: string, input: NewDeviceCertificateInput): Promise<Issued> {
    const { csr, ...rest } = input;
    const request = await requestOf(csr);
    return this.store.tenant(scope.tenantId, async (tx) => {
      const device = await findDevice(tx, deviceId);
      if (device === null) throw notFound();
      const issuedBy = `api key ${scope.caller.actor}`;
      const issued = await this.issuer.issue(tx, { device, request, issuedBy, ...rest });
      await audit(tx, scope, about(issued.certificate, 'certificate.issue'));
      return issued;
    });
  }

  async list(scope: TenantScope, deviceId: string, query: PageRequest): Promise<Page<IssuedCertificate>> {
    return this.cursors.read(
      `device-certificates ${scope.tenantId} ${deviceId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          if ((await findDevice(tx, deviceId)) === null) throw notFound();
          return listIssuedCertificates(tx, { deviceId, afterId, limit });
        }),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, deviceId: string, id: string): Promise<IssuedCertificate> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, deviceId, id));
  }

  /** For good. Whoever is connected with it is shown out. */
  async revoke(
    scope: TenantScope,
    deviceId: string,
    id: string,
    { reason }: RevocationInput,
  ): Promise<Changed<IssuedCertificate>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      await existing(tx, deviceId, id);
      const value = await revokeIssuedCertificate(tx, id, reason);
      if (value === undefined) throw new Failure('conflict', 'It has been revoked before.');
      const { authorityId, credentialId } = value;
      const what = about(value, 'certificate.revoke');
      const operation = await record(tx, scope, {
        ...what,
        kind: 'trust-anchor',
        subject: { anchorId: authorityId, credentialId },
        detail: { ...what.detail, reason },
      });
      return { value, operation };
    });
  }
}

/** Under its own device only. */
async function existing(tx: TenantTx, deviceId: string, id: string): Promise<IssuedCertificate> {
  const certificate = await findIssuedCertificate(tx, id);
  if (certificate === null || certificate.deviceId !== deviceId) throw notFound();
  return certificate;
}

function about({ id, deviceId, serial }: IssuedCertificate, action: string) {
  return { kind: 'credential', action, subjectId: id, detail: { deviceId, serial } } as const;
}
