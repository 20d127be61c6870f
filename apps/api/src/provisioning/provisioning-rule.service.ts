import { Inject, Injectable } from '@nestjs/common';
import { identityTemplateSchema } from '#access';
import {
  countRegistrations,
  deleteProvisioningRule,
  findProvisioningRule,
  findTrustAnchor,
  putProvisioningRule,
  type ControlStore,
  type ProvisioningRule,
  type TenantTx,
  type TrustAnchor,
} from '#store';
import { audit } from '../changes.js';
import { invalidBody, notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import { profileIdOf } from './newcomer.js';
import type { CountedRule, NewProvisioningRuleInput } from './provisioning-rule.schema.js';

@Injectable()
export class ProvisioningRuleService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  async get(scope: TenantScope, anchorId: string): Promise<CountedRule> {
    return this.store.tenant(scope.tenantId, async (tx) => counted(tx, await existing(tx, anchorId)));
  }

  /** In place of the one that is there, if there is one and it is `expected`. No right of anybody's changes who is in. */
  async put(
    scope: TenantScope,
    anchorId: string,
    expected: ExpectedVersion | 'none',
    input: NewProvisioningRuleInput,
  ): Promise<CountedRule> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const anchor = await findTrustAnchor(tx, anchorId);
      if (anchor === null) throw notFound();
      refuseUnfit(anchor, input);
      const current = await findProvisioningRule(tx, anchorId);
      if (current === null) {
        if (expected !== undefined && expected !== 'none') throw staleVersion();
      } else {
        if (expected === 'none') throw staleVersion();
        requireVersion(current, expected);
      }
      const profileId = await profileIdOf(tx, input.profileId);
      const rule = await putProvisioningRule(tx, anchorId, current?.version, { ...input, profileId });
      if (rule === undefined) throw staleVersion();
      await audit(tx, scope, about(rule, 'provisioning-rule.put'));
      return counted(tx, rule);
    });
  }

  async delete(scope: TenantScope, anchorId: string, expected: ExpectedVersion): Promise<void> {
    await this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, anchorId);
      requireVersion(current, expected);
      if (!(await deleteProvisioningRule(tx, anchorId, current.version))) throw staleVersion();
      await audit(tx, scope, about(current, 'provisioning-rule.delete'));
    });
  }
}

/** Where certificates name the device itself, it is called so and not otherwise; where they name nobody, nobody registers. */
function refuseUnfit(anchor: TrustAnchor, { nameTemplate }: NewProvisioningRuleInput): void {
  const identity = identityTemplateSchema.safeParse(anchor.identity);
  if (!identity.success) {
    const message = 'An issuing authority of the platform: devices come with a claim token.';
    throw invalidBody({ pointer: '#/enabled', code: 'issued-here', message });
  }
  if (identity.data.pattern.includes('${device}') && nameTemplate !== '${name}') {
    const message = "The anchor's identity is the device's name: ${name} and nothing else.";
    throw invalidBody({ pointer: '#/nameTemplate', code: 'not-together', message });
  }
}

async function existing(tx: TenantTx, anchorId: string): Promise<ProvisioningRule> {
  const rule = await findProvisioningRule(tx, anchorId);
  if (rule === null) throw notFound();
  return rule;
}

async function counted(tx: TenantTx, rule: ProvisioningRule): Promise<CountedRule> {
  return { rule, registered: await countRegistrations(tx, rule.anchorId) };
}

function about(rule: ProvisioningRule, action: string) {
  const { anchorId, enabled, maxDevices, perMinute } = rule;
  const detail = { enabled, maxDevices, perMinute };
  return { kind: 'trust-anchor', action, subjectId: anchorId, detail } as const;
}
