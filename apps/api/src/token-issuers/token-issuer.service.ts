import { Inject, Injectable } from '@nestjs/common';
import { readKeySet } from '#access';
import {
  createTokenIssuer,
  deleteTokenIssuer,
  findTokenIssuer,
  isUniqueViolation,
  listTokenIssuers,
  updateTokenIssuer,
  type ControlStore,
  type NewTokenIssuer,
  type TenantTx,
  type TokenIssuer,
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
import type { NewTokenIssuerInput, TokenIssuerPatchInput } from './token-issuer.schema.js';

@Injectable()
export class TokenIssuerService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  /** No connection can be concerned: until now nobody could have come with its tokens. */
  async create(scope: TenantScope, input: NewTokenIssuerInput): Promise<TokenIssuer> {
    const { jwks, jwksUri, ...rest } = input;
    const source = sourceOf({ jwks, jwksUri });
    if (source === undefined) throw noSource();
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'token-issuers');
        const made = await createTokenIssuer(tx, { ...rest, ...source });
        await audit(tx, scope, about(made, 'token-issuer.create'));
        return made;
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<TokenIssuer>> {
    return this.cursors.read(
      `token-issuers ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listTokenIssuers(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<TokenIssuer> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, id));
  }

  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: TokenIssuerPatchInput,
  ): Promise<Changed<TokenIssuer>> {
    const { jwks, jwksUri, disabled, ...columns } = patch;
    const source = sourceOf({ jwks, jwksUri });
    return refusingTaken(() =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const current = await existing(tx, id);
        requireVersion(current, expected);
        const wouldGo = current.jwks === null ? jwksUri === null : jwks === null;
        if (source === undefined && wouldGo) throw noSource();
        const value = await updateTokenIssuer(tx, id, current.version, {
          ...columns,
          ...source,
          ...(disabled === undefined
            ? {}
            : { disabledAt: disabled ? (current.disabledAt ?? new Date()) : null }),
        });
        if (value === undefined) throw staleVersion();
        return { value, operation: await record(tx, scope, about(value, 'token-issuer.update')) };
      }),
    );
  }

  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      requireVersion(current, expected);
      if (!(await deleteTokenIssuer(tx, id, current.version))) throw staleVersion();
      return record(tx, scope, about(current, 'token-issuer.delete'));
    });
  }
}

/** Where its keys are: the one takes the other's place. Undefined: nothing is said. */
function sourceOf(
  given: Pick<TokenIssuerPatchInput, 'jwks' | 'jwksUri'>,
): Pick<NewTokenIssuer, 'jwks' | 'jwksUri'> | undefined {
  const { jwks = null, jwksUri = null } = given;
  if (jwks !== null && jwksUri !== null) {
    throw sourceFault('not-together', 'One of jwksUri and jwks, not both.');
  }
  if (jwksUri !== null) return { jwksUri, jwks: null };
  if (jwks === null) return undefined;
  const read = readKeySet(jwks);
  if (read === undefined) {
    const message = 'No key in it can verify a token: P-256, P-384, P-521, Ed25519, or RSA from 2048 bits.';
    throw sourceFault('no-usable-key', message);
  }
  // Public members of usable keys alone: what else there was is nobody's business, a private key least of all.
  return {
    jwks: { keys: read.jwks.keys.map((key) => ({ ...key }) as Record<string, string>) },
    jwksUri: null,
  };
}

function noSource(): Failure {
  return sourceFault('required', 'One of jwksUri and jwks.');
}

function sourceFault(code: string, message: string): Failure {
  return invalidBody({ pointer: '#/jwks', code, message });
}

async function existing(tx: TenantTx, id: string): Promise<TokenIssuer> {
  const found = await findTokenIssuer(tx, id);
  if (found === null) throw notFound();
  return found;
}

function about({ id, name, issuer }: TokenIssuer, action: string) {
  return {
    kind: 'token-issuer',
    subject: { issuerId: id },
    action,
    subjectId: id,
    detail: { name, issuer },
  } as const;
}

async function refusingTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUniqueViolation(error, 'token_issuers_tenant_id_issuer_key'))
      throw nameTaken('#/issuer', 'This issuer is trusted already.');
    if (isUniqueViolation(error)) throw nameTaken('#/name', 'There is a token issuer of this name.');
    throw error;
  }
}
