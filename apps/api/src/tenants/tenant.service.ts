import { Inject, Injectable } from '@nestjs/common';
import type { AddressRules } from '#access';
import {
  createBinding,
  createPolicy,
  createProfile,
  createTenant,
  deleteSomeTelemetry,
  deleteTenant,
  emptyTenant,
  findTenant,
  isUniqueViolation,
  listTenants,
  recordAudit,
  updateTenant,
  type AuditNote,
  type ControlStore,
  type PlatformTx,
  type Tenant,
} from '#store';
import { record, type Changed, type Detail } from '../changes.js';
import { nameTaken, notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { mergeMembers } from '../merge-patch.js';
import type { Caller, TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { NewTenantInput, TenantPatchInput } from './tenant.schema.js';

/** What a tenant starts with: its devices may talk under their own name, and their readings are kept. */
const defaultProfile = {
  name: 'default',
  telemetry: [{ filter: 'devices/${device}/telemetry', timeField: 'ts' }],
};
const defaultPolicy = {
  name: 'own-topics',
  description: 'Every device publishes and subscribes under its own name.',
  rules: [{ effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['devices/${device}/#'] }],
};

/** Rows of telemetry that one transaction of a deletion takes. */
const bite = 20_000;

@Injectable()
export class TenantService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(caller: Caller, input: NewTenantInput): Promise<Tenant> {
    try {
      return await this.store.platform(async (tx) => {
        const tenant = await createTenant(tx, input);
        await tx.tenant(tenant.id, async (inside) => {
          await createProfile(inside, defaultProfile);
          const policy = await createPolicy(inside, { ...defaultPolicy, createdBy: caller.actor });
          await createBinding(inside, { policyId: policy.id, targetKind: 'tenant', targetId: tenant.id });
          await recordAudit(inside, lifeOf(tenant, 'tenant.create', caller));
        });
        await recordAudit(tx, lifeOf(tenant, 'tenant.create', caller));
        return tenant;
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw nameTaken('#/slug', 'There is a tenant of this slug.');
      throw error;
    }
  }

  async list(query: PageRequest): Promise<Page<Tenant>> {
    return this.cursors.read(
      'tenants',
      query,
      ([afterId], limit) => this.store.platform((tx) => listTenants(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope): Promise<Tenant> {
    return this.store.tenant(scope.tenantId, async (tx) => (await findTenant(tx, scope.tenantId)) ?? gone());
  }

  async update(
    scope: TenantScope,
    expected: ExpectedVersion,
    patch: TenantPatchInput,
  ): Promise<Changed<Tenant>> {
    return this.store.platform(async (tx) => {
      const current = (await findTenant(tx, scope.tenantId)) ?? gone();
      requireVersion(current, expected);
      const value = await updateTenant(tx, current.id, current.version, {
        name: patch.name,
        status: patch.status,
        limits: patch.limits && mergeMembers(asObject(current.limits), patch.limits),
        settings: patch.settings && mergeMembers(asObject(current.settings), patch.settings),
      });
      if (value === undefined) throw staleVersion();
      const operation = await this.tell(tx, scope, 'tenant.update', {
        what: Object.keys(patch).join(' '),
      });
      return { value, operation };
    });
  }

  /** A tenant's own to say, though the row is the platform's. */
  async setAddresses(
    scope: TenantScope,
    expected: ExpectedVersion,
    { allow, deny }: AddressRules,
  ): Promise<Changed<Tenant>> {
    const addresses = { ...(allow === undefined ? {} : { allow }), ...(deny === undefined ? {} : { deny }) };
    return this.store.platform(async (tx) => {
      const current = (await findTenant(tx, scope.tenantId)) ?? gone();
      requireVersion(current, expected);
      const value = await updateTenant(tx, current.id, current.version, { addresses });
      if (value === undefined) throw staleVersion();
      const operation = await this.tell(tx, scope, 'tenant.set-address-ranges', {
        allow: allow?.join(' ') ?? null,
        deny: deny?.join(' ') ?? '',
      });
      return { value, operation };
    });
  }

  /**
   * Everything of the tenant goes. First nobody may get in any more, then its telemetry goes in bites, then the rest and the
   * tenant itself at once. Interrupted, it leaves a suspended tenant whose deletion can be asked for again.
   */
  async delete(scope: TenantScope, expected: ExpectedVersion): Promise<void> {
    await this.store.platform(async (tx) => {
      const current = (await findTenant(tx, scope.tenantId)) ?? gone();
      requireVersion(current, expected);
      await updateTenant(tx, current.id, current.version, { status: 'suspended' });
      await this.tell(tx, scope, 'tenant.close', { what: current.slug });
    });
    const biteOff = (): Promise<boolean> =>
      this.store.tenant(scope.tenantId, (tx) => deleteSomeTelemetry(tx, bite));
    while (await biteOff());
    await this.store.platform(async (tx) => {
      await tx.tenant(scope.tenantId, emptyTenant);
      await deleteTenant(tx, scope.tenantId);
      await this.tell(tx, scope, 'tenant.delete', { what: scope.tenantSlug });
      const tenant = { id: scope.tenantId, slug: scope.tenantSlug };
      await recordAudit(tx, lifeOf(tenant, 'tenant.delete', scope.caller));
    });
  }

  private tell(tx: PlatformTx, scope: TenantScope, action: string, detail: Detail): Promise<bigint> {
    const { tenantId } = scope;
    return tx.tenant(tenantId, (inside) =>
      record(inside, scope, {
        kind: 'tenant',
        subject: { tenantId },
        action,
        subjectId: tenantId,
        detail,
      }),
    );
  }
}

/** Beginning and end of a tenant stand in the platform's audit too: by its own nobody finds one that is gone. */
function lifeOf(tenant: Pick<Tenant, 'id' | 'slug'>, action: string, { actor }: Caller): AuditNote {
  return { actor, action, subjectKind: 'tenant', subjectId: tenant.id, detail: { slug: tenant.slug } };
}

function gone(): never {
  throw notFound();
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
