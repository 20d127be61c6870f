import { Body, Controller, Delete, Get, Inject, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { devicePath } from '../devices/device.schema.js';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  credentialPatch,
  credentialPath,
  credentialQuery,
  credentialRotation,
  credentialView,
  issuedCredentialView,
  newCredential,
  presentCredential,
  presentIssued,
  type CredentialPatchInput,
  type CredentialRotationInput,
  type IssuedCredential,
  type NewCredentialInput,
} from './credential.schema.js';
import { CredentialService } from './credential.service.js';

type View = z.input<typeof credentialView>;
type IssuedView = z.input<typeof issuedCredentialView>;

@Controller('v1/tenants/:tenant/devices/:device/credentials')
export class CredentialController {
  constructor(@Inject(CredentialService) private readonly credentials: CredentialService) {}

  @Post()
  @Requires('credentials:write')
  @Answers(201, issuedCredentialView, {
    summary:
      'Give a device a credential: a password (generated and shown once, or chosen), a certificate, a key for tokens, …',
    description: 'A device may have several at a time, so that a new one is in use before the old one ends.',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Body({ schema: newCredential }) input: NewCredentialInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    return sendIssued(await this.credentials.create(scope, deviceId, input), scope, reply);
  }

  @Post(':credential/rotate')
  @Requires('credentials:write')
  @NeedsIfMatch()
  @Answers(201, issuedCredentialView, {
    summary: 'Give a device a new credential in the place of this one, which ends after an overlap',
    description: 'Of the same kind and for the same client identifiers, with an authId of its own.',
    hasOperation: true,
  })
  async rotate(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('credential', { schema: credentialPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: credentialRotation }) input: CredentialRotationInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    const rotated = await this.credentials.rotate(scope, deviceId, id, expected, input);
    announceOperation(reply, scope, rotated.operation);
    return sendIssued(rotated, scope, reply);
  }

  @Get()
  @Requires('credentials:read')
  @Answers(200, pageOf(credentialView), { summary: 'List the credentials of a device, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Query({ schema: credentialQuery }) query: z.output<typeof credentialQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.credentials.list(scope, deviceId, query);
    return sendPage(page, (row) => presentCredential(row, scope.tenantSlug), request, reply);
  }

  @Get(':credential')
  @Requires('credentials:read')
  @Answers(200, credentialView, { summary: 'Read a credential, without its password' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('credential', { schema: credentialPath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(
      reply,
      presentCredential(await this.credentials.get(scope, deviceId, id), scope.tenantSlug),
    );
  }

  @Patch(':credential')
  @Requires('credentials:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, credentialView, {
    summary: 'Change the validity or the client identifiers of a credential',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('credential', { schema: credentialPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: credentialPatch }) patch: CredentialPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.credentials.update(scope, deviceId, id, expected, patch);
    return changed(reply, scope, { value: presentCredential(value, scope.tenantSlug), operation });
  }

  @Delete(':credential')
  @Requires('credentials:write')
  @NeedsIfMatch()
  @Answers(204, undefined, { summary: 'Delete a credential; its connections are closed', hasOperation: true })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('credential', { schema: credentialPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.credentials.delete(scope, deviceId, id, expected));
  }
}

function sendIssued(issued: IssuedCredential, { tenantSlug }: TenantScope, reply: FastifyReply): IssuedView {
  const { deviceId, id } = issued.credential;
  void reply.header('Location', `/v1/tenants/${tenantSlug}/devices/${deviceId}/credentials/${id}`);
  return tagged(reply, presentIssued(issued, tenantSlug));
}
