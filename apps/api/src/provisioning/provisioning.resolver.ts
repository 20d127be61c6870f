import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { newClaimToken, presentClaimToken } from './claim-token.schema.js';
import { ClaimTokenService } from './claim-token.service.js';
import { newProvisioningRule, presentRule } from './provisioning-rule.schema.js';
import { ProvisioningRuleService } from './provisioning-rule.service.js';

@Resolver()
export class ProvisioningResolver {
  constructor(
    @Inject(ClaimTokenService) private readonly tokens: ClaimTokenService,
    @Inject(ProvisioningRuleService) private readonly rules: ProvisioningRuleService,
  ) {}

  @Query('claimTokens')
  @Requires('claim-tokens:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.tokens.list(scope, pageRequest(args)), presentClaimToken);
  }

  @Query('claimToken')
  @Requires('claim-tokens:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentClaimToken(await this.tokens.get(scope, idOf(id)));
  }

  @Mutation('createClaimToken')
  @Requires('claim-tokens:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    const { row, token } = await this.tokens.create(scope, checkArguments(newClaimToken, input));
    return { claimToken: presentClaimToken(row), token };
  }

  @Mutation('deleteClaimToken')
  @Requires('claim-tokens:write')
  async delete(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    await this.tokens.delete(scope, idOf(id));
    return { id, operation: null };
  }

  @Query('provisioningRule')
  @Requires('trust-anchors:read')
  async rule(@FieldScope() scope: TenantScope, @Args('anchor') anchor: string) {
    return presentRule(await this.rules.get(scope, idOf(anchor)));
  }

  @Mutation('putProvisioningRule')
  @Requires('trust-anchors:write')
  async put(
    @FieldScope() scope: TenantScope,
    @Args('anchor') anchor: string,
    @Args('expectedVersion') expected: number | null,
    @Args('input') input: object,
  ) {
    const rule = checkArguments(newProvisioningRule, input);
    return presentRule(await this.rules.put(scope, idOf(anchor), expected ?? 'none', rule));
  }

  @Mutation('deleteProvisioningRule')
  @Requires('trust-anchors:write')
  async deleteRule(
    @FieldScope() scope: TenantScope,
    @Args('anchor') anchor: string,
    @Args('expectedVersion') expected: number,
  ) {
    await this.rules.delete(scope, idOf(anchor), expected);
    return { id: anchor, operation: null };
  }
}
