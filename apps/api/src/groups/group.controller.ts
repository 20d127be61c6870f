import {
  Body,
  Controller,
  Delete,
  Get,
  Inject,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { devicePath, deviceView, presentDevice } from '../devices/device.schema.js';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  groupPatch,
  groupPath,
  groupQuery,
  groupView,
  newGroup,
  presentGroup,
  type GroupPatchInput,
  type NewGroupInput,
} from './group.schema.js';
import { GroupService } from './group.service.js';

type View = z.input<typeof groupView>;
type Listing = z.output<typeof groupQuery>;

/** A membership is there or not: there is no version of it to overwrite, so PUT and DELETE of a member take no If-Match. */
const membershipNote = 'Asked for again it changes nothing. Takes no If-Match: a membership has no version.';

@Controller('v1/tenants/:tenant/groups')
export class GroupController {
  constructor(@Inject(GroupService) private readonly groups: GroupService) {}

  @Post()
  @Requires('groups:write')
  @Answers(201, groupView, { summary: 'Create a group of devices' })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newGroup }) input: NewGroupInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const group = await this.groups.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/groups/${group.id}`);
    return tagged(reply, presentGroup(group));
  }

  @Get()
  @Requires('groups:read')
  @Answers(200, pageOf(groupView), { summary: 'List groups, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: groupQuery }) query: Listing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.groups.list(scope, query), presentGroup, request, reply);
  }

  @Get(':group')
  @Requires('groups:read')
  @Answers(200, groupView, { summary: 'Read a group' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentGroup(await this.groups.get(scope, id)));
  }

  @Patch(':group')
  @Requires('groups:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, groupView, { summary: 'Rename a group' })
  async update(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: groupPatch }) patch: GroupPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentGroup(await this.groups.update(scope, id, expected, patch)));
  }

  @Delete(':group')
  @Requires('groups:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete a group, not its devices; what was bound to it ends',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.groups.delete(scope, id, expected));
  }

  @Get(':group/members')
  @Requires('groups:read')
  @Answers(200, pageOf(deviceView), { summary: 'List the devices of a group, oldest first' })
  async members(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @Query({ schema: groupQuery }) query: Listing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.groups.listMembers(scope, id, query), presentDevice, request, reply);
  }

  @Put(':group/members/:device')
  @Requires('groups:write')
  @Answers(204, undefined, {
    summary: 'Put a device into a group',
    description: membershipNote,
    hasOperation: true,
  })
  async addMember(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const operation = await this.groups.addMember(scope, id, deviceId);
    if (operation !== undefined) announceOperation(reply, scope, operation);
  }

  @Delete(':group/members/:device')
  @Requires('groups:write')
  @Answers(204, undefined, {
    summary: 'Take a device out of a group',
    description: membershipNote,
    hasOperation: true,
  })
  async removeMember(
    @InTenant() scope: TenantScope,
    @Param('group', { schema: groupPath }) id: string,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const operation = await this.groups.removeMember(scope, id, deviceId);
    if (operation !== undefined) announceOperation(reply, scope, operation);
  }
}
