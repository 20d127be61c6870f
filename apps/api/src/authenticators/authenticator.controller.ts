import { Body, Controller, Delete, Get, HttpCode, Inject, Patch, Post, Res } from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  authenticatorPatch,
  authenticatorView,
  issuedAuthenticatorView,
  newAuthenticator,
  presentAuthenticator,
  type AuthenticatorPatchInput,
  type NewAuthenticatorInput,
} from './authenticator.schema.js';
import { AuthenticatorService } from './authenticator.service.js';

type View = z.input<typeof authenticatorView>;
type IssuedView = z.input<typeof issuedAuthenticatorView>;

@Controller('v1/tenants/:tenant/authenticator')
export class AuthenticatorController {
  constructor(@Inject(AuthenticatorService) private readonly authenticators: AuthenticatorService) {}

  @Post()
  @Requires('authenticator:write')
  @Answers(201, issuedAuthenticatorView, {
    summary: 'Have a service of your own asked who somebody is, for credentials of the kind external',
    description: 'One a tenant. The secret, shown once, is what questions are signed under.',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newAuthenticator }) input: NewAuthenticatorInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    const { authenticator, secret } = await this.authenticators.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/authenticator`);
    return tagged(reply, { ...presentAuthenticator(authenticator), secret });
  }

  @Get()
  @Requires('authenticator:read')
  @Answers(200, authenticatorView, { summary: 'Read the authenticator, without its secret' })
  async get(@InTenant() scope: TenantScope, @Res({ passthrough: true }) reply: FastifyReply): Promise<View> {
    return tagged(reply, presentAuthenticator(await this.authenticators.get(scope)));
  }

  @Patch()
  @Requires('authenticator:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, authenticatorView, {
    summary: 'Change where and how it is asked, or stop asking',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: authenticatorPatch }) patch: AuthenticatorPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.authenticators.update(scope, expected, patch);
    return changed(reply, scope, { value: presentAuthenticator(value), operation });
  }

  @Post('secret')
  @HttpCode(200)
  @Requires('authenticator:write')
  @NeedsIfMatch()
  @Answers(200, issuedAuthenticatorView, {
    summary: 'Have a new secret made, shown once; questions are signed under it from now on',
  })
  async renewSecret(
    @InTenant() scope: TenantScope,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    const { authenticator, secret } = await this.authenticators.renewSecret(scope, expected);
    return tagged(reply, { ...presentAuthenticator(authenticator), secret });
  }

  @Delete()
  @Requires('authenticator:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete the authenticator; connections that rest on its word are closed',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.authenticators.delete(scope, expected));
  }
}
