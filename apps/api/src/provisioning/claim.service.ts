import { Inject, Injectable } from '@nestjs/common';
import { clientIdRuleSchema, validityAt, verifySecret, type CertificateRequest } from '#access';
import {
  claimTokenHash,
  countClaim,
  findClaimed,
  findCredential,
  findDevice,
  findIssuedByCredential,
  findIssuingAuthority,
  findTenant,
  listTenantHosts,
  lockClaimToken,
  recordAudit,
  type ClaimToken,
  type ControlStore,
  type Credential,
  type IssuedCertificate,
  type TenantTx,
} from '#store';
import { Failure, notFound } from '../failure.js';
import { turnOfStranger } from '../http/access.js';
import { presentForDevice } from '../issuing/device-certificate.schema.js';
import { Issuer, requestOf, spkiHashOf, type Issued } from '../issuing/issuer.js';
import { refusingTakenNames } from '../names.js';
import { requireRoomForDevices } from '../quotas.js';
import { ENDPOINTS, SECRET_KEY, STORE } from '../injection-tokens.js';
import { toPem } from '../trust-anchors/trust-anchor.schema.js';
import type { ClaimView, NewClaimInput, NewRenewalInput } from './claim.schema.js';
import { createNewcomer, newcomersName } from './newcomer.js';
import { placeOf } from './token.js';

/** Where the broker listens, as devices see it. */
export interface Endpoints {
  readonly mqttsPort: number;
  readonly wssPort: number;
}

/** The broker's WebSocket path. */
const webSocketPath = '/mqtt';

/**
 * First contact: whoever has a token becomes a device, with a certificate for a key of its own. Device, certificate and the
 * token's count are written together, so that a claim that fails costs nothing, and no more come in than the token lets.
 */
