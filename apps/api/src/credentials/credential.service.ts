import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  createCredential,
  deleteCredential,
  findCredential,
  findDevice,
  findTokenIssuer,
  findTrustAnchor,
  isUniqueViolation,
  listCredentials,
  updateCredential,
  type ControlStore,
  type Credential,
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
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import {
  isInOrder,
  isPast,
  orderFault,
  pastFault,
  presentCredential,
  requireOneMeaning,
  type CredentialPatchInput,
  type CredentialRotationInput,
  type IssuedCredential,
  type NewCredentialInput,
} from './credential.schema.js';
import { readMaterial, type Material, type MaterialInput } from './material.js';

export interface Rotated extends IssuedCredential {
  readonly replaced: Credential;
  readonly operation: bigint;
}

@Injectable()
export class CredentialService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, deviceId: string, input: NewCredentialInput): Promise<IssuedCredential> {
    const authId = input.authId ?? randomAuthId();
    const { secret, password } = await this.#make(scope, input, authId);
    return refusingTaken(async () => {
      const credential = await this.store.tenant(scope.tenantId, async (tx) => {
        await requireDevice(tx, deviceId);
        await requireAnchor(tx, input.anchorId);
        await requireIssuer(tx, input.issuerId);
        await requireRoom(tx, 'credentials', deviceId);
        const created = await createCredential(tx, {
          deviceId,
          authId,
          secret,
          clientIdRule: input.clientIdRule,
          notBefore: input.notBefore,
          notAfter: input.notAfter,
        });
        await recordCreated(tx, scope, created);
        return created;
      });
      return { credential, password };
    });
  }

  /** A new one beside it, of the same kind and for the same client identifiers; the old one ends when both have had their time. */
  async rotate(
    scope: TenantScope,
    deviceId: string,
    id: string,
    expected: ExpectedVersion,
    input: CredentialRotationInput,
  ): Promise<Rotated> {
    const old = await this.get(scope, deviceId, id);
    requireVersion(old, expected);
    const { kind } = presentCredential(old, scope.tenantSlug);
    const { overlapS, notAfter, authId = randomAuthId(), ...given } = input;
    requireSomethingNew(old, given);
    requireMeaningOf(kind, given);
    const { secret, password } = await this.#make(scope, { kind, ...given }, authId);
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'credentials', deviceId);
        const credential = await createCredential(tx, {
          deviceId,
          authId,
          secret,
          clientIdRule: old.clientIdRule as Record<string, string>,
          notBefore: null,
          notAfter,
          replacesId: id,
        });
        const end = new Date(Date.now() + overlapS * 1_000);
        const replaced = await updateCredential(tx, id, old.version, {
          notAfter: old.notAfter !== null && old.notAfter < end ? old.notAfter : end,
          // One that was not valid yet would never be.
          ...(old.notBefore !== null && old.notBefore >= end ? { notBefore: null } : {}),
        });
        if (replaced === undefined) throw staleVersion();
        await recordCreated(tx, scope, credential);
        const operation = await record(tx, scope, about(replaced, 'credential.rotate'));
        return { credential, password, replaced, operation };
      }),
    );
  }

  async #make(
    { tenantId, tenantSlug }: TenantScope,
    input: MaterialInput,
    authId: string,
  ): Promise<Material> {
    return readMaterial(input, [authId, tenantSlug]).make(this.secretKey, tenantId);
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
      if (endsInPast(current, notAfter)) {
        const { message, ...fault } = pastFault();
        throw invalidBody({ ...fault, message: `${message} With disabled: true it stops at once.` });
      }
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

export function randomAuthId(): string {
  return `c-${randomBytes(9).toString('hex')}`;
}

/** Sent back as it was read, an end that is over changes nothing. */
function endsInPast(current: Credential, notAfter: Date | null): boolean {
  return notAfter !== null && notAfter.getTime() !== current.notAfter?.getTime() && isPast(notAfter);
}

/** A certificate by its name, a token of an issuer, and what is external are made anew elsewhere. */
function requireSomethingNew(
  { kind, fingerprint, publicKey }: Credential,
  given: Pick<MaterialInput, 'certificate' | 'fingerprint' | 'publicKey'>,
): void {
  const missing = (pointer: string): Failure =>
    invalidBody({ pointer, code: 'required', message: 'What takes the place of the old one.' });
  if (kind === 'certificate' && fingerprint !== null) {
    if (given.certificate === undefined && given.fingerprint === undefined) throw missing('#/certificate');
  } else if (kind === 'token' && publicKey !== null) {
    if (given.publicKey === undefined) throw missing('#/publicKey');
  } else if (kind !== 'password') {
    throw new Failure('conflict', 'There is nothing of it here that could be rotated.');
  }
}

function requireMeaningOf(kind: MaterialInput['kind'], given: Omit<MaterialInput, 'kind'>): void {
  requireOneMeaning(
    { kind, ...given },
    {
      addIssue: (issue) => {
        const path = typeof issue === 'string' ? '' : String(issue.path?.[0] ?? '');
        throw invalidBody({
          pointer: `#/${path}`,
          code: 'not-together',
          message: `Not for a credential of the kind ${kind}, or not together.`,
        });
      },
    },
  );
}

async function refusingTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUniqueViolation(error, 'credentials_tenant_id_fingerprint_key'))
      throw nameTaken('#/certificate', 'This certificate is pinned already.');
    if (isUniqueViolation(error)) throw nameTaken('#/authId', 'There is a credential of this authId.');
    throw error;
  }
}

async function requireAnchor(tx: TenantTx, id: string | undefined): Promise<void> {
  if (id === undefined || (await findTrustAnchor(tx, id)) !== null) return;
  throw invalidBody({ pointer: '#/anchorId', code: 'unknown', message: 'There is no such trust anchor.' });
}

async function requireIssuer(tx: TenantTx, id: string | undefined): Promise<void> {
  if (id === undefined || (await findTokenIssuer(tx, id)) !== null) return;
  throw invalidBody({ pointer: '#/issuerId', code: 'unknown', message: 'There is no such token issuer.' });
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

/** Nobody has it yet; but a certificate that it pins may have been somebody's by its name. */
async function recordCreated(tx: TenantTx, scope: TenantScope, credential: Credential): Promise<void> {
  const what = about(credential, 'credential.create');
  if (credential.fingerprint === null) await audit(tx, scope, what);
  else await record(tx, scope, what);
}

function about({ id, deviceId, authId, fingerprint: pinned }: Credential, action: string) {
  const fingerprint = pinned === null ? {} : { fingerprint: Buffer.from(pinned).toString('hex') };
  const subject = { credentialId: id, deviceId, ...fingerprint };
  return { kind: 'credential', subject, action, subjectId: id, detail: { authId, deviceId } } as const;
}
