import { Inject, Injectable } from '@nestjs/common';
import { hashSecret } from '#access';
import {
  createClaimToken,
  deleteClaimToken,
  findClaimToken,
  listClaimTokens,
  newId,
  type ClaimToken,
  type ControlStore,
} from '#store';
import { audit } from '../changes.js';
import { notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { refusingTakenNames } from '../names.js';
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import { expiryOf, type NewClaimTokenInput } from './claim-token.schema.js';
import { profileIdOf } from './newcomer.js';
import { makeToken } from './token.js';

export interface ShownClaimToken {
  readonly row: ClaimToken;
  /** Shown once; only its hash is kept. */
  readonly token: string;
}

@Injectable()
export class ClaimTokenService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, input: NewClaimTokenInput): Promise<ShownClaimToken> {
    const { name, nameTemplate, namePattern, maxUses } = input;
    return refusingTakenNames('claim token', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'claim-tokens');
        const profileId = await profileIdOf(tx, input.profileId);
        const id = await newId(tx);
        const token = makeToken({ tenantId: tx.tenantId, id });
        const tokenHash = Uint8Array.from(hashSecret(this.secretKey, token));
        const expiresAt = expiryOf(input);
        const row = await createClaimToken(tx, {
          id,
          name,
          tokenHash,
          profileId,
          nameTemplate,
          namePattern,
          maxUses,
          expiresAt,
        });
        await audit(tx, scope, about(row, 'claim-token.create'));
        return { row, token };
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<ClaimToken>> {
    return this.cursors.read(
      `claim-tokens ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listClaimTokens(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<ClaimToken> {
    const row = await this.store.tenant(scope.tenantId, (tx) => findClaimToken(tx, id));
    if (row === null) throw notFound();
    return row;
  }

  /** From then on it lets nobody in; the devices that it let in stay. */
  async delete(scope: TenantScope, id: string): Promise<void> {
    await this.store.tenant(scope.tenantId, async (tx) => {
      const row = await findClaimToken(tx, id);
      if (row === null || !(await deleteClaimToken(tx, id))) throw notFound();
      await audit(tx, scope, about(row, 'claim-token.delete'));
    });
  }
}

function about({ id, name, maxUses }: ClaimToken, action: string) {
  return { kind: 'claim-token', action, subjectId: id, detail: { name, maxUses } } as const;
}
