import { Inject } from '@nestjs/common';
import { Args, Context, Mutation, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Policy } from '#store';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  type PageArguments,
  type UpdateArguments,
} from '../graphql/connection.js';
import type { GraphqlContext } from '../graphql/context.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope, inScope, scopeOfNode } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  activation,
  bindingQuery,
  evaluation,
  newBinding,
  newPolicy,
  newPolicyVersion,
  policyPatch,
  presentBinding,
  presentExplanation,
  presentPolicy,
  presentPolicyVersion,
} from './policy.schema.js';
import { PolicyEvaluationService } from './policy-evaluation.service.js';
import { PolicyService } from './policy.service.js';

@Resolver('Policy')
export class PolicyResolver {
  constructor(
    @Inject(PolicyService) private readonly policies: PolicyService,
    @Inject(PolicyEvaluationService) private readonly evaluation: PolicyEvaluationService,
  ) {}

  @Query('policies')
  @Requires('policies:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.policies.list(scope, pageRequest(args)), (row) => nodeOf(scope, row));
  }

  @Query('policy')
  @Requires('policies:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return nodeOf(scope, await this.policies.get(scope, idOf(id)));
  }

  @Query('policyVersions')
  @Requires('policies:read')
  async listVersions(
    @FieldScope() scope: TenantScope,
    @Args('policy') policyId: string,
    @Args() args: PageArguments,
  ) {
    const page = await this.policies.listVersions(scope, idOf(policyId), pageRequest(args));
    return connectionOf(page, presentPolicyVersion);
  }

  @Query('policyVersion')
  @Requires('policies:read')
  async getVersion(
    @FieldScope() scope: TenantScope,
    @Args('policy') policyId: string,
    @Args('number') number: number,
  ) {
    return presentPolicyVersion(await this.policies.getVersion(scope, idOf(policyId), number));
  }

  @Query('policyBindings')
  @Requires('policies:read')
  async listBindings(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & { policy?: string; targetKind?: string; target?: string },
  ) {
    const { policy, targetKind, target } = args;
    const filter = checkArguments(bindingQuery, { policy, targetKind, target });
    const page = await this.policies.listBindings(scope, {
      ...pageRequest(args),
      policyId: filter.policy,
      targetKind: filter.targetKind,
      targetId: filter.target,
    });
    return connectionOf(page, presentBinding);
  }

  @Query('policyBinding')
  @Requires('policies:read')
  async getBinding(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentBinding(await this.policies.getBinding(scope, idOf(id)));
  }

  @Query('evaluatePolicy')
  @Requires('policies:read')
  async evaluate(@FieldScope() scope: TenantScope, @Args('question') question: object) {
    return presentExplanation(await this.evaluation.evaluate(scope, checkArguments(evaluation, question)));
  }

  @ResolveField('rules')
  @Requires('policies:read')
  async rules(@Parent() policy: PolicyNode, @Context() context: GraphqlContext) {
    const version = await context.loadersOf(scopeOfNode(policy)).activeVersion.load(policy);
    return version?.rules ?? [];
  }

  @Mutation('createPolicy')
  @Requires('policies:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return nodeOf(scope, await this.policies.create(scope, checkArguments(newPolicy, input)));
  }

  @Mutation('updatePolicy')
  @Requires('policies:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(policyPatch, patch);
    const { value, operation } = await this.policies.update(scope, idOf(id), expectedVersion, input);
    return { policy: nodeOf(scope, value), operation: operationId(operation) };
  }

  @Mutation('addPolicyVersion')
  @Requires('policies:write')
  async addVersion(
    @FieldScope() scope: TenantScope,
    @Args() { policy, rules, activate }: { policy: string; rules: unknown; activate?: boolean },
  ) {
    const input = checkArguments(newPolicyVersion, { rules, activate });
    const { value, operation } = await this.policies.addVersion(scope, idOf(policy), input);
    return { policyVersion: presentPolicyVersion(value), operation: operationId(operation) };
  }

  @Mutation('activatePolicyVersion')
  @Requires('policies:write')
  async activate(
    @FieldScope() scope: TenantScope,
    @Args('policy') id: string,
    @Args('expectedVersion') expected: number,
    @Args('version') number: number,
  ) {
    const { version } = checkArguments(activation, { version: number });
    const { value, operation } = await this.policies.activate(scope, idOf(id), expected, version);
    return { policy: nodeOf(scope, value), operation: operationId(operation) };
  }

  @Mutation('deletePolicy')
  @Requires('policies:write')
  async delete(
    @FieldScope() scope: TenantScope,
    @Args('id') id: string,
    @Args('expectedVersion') expected: number,
    @Args('unbind') unbind: boolean | null,
  ) {
    if (unbind === true)
      return {
        id,
        operation: operationId(await this.policies.deleteWithBindings(scope, idOf(id), expected)),
      };
    await this.policies.delete(scope, idOf(id), expected);
    return { id };
  }

  @Mutation('bindPolicy')
  @Requires('policies:write')
  async bind(
    @FieldScope() scope: TenantScope,
    @Args() { policy, targetKind, target }: { policy: string; targetKind: string; target: string },
  ) {
    const input = checkArguments(newBinding, { policyId: policy, targetKind, targetId: target });
    const { value, operation } = await this.policies.bind(scope, input);
    return { binding: presentBinding(value), operation: operationId(operation) };
  }

  @Mutation('unbindPolicy')
  @Requires('policies:write')
  async unbind(@FieldScope() scope: TenantScope, @Args('binding') id: string) {
    return { id, operation: operationId(await this.policies.unbind(scope, idOf(id))) };
  }
}

type PolicyNode = ReturnType<typeof presentPolicy>;

function nodeOf(scope: TenantScope, row: Policy): PolicyNode {
  return inScope(scope, presentPolicy(row));
}
