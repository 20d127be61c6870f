import { Inject, Injectable } from '@nestjs/common';
import { checkRules, type Rule } from '#access';
import {
  addPolicyVersion,
  bindingsOfPolicy,
  bindingTargetExists,
  createBinding,
  createPolicy,
  deleteBinding,
  deletePolicy,
  findBinding,
  findPolicy,
  findPolicyVersion,
  isUniqueViolation,
  listBindings,
  listPolicies,
  listPolicyVersions,
  lockPolicy,
  updatePolicy,
  type BindingTargetKind,
  type ControlStore,
  type Policy,
  type PolicyBinding,
  type PolicyVersion,
  type TenantTx,
} from '#store';
import { audit, record, type Changed, type Detail } from '../changes.js';
import { Failure, invalidBody, notFound, requireVersion, type ExpectedVersion } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { refusingTakenNames } from '../names.js';
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type {
  NewBindingInput,
  NewPolicyInput,
  NewPolicyVersionInput,
  PolicyPatchInput,
} from './policy.schema.js';

/** Undefined operation: no broker need know of it. */
type MaybeFelt<T> = Omit<Changed<T>, 'operation'> & { readonly operation: bigint | undefined };

export interface BindingListing extends PageRequest {
  readonly policyId?: string | undefined;
  readonly targetKind?: BindingTargetKind | undefined;
  readonly targetId?: string | undefined;
}

