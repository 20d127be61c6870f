import { Body, Controller, Delete, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  claimTokenPath,
  claimTokenQuery,
  claimTokenView,
  newClaimToken,
  presentClaimToken,
  shownClaimTokenView,
  type NewClaimTokenInput,
} from './claim-token.schema.js';
import { ClaimTokenService } from './claim-token.service.js';

@Controller('v1/tenants/:tenant/claim-tokens')
export class ClaimTokenController {
  constructor(@Inject(ClaimTokenService) private readonly tokens: ClaimTokenService) {}

  @Post()
  @Requires('claim-tokens:write')
  @Answers(201, shownClaimTokenView, {
    summary: 'Make a token with which so many unknown devices become devices of the tenant',
    description: 'The token is shown this once.',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newClaimToken }) input: NewClaimTokenInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.input<typeof shownClaimTokenView>> {
    const { row, token } = await this.tokens.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/claim-tokens/${row.id}`);
    return { ...presentClaimToken(row), token };
  }

  @Get()
  @Requires('claim-tokens:read')
  @Answers(200, pageOf(claimTokenView), { summary: 'List claim tokens, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: claimTokenQuery }) query: z.output<typeof claimTokenQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.tokens.list(scope, query), presentClaimToken, request, reply);
  }

  @Get(':claimToken')
  @Requires('claim-tokens:read')
  @Answers(200, claimTokenView, { summary: 'Read a claim token, without what proves it' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('claimToken', { schema: claimTokenPath }) id: string,
  ): Promise<z.input<typeof claimTokenView>> {
    return presentClaimToken(await this.tokens.get(scope, id));
  }

  @Delete(':claimToken')
  @Requires('claim-tokens:write')
  @Answers(204, undefined, { summary: 'Delete a claim token; the devices that it let in stay' })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('claimToken', { schema: claimTokenPath }) id: string,
  ): Promise<void> {
    await this.tokens.delete(scope, id);
  }
}
