import { Body, Controller, Delete, Get, Inject, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  activation,
  evaluation,
  evaluationView,
  newPolicy,
  newPolicyVersion,
  policyDeletion,
  policyPatch,
  policyQuery,
  policyVersionView,
  policyView,
  presentExplanation,
  presentPolicy,
  presentPolicyVersion,
  type EvaluationInput,
  type NewPolicyInput,
  type NewPolicyVersionInput,
  type PolicyPatchInput,
} from './policy.schema.js';
import { PolicyEvaluationService } from './policy-evaluation.service.js';
import { PolicyService } from './policy.service.js';

const id = { schema: z.uuid() };
const number = { schema: z.coerce.number().int().min(1).max(2_147_483_647) };

@Controller('v1/tenants/:tenant/policies')
export class PolicyController {
  constructor(
    @Inject(PolicyService) private readonly policies: PolicyService,
    @Inject(PolicyEvaluationService) private readonly evaluation: PolicyEvaluationService,
  ) {}

  @Get()
  @Requires('policies:read')
  @Answers(200, pageOf(policyView), { summary: 'List policies' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: policyQuery }) query: z.output<typeof policyQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.policies.list(scope, query), presentPolicy, request, reply);
  }

  @Post()
  @Requires('policies:write')
  @Answers(201, policyView, {
    summary: 'Create a policy; its rules become version 1 and are in force where it is bound',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newPolicy }) body: NewPolicyInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const policy = await this.policies.create(scope, body);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/policies/${policy.id}`);
    return tagged(reply, presentPolicy(policy));
  }

  @Post('evaluate')
  @Requires('policies:read')
  @Answers(200, evaluationView, {
    summary: 'What the broker would decide for a device now, and by which rule',
  })
  async evaluate(@InTenant() scope: TenantScope, @Body({ schema: evaluation }) body: EvaluationInput) {
    return presentExplanation(await this.evaluation.evaluate(scope, body));
  }

  @Get(':policy')
  @Requires('policies:read')
  @Answers(200, policyView, { summary: 'Get a policy' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, presentPolicy(await this.policies.get(scope, policyId)));
  }

  @Patch(':policy')
  @Requires('policies:write')
  @NeedsIfMatch()
  @Answers(200, policyView, { summary: 'Change the name or the description', hasOperation: true })
  async update(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: policyPatch }) patch: PolicyPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { value, operation } = await this.policies.update(scope, policyId, expected, patch);
    if (operation !== undefined) announceOperation(reply, scope, operation);
    return tagged(reply, presentPolicy(value));
  }

  @Delete(':policy')
  @Requires('policies:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete a policy that is not bound, or with its bindings',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @IfMatch() expected: ExpectedVersion,
    @Query({ schema: policyDeletion }) { unbind }: z.output<typeof policyDeletion>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    if (!unbind) return this.policies.delete(scope, policyId, expected);
    announceOperation(reply, scope, await this.policies.deleteWithBindings(scope, policyId, expected));
  }

  @Post(':policy/activate')
  @Requires('policies:write')
  @NeedsIfMatch()
  @Answers(200, policyView, {
    summary: 'Put a version in force: a newer one, or an older one to roll back',
    hasOperation: true,
  })
  async activate(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: activation }) { version }: z.output<typeof activation>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { value, operation } = await this.policies.activate(scope, policyId, expected, version);
    return changed(reply, scope, { value: presentPolicy(value), operation });
  }

  @Get(':policy/versions')
  @Requires('policies:read')
  @Answers(200, pageOf(policyVersionView), { summary: 'List the versions of a policy, newest first' })
  async listVersions(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Query({ schema: policyQuery }) query: z.output<typeof policyQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.policies.listVersions(scope, policyId, query);
    return sendPage(page, presentPolicyVersion, request, reply);
  }

  @Post(':policy/versions')
  @Requires('policies:write')
  @Answers(201, policyVersionView, {
    summary: 'Add a version of the rules; it never changes afterwards',
    hasOperation: true,
  })
  async addVersion(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Body({ schema: newPolicyVersion }) body: NewPolicyVersionInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { value, operation } = await this.policies.addVersion(scope, policyId, body);
    void reply.header(
      'Location',
      `/v1/tenants/${scope.tenantSlug}/policies/${policyId}/versions/${value.number}`,
    );
    if (operation !== undefined) announceOperation(reply, scope, operation);
    return presentPolicyVersion(value);
  }

  @Get(':policy/versions/:number')
  @Requires('policies:read')
  @Answers(200, policyVersionView, { summary: 'Get one version, its rules included' })
  async getVersion(
    @InTenant() scope: TenantScope,
    @Param('policy', id) policyId: string,
    @Param('number', number) version: number,
  ) {
    return presentPolicyVersion(await this.policies.getVersion(scope, policyId, version));
  }
}
