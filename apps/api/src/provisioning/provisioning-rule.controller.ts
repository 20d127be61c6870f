import { Body, Controller, Delete, Get, Inject, Param, Put, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { trustAnchorPath } from '../trust-anchors/trust-anchor.schema.js';
import {
  newProvisioningRule,
  presentRule,
  provisioningRuleView,
  type NewProvisioningRuleInput,
} from './provisioning-rule.schema.js';
import { ProvisioningRuleService } from './provisioning-rule.service.js';

type View = z.input<typeof provisioningRuleView>;

@Controller('v1/tenants/:tenant/trust-anchors/:anchor/provisioning')
export class ProvisioningRuleController {
  constructor(@Inject(ProvisioningRuleService) private readonly rules: ProvisioningRuleService) {}

  @Get()
  @Requires('trust-anchors:read')
  @Answers(200, provisioningRuleView, { summary: 'Read how unknown devices under this anchor register' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) anchorId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentRule(await this.rules.get(scope, anchorId)));
  }

  @Put()
  @Requires('trust-anchors:write')
  @NeedsIfMatch()
  @Answers(200, provisioningRuleView, {
    summary: 'Let unknown devices with a certificate under this anchor become devices of the tenant',
    description: 'With If-Match: * where there is no rule yet.',
  })
  async put(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) anchorId: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: newProvisioningRule }) input: NewProvisioningRuleInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentRule(await this.rules.put(scope, anchorId, expected, input)));
  }

  @Delete()
  @Requires('trust-anchors:write')
  @NeedsIfMatch()
  @Answers(204, undefined, { summary: 'Delete the rule; the devices that it let in stay' })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) anchorId: string,
    @IfMatch() expected: ExpectedVersion,
  ): Promise<void> {
    await this.rules.delete(scope, anchorId, expected);
  }
}
