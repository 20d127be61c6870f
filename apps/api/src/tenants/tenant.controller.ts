import { Body, Controller, Delete, Get, Inject, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { By, InTenant, Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import {
  newTenant,
  presentTenant,
  tenantPatch,
  tenantQuery,
  tenantView,
  type NewTenantInput,
  type TenantPatchInput,
} from './tenant.schema.js';
import { TenantService } from './tenant.service.js';

type View = z.input<typeof tenantView>;

@Controller('v1/tenants')
export class TenantController {
  constructor(@Inject(TenantService) private readonly tenants: TenantService) {}

  @Post()
  @Requires('tenants:write')
  @Answers(201, tenantView, { summary: 'Create a tenant, with a default profile and policy' })
  async create(
    @By() caller: Caller,
    @Body({ schema: newTenant }) input: NewTenantInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const tenant = await this.tenants.create(caller, input);
    void reply.header('Location', `/v1/tenants/${tenant.slug}`);
    return tagged(reply, presentTenant(tenant));
  }

  @Get()
  @Requires('tenants:read')
  @Answers(200, pageOf(tenantView), { summary: 'List tenants, oldest first' })
  async list(
    @Query({ schema: tenantQuery }) query: z.output<typeof tenantQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.tenants.list(query), presentTenant, request, reply);
  }

  @Get(':tenant')
  @Requires('tenant:read')
  @Answers(200, tenantView, { summary: 'Read a tenant' })
  async get(@InTenant() scope: TenantScope, @Res({ passthrough: true }) reply: FastifyReply): Promise<View> {
    return tagged(reply, presentTenant(await this.tenants.get(scope)));
  }

  @Patch(':tenant')
  @Requires('tenants:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, tenantView, {
    summary: 'Change name, status, limits or settings of a tenant',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: tenantPatch }) patch: TenantPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.tenants.update(scope, expected, patch);
    return changed(reply, scope, { value: presentTenant(value), operation });
  }

  @Delete(':tenant')
  @Requires('tenants:write')
  @NeedsIfMatch()
  @Answers(204, undefined, { summary: 'Delete a tenant and everything of it, telemetry included' })
  async delete(@InTenant() scope: TenantScope, @IfMatch() expected: ExpectedVersion): Promise<void> {
    await this.tenants.delete(scope, expected);
  }
}
