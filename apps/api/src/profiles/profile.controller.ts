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
  newProfile,
  presentProfile,
  profilePatch,
  profilePath,
  profileQuery,
  profileView,
  type NewProfileInput,
  type ProfilePatchInput,
} from './profile.schema.js';
import { ProfileService } from './profile.service.js';

type View = z.input<typeof profileView>;

@Controller('v1/tenants/:tenant/profiles')
export class ProfileController {
  constructor(@Inject(ProfileService) private readonly profiles: ProfileService) {}

  @Post()
  @Requires('profiles:write')
  @Answers(201, profileView, { summary: 'Create a profile: which messages of its devices are telemetry' })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newProfile }) input: NewProfileInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const profile = await this.profiles.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/profiles/${profile.id}`);
    return tagged(reply, presentProfile(profile));
  }

  @Get()
  @Requires('profiles:read')
  @Answers(200, pageOf(profileView), { summary: 'List profiles, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: profileQuery }) query: z.output<typeof profileQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.profiles.list(scope, query), presentProfile, request, reply);
  }

  @Get(':profile')
  @Requires('profiles:read')
  @Answers(200, profileView, { summary: 'Read a profile' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('profile', { schema: profilePath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentProfile(await this.profiles.get(scope, id)));
  }

  @Patch(':profile')
  @Requires('profiles:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, profileView, {
    summary: 'Change the name or the telemetry rules of a profile',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @Param('profile', { schema: profilePath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: profilePatch }) patch: ProfilePatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.profiles.update(scope, id, expected, patch);
    return changed(reply, scope, { value: presentProfile(value), operation });
  }

  @Delete(':profile')
  @Requires('profiles:write')
  @NeedsIfMatch()
  @Answers(204, undefined, { summary: 'Delete a profile that no device has', hasOperation: true })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('profile', { schema: profilePath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.profiles.delete(scope, id, expected));
  }
}
