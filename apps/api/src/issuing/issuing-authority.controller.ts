import { Body, Controller, Delete, Get, Inject, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  issuedListView,
  issuingAuthorityPatch,
  issuingAuthorityPath,
  issuingAuthorityQuery,
  issuingAuthorityView,
  newIssuingAuthority,
  presentIssuedList,
  presentIssuingAuthority,
  type IssuingAuthorityPatchInput,
  type NewIssuingAuthorityInput,
} from './issuing-authority.schema.js';
import { IssuingAuthorityService } from './issuing-authority.service.js';

type View = z.input<typeof issuingAuthorityView>;

@Controller('v1/tenants/:tenant/issuing-authorities')
export class IssuingAuthorityController {
  constructor(@Inject(IssuingAuthorityService) private readonly authorities: IssuingAuthorityService) {}

  @Post()
  @Requires('issuing-authorities:write')
  @Answers(201, issuingAuthorityView, {
    summary: 'Make an authority that issues certificates to devices; it is a trust anchor from then on',
    description: 'Its private key is made here, kept sealed, and never shown.',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newIssuingAuthority }) input: NewIssuingAuthorityInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const authority = await this.authorities.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/issuing-authorities/${authority.id}`);
    return tagged(reply, presentIssuingAuthority(authority));
  }

  @Get()
  @Requires('issuing-authorities:read')
  @Answers(200, pageOf(issuingAuthorityView), { summary: 'List issuing authorities, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: issuingAuthorityQuery }) query: z.output<typeof issuingAuthorityQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.authorities.list(scope, query), presentIssuingAuthority, request, reply);
  }

  @Get(':authority')
  @Requires('issuing-authorities:read')
  @Answers(200, issuingAuthorityView, { summary: 'Read an issuing authority' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('authority', { schema: issuingAuthorityPath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentIssuingAuthority(await this.authorities.get(scope, id)));
  }

  @Get(':authority/crl')
  @Requires('issuing-authorities:read')
  @Answers(200, issuedListView, {
    summary: 'A signed list of what the authority has revoked, good for a week',
  })
  async crl(
    @InTenant() scope: TenantScope,
    @Param('authority', { schema: issuingAuthorityPath }) id: string,
  ): Promise<z.input<typeof issuedListView>> {
    return presentIssuedList(await this.authorities.revocationList(scope, id));
  }

  @Patch(':authority')
  @Requires('issuing-authorities:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, issuingAuthorityView, {
    summary: 'Retire an issuing authority, or say how long it issues for',
  })
  async update(
    @InTenant() scope: TenantScope,
    @Param('authority', { schema: issuingAuthorityPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: issuingAuthorityPatch }) patch: IssuingAuthorityPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentIssuingAuthority(await this.authorities.update(scope, id, expected, patch)));
  }

  @Delete(':authority')
  @Requires('issuing-authorities:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete an issuing authority, its key and all it has issued; their connections are closed',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('authority', { schema: issuingAuthorityPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.authorities.delete(scope, id, expected));
  }
}
