import { Inject, Injectable } from '@nestjs/common';
import {
  countBans,
  createBan,
  deleteBan,
  deleteExpiredBan,
  findBan,
  isUniqueViolation,
  listBans,
  recordAudit,
  recordChange,
  recordPlatformChange,
  type Ban,
  type ControlStore,
  type PlatformTx,
  type TenantTx,
} from '#store';
import type { Changed } from '../changes.js';
import { Failure, invalidBody, notFound } from '../failure.js';
import { Cursors, type Page } from '../http/paging.js';
import type { Caller } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { BanListing, NewBanInput } from './ban.schema.js';

/** Whose bans: one tenant's, or the platform's where there is none. */
export interface BanOwner {
  readonly caller: Caller;
  readonly tenantId?: string;
}

export const maxBans = 100_000;

@Injectable()
export class BanService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  /** In force at once: the operation tells when those whom it is on are out. */
  async create(owner: BanOwner, input: NewBanInput): Promise<Changed<Ban>> {
    const { kind, value, reason, expiresAt } = input;
    refuseIdleUsername(owner, input);
    try {
      return await this.within(owner, async (tx) => {
        if ((await countBans(tx)) >= maxBans)
          throw new Failure(
            'limit-reached',
            `There are ${maxBans} bans: lift some, or ban a range of addresses.`,
          );
        await deleteExpiredBan(tx, kind, value);
        const createdBy = owner.caller.actor;
        const ban = await createBan(tx, { kind, value, reason, expiresAt, createdBy });
        await this.audit(tx, owner, 'ban.create', ban);
        const subject = {
          banId: ban.id,
          kind,
          value,
          ...(tx.scope === 'platform' ? { platform: true } : {}),
        };
        const change = { kind: 'ban', subject } as const;
        const operation =
          tx.scope === 'tenant' ? await recordChange(tx, change) : await recordPlatformChange(tx, change);
        return { value: ban, operation };
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw new Failure('conflict', 'There is a ban on this already.');
      throw error;
    }
  }

  async list(owner: BanOwner, query: BanListing): Promise<Page<Ban>> {
    const { kind } = query;
    return this.cursors.read(
      `bans ${owner.tenantId ?? ''}`,
      query,
      ([afterId], limit) => this.within(owner, (tx) => listBans(tx, { kind, afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(owner: BanOwner, id: string): Promise<Ban> {
    return this.within(owner, (tx) => existing(tx, id));
  }

  /** Whoever was turned away may come again at once: nobody who is connected need be told. */
  async lift(owner: BanOwner, id: string): Promise<void> {
    await this.within(owner, async (tx) => {
      const ban = await existing(tx, id);
      if (!(await deleteBan(tx, id))) throw notFound();
      await this.audit(tx, owner, 'ban.lift', ban);
    });
  }

  private within<T>(owner: BanOwner, work: (tx: TenantTx | PlatformTx) => Promise<T>): Promise<T> {
    const { tenantId } = owner;
    return tenantId === undefined ? this.store.platform(work) : this.store.tenant(tenantId, work);
  }

  private audit(tx: TenantTx | PlatformTx, { caller }: BanOwner, action: string, ban: Ban): Promise<void> {
    const { id, kind, value, expiresAt } = ban;
    const detail = { kind, value, expiresAt: expiresAt?.toISOString() ?? null };
    return recordAudit(tx, { actor: caller.actor, action, subjectKind: 'ban', subjectId: id, detail });
  }
}

/** A ban that could be on nobody: whoever makes one believes that somebody is kept out. */
function refuseIdleUsername({ tenantId }: BanOwner, { kind, value }: NewBanInput): void {
  if (kind !== 'username' || value.includes('@') === (tenantId === undefined)) return;
  const message =
    tenantId === undefined
      ? 'The platform bans a whole username, authId@tenant.'
      : 'A tenant bans the part of the username before its @.';
  throw invalidBody({ pointer: '#/value', code: 'idle-username', message });
}

async function existing(tx: TenantTx | PlatformTx, id: string): Promise<Ban> {
  const ban = await findBan(tx, id);
  if (ban === null) throw notFound();
  return ban;
}
