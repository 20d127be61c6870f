import { Body, Controller, Delete, Get, Inject, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  newTokenIssuer,
  presentTokenIssuer,
  tokenIssuerPatch,
  tokenIssuerPath,
  tokenIssuerQuery,
  tokenIssuerView,
  type NewTokenIssuerInput,
  type TokenIssuerPatchInput,
} from './token-issuer.schema.js';
import { TokenIssuerService } from './token-issuer.service.js';

type View = z.input<typeof tokenIssuerView>;

@Controller('v1/tenants/:tenant/token-issuers')
export class TokenIssuerController {
  constructor(@Inject(TokenIssuerService) private readonly issuers: TokenIssuerService) {}

  @Post()
  @Requires('token-issuers:write')
  @Answers(201, tokenIssuerView, {
    summary: "Trust an issuer's tokens: devices with a credential of the kind token sign in with them",
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newTokenIssuer }) input: NewTokenIssuerInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const made = await this.issuers.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/token-issuers/${made.id}`);
    return tagged(reply, presentTokenIssuer(made));
  }

  @Get()
  @Requires('token-issuers:read')
  @Answers(200, pageOf(tokenIssuerView), { summary: 'List token issuers, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: tokenIssuerQuery }) query: z.output<typeof tokenIssuerQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.issuers.list(scope, query), presentTokenIssuer, request, reply);
  }

  @Get(':issuer')
  @Requires('token-issuers:read')
  @Answers(200, tokenIssuerView, { summary: 'Read a token issuer' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('issuer', { schema: tokenIssuerPath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentTokenIssuer(await this.issuers.get(scope, id)));
  }

  @Patch(':issuer')
  @Requires('token-issuers:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, tokenIssuerView, {
    summary: 'Change what is believed of an issuer, or stop believing it',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @Param('issuer', { schema: tokenIssuerPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: tokenIssuerPatch }) patch: TokenIssuerPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.issuers.update(scope, id, expected, patch);
    return changed(reply, scope, { value: presentTokenIssuer(value), operation });
  }

  @Delete(':issuer')
  @Requires('token-issuers:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete a token issuer; connections that rest on its tokens are closed',
    description: 'Credentials that demand this issuer are deleted with it.',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('issuer', { schema: tokenIssuerPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.issuers.delete(scope, id, expected));
  }
}
