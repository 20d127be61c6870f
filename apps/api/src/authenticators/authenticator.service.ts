import { Inject, Injectable } from '@nestjs/common';
import { generateSecret, seal } from '#access';
import {
  createAuthenticator,
  deleteAuthenticator,
  findAuthenticator,
  isUniqueViolation,
  updateAuthenticator,
  type Authenticator,
  type ControlStore,
  type TenantTx,
} from '#store';
import { audit, record, type Changed } from '../changes.js';
import { Failure, notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import type { AuthenticatorPatchInput, NewAuthenticatorInput } from './authenticator.schema.js';

export interface IssuedAuthenticator {
  readonly authenticator: Authenticator;
  /** Shown once; the broker alone can open what is kept of it. */
  readonly secret: string;
}

/** A tenant's own service that says who somebody is. One a tenant. */
@Injectable()
export class AuthenticatorService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
  ) {}

  async create(scope: TenantScope, input: NewAuthenticatorInput): Promise<IssuedAuthenticator> {
    const { secret, sealedSecret } = this.makeSecret(scope);
    try {
      return await this.store.tenant(scope.tenantId, async (tx) => {
        const authenticator = await createAuthenticator(tx, { ...input, sealedSecret });
        await audit(tx, scope, about(scope, authenticator, 'authenticator.create'));
        return { authenticator, secret };
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw new Failure('conflict', 'The tenant has an authenticator already.');
      throw error;
    }
  }

  async get(scope: TenantScope): Promise<Authenticator> {
    return this.store.tenant(scope.tenantId, existing);
  }

  async update(
    scope: TenantScope,
    expected: ExpectedVersion,
    patch: AuthenticatorPatchInput,
  ): Promise<Changed<Authenticator>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx);
      requireVersion(current, expected);
      const value = await updateAuthenticator(tx, current.version, patch as Partial<NewAuthenticatorInput>);
      if (value === undefined) throw staleVersion();
      return { value, operation: await record(tx, scope, about(scope, value, 'authenticator.update')) };
    });
  }

  /** From the next question on. Nobody who is in is concerned. */
  async renewSecret(scope: TenantScope, expected: ExpectedVersion): Promise<IssuedAuthenticator> {
    const { secret, sealedSecret } = this.makeSecret(scope);
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx);
      requireVersion(current, expected);
      const authenticator = await updateAuthenticator(tx, current.version, { sealedSecret });
      if (authenticator === undefined) throw staleVersion();
      await audit(tx, scope, about(scope, authenticator, 'authenticator.renew-secret'));
      return { authenticator, secret };
    });
  }

  async delete(scope: TenantScope, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx);
      requireVersion(current, expected);
      if (!(await deleteAuthenticator(tx, current.version))) throw staleVersion();
      return record(tx, scope, about(scope, current, 'authenticator.delete'));
    });
  }

  private makeSecret({ tenantId }: TenantScope) {
    const secret = generateSecret();
    const place = { purpose: 'authenticator', place: [tenantId] };
    return { secret, sealedSecret: Uint8Array.from(seal(this.secretKey, place, Buffer.from(secret))) };
  }
}

async function existing(tx: TenantTx): Promise<Authenticator> {
  const found = await findAuthenticator(tx);
  if (found === null) throw notFound();
  return found;
}

/** The address may hold a token of the tenant's in its query: its host is enough for an audit. */
function about({ tenantId }: TenantScope, { url, enabled }: Authenticator, action: string) {
  const detail = { host: URL.parse(url)?.host ?? '', enabled };
  return { kind: 'authenticator', subject: {}, action, subjectId: tenantId, detail } as const;
}
