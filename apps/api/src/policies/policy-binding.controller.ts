import { Body, Controller, Delete, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  bindingQuery,
  bindingView,
  newBinding,
  presentBinding,
  type NewBindingInput,
} from './policy.schema.js';
import { PolicyService } from './policy.service.js';

const id = { schema: z.uuid() };

/** A binding is made and ended, never changed: it has no ETag. */
@Controller('v1/tenants/:tenant/policy-bindings')
export class PolicyBindingController {
  constructor(@Inject(PolicyService) private readonly policies: PolicyService) {}

  @Get()
  @Requires('policies:read')
  @Answers(200, pageOf(bindingView), { summary: 'List bindings, of a policy or to a target' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: bindingQuery }) query: z.output<typeof bindingQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { policy: policyId, target: targetId, targetKind, limit, after } = query;
    const page = await this.policies.listBindings(scope, { policyId, targetId, targetKind, limit, after });
    return sendPage(page, presentBinding, request, reply);
  }

  @Post()
  @Requires('policies:write')
  @Answers(201, bindingView, {
    summary: 'Bind a policy to the tenant, a group, a profile or a device',
    hasOperation: true,
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newBinding }) body: NewBindingInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { value, operation } = await this.policies.bind(scope, body);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/policy-bindings/${value.id}`);
    announceOperation(reply, scope, operation);
    return presentBinding(value);
  }

  @Get(':binding')
  @Requires('policies:read')
  @Answers(200, bindingView, { summary: 'Get a binding' })
  async get(@InTenant() scope: TenantScope, @Param('binding', id) bindingId: string) {
    return presentBinding(await this.policies.getBinding(scope, bindingId));
  }

  @Delete(':binding')
  @Requires('policies:write')
  @Answers(204, undefined, { summary: 'End a binding', hasOperation: true })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('binding', id) bindingId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.policies.unbind(scope, bindingId));
  }
}
