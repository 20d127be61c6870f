import { Inject, Injectable } from '@nestjs/common';
import {
  addTenantHost,
  countHeld,
  isUniqueViolation,
  listTenantHosts,
  removeTenantHost,
  type ControlStore,
  type TenantHost,
} from '#store';
import { record } from '../changes.js';
import { Failure, notFound } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';

export const maxPerTenant = 20;

/** Whoever comes by such a name is of this tenant, or is refused. Only the platform gives names away: they are in its DNS. */
@Injectable()
export class HostNameService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async list(scope: TenantScope): Promise<TenantHost[]> {
    return this.store.tenant(scope.tenantId, listTenantHosts);
  }

  /** Given twice it is there once. Those who are connected stay: it is asked for when they come. */
  async put(scope: TenantScope, host: string): Promise<void> {
    try {
      await this.store.tenant(scope.tenantId, async (tx) => {
        const held = await countHeld(tx, 'host-names', maxPerTenant);
        if ((await listTenantHosts(tx)).some((known) => known.host === host)) return;
        if (held >= maxPerTenant) {
          throw new Failure('limit-reached', `A tenant has at most ${maxPerTenant} host names.`);
        }
        await addTenantHost(tx, host);
        await record(tx, scope, about(scope, host, 'host-name.add'));
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw new Failure('name-taken', 'Another tenant has this host name.');
      throw error;
    }
  }

  async delete(scope: TenantScope, host: string): Promise<void> {
    await this.store.tenant(scope.tenantId, async (tx) => {
      if (!(await removeTenantHost(tx, host))) throw notFound();
      await record(tx, scope, about(scope, host, 'host-name.remove'));
    });
  }
}

function about({ tenantId }: TenantScope, host: string, action: string) {
  return { kind: 'host-name', subject: { host }, action, subjectId: tenantId, detail: { host } } as const;
}