@Injectable()
export class ClaimService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(ENDPOINTS) private readonly endpoints: Endpoints,
    @Inject(Issuer) private readonly issuer: Issuer,
  ) {}

  async claim({ token, csr, name }: NewClaimInput, address: string): Promise<ClaimView> {
    const place = placeOf(token);
    if (place === undefined) throw unknownToken();
    const { tenantId, id } = place;
    // In no turn of the tenant's yet: anybody may name it.
    const hash = await this.store.tenant(tenantId, (tx) => claimTokenHash(tx, id), turnOfStranger(address));
    // The same work for a token that is not there.
    const isRight = verifySecret(this.secretKey, token, hash ?? Buffer.alloc(32));
    if (hash === undefined || !isRight) throw unknownToken();
    // What follows costs more, and is for holders of a token alone.
    const request = await requestOf(csr);
    return refusingTakenNames('device', () =>
      this.store.tenant(tenantId, async (tx) => {
        const claimToken = await lockClaimToken(tx, id);
        if (claimToken === null) throw unknownToken();
        return this.admit(tx, claimToken, request, name ?? request.commonNames[0], address);
      }),
    );
  }

  /** By a device that is in with the certificate that it renews: the broker has seen it, and says so. */
  async renew({ tenantId, credentialId, csr, address }: NewRenewalInput): Promise<ClaimView> {
    const request = await requestOf(csr);
    return this.store.tenant(tenantId, async (tx) => {
      const credential = await findCredential(tx, credentialId);
      const before = await findIssuedByCredential(tx, credentialId);
      // One that the tenant brought is renewed where it came from.
      if (credential === null || before === null) throw notFound();
      const device = await findDevice(tx, credential.deviceId);
      if (device === null) throw notFound();
      if (!mayRenew(credential, before) || device.status !== 'active') {
        throw new Failure('forbidden', 'This certificate is not to be renewed.');
      }
      const issued = await this.issuer.issue(tx, {
        device,
        request,
        clientIdRule: clientIdRuleSchema.parse(credential.clientIdRule),
        issuedBy: `renewal of ${before.serial}`,
      });
      const detail = { serial: issued.certificate.serial, renews: before.serial, address };
      await note(tx, { actor: `device ${device.name}`, action: 'certificate.renew', id: device.id, detail });
      return this.answer(tx, issued, device);
    });
  }

  private async admit(
    tx: TenantTx,
    token: ClaimToken,
    request: CertificateRequest,
    wish: string | undefined,
    address: string,
  ): Promise<ClaimView> {
    const tenant = await findTenant(tx, tx.tenantId);
    if (tenant?.status !== 'active') throw new Failure('tenant-suspended', 'The tenant is suspended.');
    if (token.expiresAt.getTime() <= Date.now())
      throw new Failure('forbidden', 'The claim token has expired.');
    // Whose answer was lost asks again, with the same key: it gets what it has got.
    const again = await this.repeat(tx, token, request);
    if (again !== undefined) return again;
    if (token.uses >= token.maxUses) throw new Failure('limit-reached', 'The claim token is used up.');
    const name = newcomersName(token, wish);
    if (name === undefined) throw new Failure('forbidden', 'The claim token lets no device of this name in.');
    await requireRoomForDevices(tx);
    const device = await createNewcomer(tx, name, token.profileId);
    const issuedBy = `claim token ${token.name}`;
    const issued = await this.issuer.issue(tx, { device, request, issuedBy, claimTokenId: token.id });
    await countClaim(tx, token.id);
    const detail = { name, claimToken: token.id, serial: issued.certificate.serial, address };
    await note(tx, { actor: issuedBy, action: 'device.claim', id: device.id, detail });
    return this.answer(tx, issued, device);
  }

  private async repeat(
    tx: TenantTx,
    token: ClaimToken,
    request: CertificateRequest,
  ): Promise<ClaimView | undefined> {
    const certificate = await findClaimed(tx, token.id, spkiHashOf(request));
    if (certificate === null) return undefined;
    const [credential, device, authority] = [
      await findCredential(tx, certificate.credentialId),
      await findDevice(tx, certificate.deviceId),
      await findIssuingAuthority(tx, certificate.authorityId),
    ];
    if (credential === null || device === null || authority === null) {
      throw new Failure('forbidden', 'This key has been used for a claim, and is good for nothing any more.');
    }
    return this.answer(tx, { certificate, credential, authority }, device);
  }

  private async answer(
    tx: TenantTx,
    issued: Issued,
    { id, name }: { readonly id: string; readonly name: string },
  ): Promise<ClaimView> {
    const tenant = await findTenant(tx, tx.tenantId);
    const slug = tenant?.slug ?? '';
    const [first] = await listTenantHosts(tx);
    const host = first?.host ?? null;
    const { certificate } = issued;
    const { mqttsPort, wssPort } = this.endpoints;
    return {
      device: { id, name },
      tenant: slug,
      clientId: name,
      ...presentForDevice(issued, slug),
      certificate: toPem(certificate.certificate),
      notAfter: certificate.notAfter.toISOString(),
      endpoints: {
        mqtts: { host, port: mqttsPort },
        wss: { host, port: wssPort, path: webSocketPath },
      },
    };
  }
}

/** Much may have happened since the broker looked; and an end that somebody has set is not got round by a new certificate. */
function mayRenew(credential: Credential, { revokedAt, notAfter }: IssuedCertificate): boolean {
  const time = (date: Date | null): number | undefined => date?.getTime();
  const validity = {
    notBefore: time(credential.notBefore),
    notAfter: time(credential.notAfter),
    disabledAt: time(credential.disabledAt),
  };
  const isShortened = credential.notAfter !== null && credential.notAfter < notAfter;
  return revokedAt === null && !isShortened && validityAt(validity, Date.now()) === 'valid';
}

/** The same for one that never was and one that was deleted. */
function unknownToken(): Failure {
  return new Failure('unauthenticated', 'There is no such claim token.');
}

async function note(
  tx: TenantTx,
  what: { actor: string; action: string; id: string; detail: Readonly<Record<string, string>> },
): Promise<void> {
  const { actor, action, id, detail } = what;
  await recordAudit(tx, { actor, action, subjectKind: 'device', subjectId: id, detail });
}
