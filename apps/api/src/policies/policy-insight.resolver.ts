import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { checkArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { diffInput, insightQuery } from './policy-insight.schema.js';
import { PolicyInsightService } from './policy-insight.service.js';

@Resolver()
export class PolicyInsightResolver {
  constructor(@Inject(PolicyInsightService) private readonly insight: PolicyInsightService) {}

  @Query('unusedRules')
  @Requires('policies:read')
  async unusedRules(
    @FieldScope() scope: TenantScope,
    @Args('policy') policy: string,
    @Args('days') days: number,
  ) {
    return this.insight.unusedRules(scope, idOf(policy), checkArguments(insightQuery, { days }).days);
  }

  @Query('policyDiff')
  @Requires('policies:read')
  async diff(
    @FieldScope() scope: TenantScope,
    @Args('policy') policy: string,
    @Args('version') version: number | null,
    @Args('rules') rules: unknown,
    @Args('after') after: string | null,
  ) {
    return this.insight.diff(
      scope,
      idOf(policy),
      checkArguments(diffInput, { version, rules: rules ?? null, after }),
    );
  }

  @Query('policySuggestion')
  @Requires('policies:read')
  async suggest(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('days') days: number,
  ) {
    return this.insight.suggest(scope, idOf(device), checkArguments(insightQuery, { days }).days);
  }

  @Query('profilePolicySuggestion')
  @Requires('policies:read')
  async suggestForProfile(
    @FieldScope() scope: TenantScope,
    @Args('profile') profile: string,
    @Args('days') days: number,
  ) {
    return this.insight.suggestForProfile(scope, idOf(profile), checkArguments(insightQuery, { days }).days);
  }
}
