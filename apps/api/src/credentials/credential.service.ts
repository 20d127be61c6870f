import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { clientFault, deriveVerifiers, generateSecret, hashSecret, readCertificate } from '#access';
import {
  countCredentials,
  createCredential,
  deleteCredential,
  findCredential,
  findDevice,
  findTrustAnchor,
  isUniqueViolation,
  listCredentials,
  updateCredential,
  type ControlStore,
  type Credential,
  type NewSecret,
  type TenantTx,
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
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../tokens.js';
import {
  isInOrder,
  orderFault,
  type CredentialPatchInput,
  type NewCredentialInput,
} from './credential.schema.js';

export interface IssuedCredential {
  readonly credential: Credential;
  /** Shown once; only its hash is kept. Undefined: it is a certificate, whose key never leaves the device. */
  readonly password: string | undefined;
}

/** Enough to rotate as slowly as anybody likes. */
const maxPerDevice = 20;

@Injectable()
export class CredentialService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, deviceId: string, input: NewCredentialInput): Promise<IssuedCredential> {
    const password = input.kind === 'password' ? generateSecret() : undefined;
    const secret = password === undefined ? certificateOf(input) : await this.keep(password);
    try {
      const credential = await this.store.tenant(scope.tenantId, async (tx) => {
        await requireDevice(tx, deviceId);
        await requireAnchor(tx, input.anchorId);
        if ((await countCredentials(tx, deviceId)) >= maxPerDevice) {
          throw new Failure(
            'limit-reached',
            `A device has at most ${maxPerDevice} credentials: delete one first.`,
          );
        }
        const created = await createCredential(tx, {
          deviceId,
          authId: input.authId ?? `c-${randomBytes(9).toString('hex')}`,
          secret,
          clientIdRule: input.clientIdRule,
          notBefore: input.notBefore,
          notAfter: input.notAfter,
        });
        await audit(tx, scope, about(created, 'credential.create'));
        return created;
      });
      return { credential, password };
    } catch (error) {
      if (isUniqueViolation(error, 'credentials_tenant_id_fingerprint_key'))
        throw nameTaken('#/certificate', 'This certificate is pinned already.');
      if (isUniqueViolation(error)) throw nameTaken('#/authId', 'There is a credential of this authId.');
      throw error;
    }
  }

  private async keep(password: string): Promise<NewSecret> {
    return {
      kind: 'password',
      secretHash: Buffer.from(hashSecret(this.secretKey, password)),
      scram: await deriveVerifiers(password),
    };
  }

  async list(scope: TenantScope, deviceId: string, query: PageRequest): Promise<Page<Credential>> {
    return this.cursors.read(
      `credentials ${scope.tenantId} ${deviceId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          await requireDevice(tx, deviceId);
          return listCredentials(tx, { deviceId, afterId, limit });
        }),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, deviceId: string, id: string): Promise<Credential> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, deviceId, id));
  }

  async update(
    scope: TenantScope,
    deviceId: string,
    id: string,
    expected: ExpectedVersion,
    patch: CredentialPatchInput,
  ): Promise<Changed<Credential>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, deviceId, id);
      requireVersion(current, expected);
      const { disabled, ...columns } = patch;
      const { notBefore = current.notBefore, notAfter = current.notAfter } = columns;
      if (!isInOrder({ notBefore, notAfter })) throw invalidBody(orderFault);
      const value = await updateCredential(tx, id, current.version, {
        ...columns,
        disabledAt: disabled === undefined ? undefined : disabled ? (current.disabledAt ?? new Date()) : null,
      });
      if (value === undefined) throw staleVersion();
      const operation = await record(tx, scope, about(value, 'credential.update'));
      return { value, operation };
    });
  }

  async delete(scope: TenantScope, deviceId: string, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, deviceId, id);
      requireVersion(current, expected);
      if (!(await deleteCredential(tx, id, current.version))) throw staleVersion();
      return record(tx, scope, about(current, 'credential.delete'));
    });
  }
}

/** What is pinned, or which authorities a name is believed from. */
function certificateOf(input: NewCredentialInput): NewSecret {
  const { certificate: encoded, fingerprint, anchorId } = input;
  if (encoded === undefined) {
    const pinned = fingerprint === undefined ? null : Buffer.from(fingerprint, 'hex');
    return { kind: 'certificate', fingerprint: pinned, anchorId: anchorId ?? null };
  }
  const certificate = readCertificate(encoded);
  const code = certificate === undefined ? 'malformed' : clientFault(certificate);
  if (certificate === undefined || code !== undefined) {
    const message = 'Not one certificate in PEM that a TLS client may use here.';
    throw invalidBody({ pointer: '#/certificate', code: code ?? 'malformed', message });
  }
  return { kind: 'certificate', fingerprint: Buffer.from(certificate.fingerprint, 'hex'), anchorId: null };
}

async function requireAnchor(tx: TenantTx, id: string | undefined): Promise<void> {
  if (id === undefined || (await findTrustAnchor(tx, id)) !== null) return;
  throw invalidBody({ pointer: '#/anchorId', code: 'unknown', message: 'There is no such trust anchor.' });
}

async function requireDevice(tx: TenantTx, id: string): Promise<void> {
  if ((await findDevice(tx, id)) === null) throw notFound();
}

/** A credential is found under its own device only. */
async function existing(tx: TenantTx, deviceId: string, id: string): Promise<Credential> {
  const credential = await findCredential(tx, id);
  if (credential === null || credential.deviceId !== deviceId) throw notFound();
  return credential;
}

function about({ id, deviceId, authId }: Credential, action: string) {
  const subject = { credentialId: id, deviceId };
  return { kind: 'credential', subject, action, subjectId: id, detail: { authId, deviceId } } as const;
}
