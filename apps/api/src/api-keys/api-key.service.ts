import { Inject, Injectable } from '@nestjs/common';
import {
  countPlatformKeys,
  createApiKey,
  getApiKey,
  listApiKeys,
  makeApiKey,
  recordAudit,
  revokeApiKey,
  type ApiKey,
  type ControlStore,
  type PlatformTx,
  type TenantTx,
} from '#store';
import { Failure, notFound } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { requireRoom, requireRoomForPlatformKeys } from '../quotas.js';
import type { Caller } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import type { NewTenantKeyInput } from './api-key.schema.js';

export interface IssuedApiKey {
  readonly row: ApiKey;
  readonly key: string;
}

/** Whose keys: one tenant's, or the platform's where there is none. */
export interface KeyOwner {
  readonly caller: Caller;
  readonly tenantId?: string;
}

@Injectable()
export class ApiKeyService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(owner: KeyOwner, input: NewTenantKeyInput): Promise<IssuedApiKey> {
    const made = makeApiKey(this.secretKey);
    const row = await this.within(owner, async (tx) => {
      if (tx.scope === 'tenant') await requireRoom(tx, 'api-keys');
      else await requireRoomForPlatformKeys(tx);
      const created = await createApiKey(tx, { ...input, made });
      await this.audit(tx, owner, 'api-key.create', created);
      return created;
    });
    return { row, key: made.key };
  }

  async list(owner: KeyOwner, query: PageRequest): Promise<Page<ApiKey>> {
    return this.cursors.read(
      `api-keys ${owner.tenantId ?? ''}`,
      query,
      ([afterId], limit) => this.within(owner, (tx) => listApiKeys(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(owner: KeyOwner, id: string): Promise<ApiKey> {
    return this.within(owner, (tx) => existing(tx, id));
  }

  /** At once, on every process: keys are read on every request. A second time changes nothing. */
  async revoke(owner: KeyOwner, id: string): Promise<ApiKey> {
    return this.within(owner, async (tx) => {
      const ofPlatform = tx.scope === 'platform' ? await countPlatformKeys(tx) : undefined;
      const row = await existing(tx, id);
      if (row.revokedAt !== null) return row;
      const works = row.expiresAt === null || row.expiresAt > new Date();
      if (works && ofPlatform?.working === 1) {
        throw new Failure(
          'in-use',
          'This is the last key of the platform that works: make another one first.',
        );
      }
      await revokeApiKey(tx, id);
      await this.audit(tx, owner, 'api-key.revoke', row);
      return existing(tx, id);
    });
  }

  private within<T>(owner: KeyOwner, work: (tx: TenantTx | PlatformTx) => Promise<T>): Promise<T> {
    return owner.tenantId === undefined ? this.store.platform(work) : this.store.tenant(owner.tenantId, work);
  }

  private async audit(
    tx: TenantTx | PlatformTx,
    owner: KeyOwner,
    action: string,
    row: ApiKey,
  ): Promise<void> {
    const detail = { name: row.name, role: row.role, prefix: row.prefix };
    await recordAudit(tx, {
      actor: owner.caller.actor,
      action,
      subjectKind: 'api-key',
      subjectId: row.id,
      detail,
    });
  }
}

async function existing(tx: TenantTx | PlatformTx, id: string): Promise<ApiKey> {
  const row = await getApiKey(tx, id);
  if (row === null) throw notFound();
  return row;
}
