import { Body, Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  diffInput,
  diffView,
  insightQuery,
  suggestionView,
  unusedRulesView,
  type DiffInput,
} from './policy-insight.schema.js';
import { PolicyInsightService } from './policy-insight.service.js';

const id = { schema: z.uuid() };
type Query = z.output<typeof insightQuery>;

@Controller('v1/tenants/:tenant')
export class PolicyInsightController {
  constructor(@Inject(PolicyInsightService) private readonly insight: PolicyInsightService) {}

  @Get('policies/:policy/unused-rules')
  @Requires('policies:read')
  @Answers(200, unusedRulesView, { summary: 'Rules in force that have allowed nothing for a while' })
  async unusedRules(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Query({ schema: insightQuery }) { days }: Query,
  ) {
    return this.insight.unusedRules(scope, policyId, days);
  }

  @Post('policies/:policy/diff')
  @Requires('policies:read')
  @Answers(200, diffView, {
    summary: 'What another version, or a draft, would decide otherwise: a dry run of its activation',
  })
  async diff(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Body({ schema: diffInput }) input: DiffInput,
  ) {
    return this.insight.diff(scope, policyId, input);
  }

  @Get('devices/:device/policy-suggestion')
  @Requires('policies:read')
  @Answers(200, suggestionView, { summary: 'The least rules that would have allowed what the device did' })
  async suggest(
    @InTenant() scope: TenantScope,
    @Param('device', id) deviceId: string,
    @Query({ schema: insightQuery }) { days }: Query,
  ) {
    return this.insight.suggest(scope, deviceId, days);
  }

  @Get('profiles/:profile/policy-suggestion')
  @Requires('policies:read')
  @Answers(200, suggestionView, {
    summary: 'The least rules that would have allowed what the devices of a profile did',
  })
  async suggestForProfile(
    @InTenant() scope: TenantScope,
    @Param('profile', id) profileId: string,
    @Query({ schema: insightQuery }) { days }: Query,
  ) {
    return this.insight.suggestForProfile(scope, profileId, days);
  }
}
