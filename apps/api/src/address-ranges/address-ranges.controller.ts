import { Body, Controller, Get, Inject, Put, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { AddressRules } from '#access';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { changed } from '../http/operation.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { TenantService } from '../tenants/tenant.service.js';
import { addressRangesView, newAddressRanges, presentAddressRanges } from './address-ranges.schema.js';

type View = z.input<typeof addressRangesView>;

/** From where a tenant's clients may connect. A device may have ranges of its own, which narrow these. */
@Controller('v1/tenants/:tenant/address-ranges')
export class AddressRangesController {
  constructor(@Inject(TenantService) private readonly tenants: TenantService) {}

  @Get()
  @Requires('address-ranges:read')
  @Answers(200, addressRangesView, { summary: 'Read from where clients may connect' })
  async get(@InTenant() scope: TenantScope, @Res({ passthrough: true }) reply: FastifyReply): Promise<View> {
    return tagged(reply, presentAddressRanges(await this.tenants.get(scope)));
  }

  @Put()
  @Requires('address-ranges:write')
  @NeedsIfMatch()
  @Answers(200, addressRangesView, {
    summary: 'Say from where clients may connect',
    description: 'At once, also for those who are connected: the operation tells when those outside are out.',
    hasOperation: true,
  })
  async replace(
    @InTenant() scope: TenantScope,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: newAddressRanges }) rules: AddressRules,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.tenants.setAddresses(scope, expected, rules);
    return changed(reply, scope, { value: presentAddressRanges(value), operation });
  }
}
