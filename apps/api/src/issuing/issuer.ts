import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  issueCertificate,
  readCertificate,
  readRequest,
  unseal,
  type CertificateRequest,
  type ClientIdRule,
  type IssuingKey,
  type RequestFault,
  type SealPlace,
} from '#access';
import {
  createCredential,
  currentIssuingAuthority,
  dropSpentCredentials,
  findIssuingAuthority,
  recordIssuedCertificate,
  sealedKeyOf,
  type Credential,
  type IssuedCertificate,
  type IssuingAuthority,
  type TenantTx,
} from '#store';
import { Failure, invalidBody } from '../failure.js';
import { requireRoom } from '../quotas.js';
import { SECRET_KEY } from '../injection-tokens.js';

export interface Order {
  readonly device: { readonly id: string; readonly name: string };
  readonly request: CertificateRequest;
  /** Undefined: the tenant's newest that issues. */
  readonly authorityId?: string | undefined;
  /** Undefined: what the authority gives. */
  readonly days?: number | undefined;
  readonly clientIdRule?: ClientIdRule | undefined;
  /** For people: who asked. */
  readonly issuedBy: string;
  readonly claimTokenId?: string | undefined;
}

export interface Issued {
  readonly certificate: IssuedCertificate;
  readonly credential: Credential;
  readonly authority: IssuingAuthority;
}

/**
 * Signs, within the transaction that asked: a certificate is there together with the credential that it is good for, or not at
 * all. Nothing but the public key comes from the request.
 */
@Injectable()
export class Issuer {
  constructor(@Inject(SECRET_KEY) private readonly secretKey: Buffer) {}

  async issue(tx: TenantTx, order: Order): Promise<Issued> {
    const { device, request, issuedBy, clientIdRule = { kind: 'device' } } = order;
    const authority = await this.authority(tx, order.authorityId);
    const days = order.days ?? authority.certificateDays;
    if (days > authority.maxCertificateDays) throw tooLong(authority.maxCertificateDays);
    const now = Date.now();
    await dropSpentCredentials(tx, device.id, new Date(now));
    await requireRoom(tx, 'credentials', device.id);
    const der = await issueCertificate(await this.key(tx, authority), {
      publicKey: request.publicKey,
      deviceName: device.name,
      deviceId: device.id,
      now,
      days,
    });
    const facts = readCertificate(der);
    if (facts === undefined) throw new Error('a certificate was issued that cannot be read');
    const fingerprint = Buffer.from(facts.fingerprint, 'hex');
    // Pinned, and under this anchor alone: neither a device of the same name nor another authority can take its place.
    const credential = await createCredential(tx, {
      deviceId: device.id,
      authId: `x-${randomBytes(9).toString('hex')}`,
      secret: { kind: 'certificate', fingerprint, anchorId: authority.id },
      clientIdRule,
      notBefore: null,
      notAfter: new Date(facts.notAfter),
    });
    const certificate = await recordIssuedCertificate(tx, {
      authorityId: authority.id,
      deviceId: device.id,
      credentialId: credential.id,
      serial: facts.serial,
      fingerprint: Uint8Array.from(fingerprint),
      spkiHash: spkiHashOf(request),
      certificate: Uint8Array.from(der),
      notBefore: new Date(facts.notBefore),
      notAfter: new Date(facts.notAfter),
      issuedBy,
      claimTokenId: order.claimTokenId ?? null,
    });
    return { certificate, credential, authority };
  }

  /** Unsealed for one signature. */
  async key(tx: TenantTx, authority: IssuingAuthority): Promise<IssuingKey> {
    const sealed = await sealedKeyOf(tx, authority.id);
    if (sealed === undefined) throw new Error(`issuing authority ${authority.id} has no key`);
    const privateKey = unseal(this.secretKey, placeOfKey(tx.tenantId, authority.id), sealed);
    return { certificate: Buffer.from(authority.anchor.certificate), privateKey };
  }

  private async authority(tx: TenantTx, id: string | undefined): Promise<IssuingAuthority> {
    const found = id === undefined ? await currentIssuingAuthority(tx) : await findIssuingAuthority(tx, id);
    const fault =
      found === null
        ? 'unknown-reference'
        : found.status !== 'active'
          ? 'retired'
          : found.anchor.notAfter.getTime() <= Date.now()
            ? 'expired'
            : undefined;
    if (found !== null && fault === undefined) return found;
    const message =
      id === undefined ? 'The tenant has no authority that issues.' : 'No authority that issues.';
    throw invalidBody({ pointer: '#/authorityId', code: fault ?? 'unknown-reference', message });
  }
}

/** What an authority's key is sealed for. */
export function placeOfKey(tenantId: string, authorityId: string): SealPlace {
  return { purpose: 'issuing authority', place: [tenantId, authorityId] };
}

export function spkiHashOf({ spkiHash }: CertificateRequest): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(spkiHash, 'hex'));
}

/** Refuses what is no proof of a strong key. */
export async function requestOf(csr: string): Promise<CertificateRequest> {
  const request = await readRequest(csr);
  if (typeof request !== 'string') return request;
  throw invalidBody({ pointer: '#/csr', code: request, message: requestMessages[request] });
}

const requestMessages: Readonly<Record<RequestFault, string>> = {
  malformed: 'Not one certificate request (PKCS #10), in PEM or in base64.',
  'weak-key': 'RSA from 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448.',
  'weak-signature': 'Signed with SHA-1, MD5 or another algorithm that is not taken.',
  'not-signed-by-its-key': 'Its signature is not by the key that it is for.',
};

function tooLong(max: number): Failure {
  const message = `The authority issues for at most ${max} days.`;
  return invalidBody({ pointer: '#/days', code: 'out-of-range', message });
}