@Injectable()
export class PolicyService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async list(scope: TenantScope, query: PageRequest): Promise<Page<Policy>> {
    return this.cursors.read(
      `policies ${scope.tenantId}`,
      query,
      ([afterId], limit) => this.store.tenant(scope.tenantId, (tx) => listPolicies(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  get(scope: TenantScope, id: string): Promise<Policy> {
    return this.store.tenant(scope.tenantId, async (tx) => found(await findPolicy(tx, id)));
  }

  /** Bound to nothing yet, it gives nobody a right. */
  async create(scope: TenantScope, input: NewPolicyInput): Promise<Policy> {
    const rules = checked(input.rules);
    const { name, description } = input;
    return refusingTakenNames('policy', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'policies');
        const policy = await createPolicy(tx, { name, description, rules, createdBy: scope.caller.actor });
        await recordOnly(tx, scope, 'policy.create', policy.id, { name });
        return policy;
      }),
    );
  }

  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: PolicyPatchInput,
  ): Promise<MaybeFelt<Policy>> {
    return refusingTakenNames('policy', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        requireVersion(found(await lockPolicy(tx, id)), expected);
        const policy = await updatePolicy(tx, id, patch);
        const told = { changed: Object.keys(patch).join(' ') };
        // Denials quote the name: brokers compile it in.
        if (patch.name !== undefined)
          return { value: policy, operation: await recordFelt(tx, scope, 'policy.update', id, told) };
        await recordOnly(tx, scope, 'policy.update', id, told);
        return { value: policy, operation: undefined };
      }),
    );
  }

  /** Refused while it is bound: deleting a deny would open what it closes. */
  delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<void> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const policy = found(await lockPolicy(tx, id));
      requireVersion(policy, expected);
      const bindings = await bindingsOfPolicy(tx, id);
      if (bindings.length > 0)
        throw new Failure(
          'in-use',
          `Bindings of the policy: ${bindings.length}. End them first, or set unbind, which ends them with it.`,
        );
      await deletePolicy(tx, id);
      await recordOnly(tx, scope, 'policy.delete', id, { name: policy.name });
    });
  }

  deleteWithBindings(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const policy = found(await lockPolicy(tx, id));
      requireVersion(policy, expected);
      const bindings = await bindingsOfPolicy(tx, id);
      await deletePolicy(tx, id);
      const detail = { name: policy.name, bindings: bindings.length };
      return recordFelt(tx, scope, 'policy.delete', id, detail);
    });
  }

  // -------------------------------------------------------------------------------------------------------- versions

  async listVersions(scope: TenantScope, policyId: string, query: PageRequest): Promise<Page<PolicyVersion>> {
    return this.cursors.read(
      `policy-versions ${scope.tenantId} ${policyId}`,
      query,
      ([before], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          found(await findPolicy(tx, policyId));
          const beforeNumber = before === undefined ? undefined : Number(before);
          return listPolicyVersions(tx, policyId, { beforeNumber, limit });
        }),
      (row) => [String(row.number)],
    );
  }

  getVersion(scope: TenantScope, policyId: string, number: number): Promise<PolicyVersion> {
    return this.store.tenant(scope.tenantId, async (tx) =>
      found(await findPolicyVersion(tx, policyId, number)),
    );
  }

  addVersion(
    scope: TenantScope,
    policyId: string,
    input: NewPolicyVersionInput,
  ): Promise<MaybeFelt<PolicyVersion>> {
    const rules = checked(input.rules);
    return this.store.tenant(scope.tenantId, async (tx) => {
      found(await lockPolicy(tx, policyId));
      await requireRoom(tx, 'policy-versions', policyId);
      const version = await addPolicyVersion(tx, policyId, rules, scope.caller.actor);
      await recordOnly(tx, scope, 'policy.version.create', policyId, { number: version.number });
      const operation = input.activate ? await activate(tx, scope, policyId, version.number) : undefined;
      return { value: version, operation };
    });
  }

  /** Forward or back: the rules in force are those of the version named. */
  activate(
    scope: TenantScope,
    policyId: string,
    expected: ExpectedVersion,
    number: number,
  ): Promise<Changed<Policy>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      requireVersion(found(await lockPolicy(tx, policyId)), expected);
      if ((await findPolicyVersion(tx, policyId, number)) === null)
        throw invalidBody({
          pointer: '#/version',
          code: 'unknown',
          message: 'The policy has no such version.',
        });
      const operation = await activate(tx, scope, policyId, number);
      return { value: found(await findPolicy(tx, policyId)), operation };
    });
  }

  // -------------------------------------------------------------------------------------------------------- bindings

  async listBindings(scope: TenantScope, query: BindingListing): Promise<Page<PolicyBinding>> {
    return this.cursors.read(
      `policy-bindings ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) => listBindings(tx, { ...query, afterId, limit })),
      (row) => [row.id],
    );
  }

  getBinding(scope: TenantScope, id: string): Promise<PolicyBinding> {
    return this.store.tenant(scope.tenantId, async (tx) => found(await findBinding(tx, id)));
  }

  async bind(scope: TenantScope, input: NewBindingInput): Promise<Changed<PolicyBinding>> {
    const { policyId, targetKind, targetId } = input;
    try {
      return await this.store.tenant(scope.tenantId, async (tx) => {
        if ((await lockPolicy(tx, policyId)) === null)
          throw invalidBody({ pointer: '#/policyId', code: 'unknown', message: 'There is no such policy.' });
        if (!(await bindingTargetExists(tx, targetKind, targetId)))
          throw invalidBody({
            pointer: '#/targetId',
            code: 'unknown',
            message: `There is no such ${targetKind}.`,
          });
        await requireRoom(tx, 'bindings');
        await requireRoom(tx, 'bindings-of-target', targetId);
        const binding = await createBinding(tx, { policyId, targetKind, targetId });
        const detail = { bindingId: binding.id, targetKind, targetId };
        return { value: binding, operation: await recordFelt(tx, scope, 'policy.bind', policyId, detail) };
      });
    } catch (error) {
      if (isUniqueViolation(error))
        throw new Failure('conflict', 'The policy is bound to this target already.');
      throw error;
    }
  }

  unbind(scope: TenantScope, id: string): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const { policyId, targetKind, targetId } = found(await findBinding(tx, id));
      if (!(await deleteBinding(tx, id))) throw notFound();
      return recordFelt(tx, scope, 'policy.unbind', policyId, { bindingId: id, targetKind, targetId });
    });
  }
}

async function activate(tx: TenantTx, scope: TenantScope, policyId: string, number: number): Promise<bigint> {
  await updatePolicy(tx, policyId, { activeVersion: number });
  return recordFelt(tx, scope, 'policy.activate', policyId, { number });
}

/** For what changes rights: sessions that the policy concerns are looked at again. */
function recordFelt(
  tx: TenantTx,
  scope: TenantScope,
  action: string,
  policyId: string,
  detail: Detail,
): Promise<bigint> {
  const { targetKind, targetId } = detail;
  const target =
    typeof targetKind === 'string' && typeof targetId === 'string' ? { targetKind, targetId } : {};
  const subject = { policyId, ...target };
  return record(tx, scope, { kind: 'policy', subject, action, subjectId: policyId, detail });
}

/** For what changes nobody's rights. */
function recordOnly(
  tx: TenantTx,
  scope: TenantScope,
  action: string,
  policyId: string,
  detail: Detail,
): Promise<void> {
  return audit(tx, scope, { kind: 'policy', action, subjectId: policyId, detail });
}

/** All that is wrong with the rules at once, each with its place in the body. */
function checked(rules: unknown): Rule[] {
  const result = checkRules(rules);
  if (result.ok) return [...result.rules];
  throw invalidBody(...result.errors.map((error) => ({ ...error, pointer: `#/rules${error.pointer}` })));
}

function found<T>(row: T | null): T {
  if (row === null) throw notFound();
  return row;
}
