import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  type DeleteArguments,
  type PageArguments,
  type UpdateArguments,
} from '../graphql/connection.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { groupPatch, newGroup, presentGroup } from './group.schema.js';
import { GroupService } from './group.service.js';

@Resolver('Group')
export class GroupResolver {
  constructor(@Inject(GroupService) private readonly groups: GroupService) {}

  @Query('groups')
  @Requires('groups:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.groups.list(scope, pageRequest(args)), presentGroup);
  }

  @Query('group')
  @Requires('groups:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentGroup(await this.groups.get(scope, idOf(id)));
  }

  @Mutation('createGroup')
  @Requires('groups:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return presentGroup(await this.groups.create(scope, checkArguments(newGroup, input)));
  }

  @Mutation('updateGroup')
  @Requires('groups:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    return presentGroup(
      await this.groups.update(scope, idOf(id), expectedVersion, checkPatch(groupPatch, patch)),
    );
  }

  @Mutation('deleteGroup')
  @Requires('groups:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    return { id, operation: operationId(await this.groups.delete(scope, idOf(id), expectedVersion)) };
  }

  // ------------------------------------------------------------------------------------------------------- membership

  @Mutation('addGroupMember')
  @Requires('groups:write')
  async addMember(
    @FieldScope() scope: TenantScope,
    @Args('group') group: string,
    @Args('device') device: string,
  ) {
    const operation = await this.groups.addMember(scope, idOf(group), idOf(device));
    return { group, device, operation: operationId(operation) };
  }

  @Mutation('removeGroupMember')
  @Requires('groups:write')
  async removeMember(
    @FieldScope() scope: TenantScope,
    @Args('group') group: string,
    @Args('device') device: string,
  ) {
    const operation = await this.groups.removeMember(scope, idOf(group), idOf(device));
    return { group, device, operation: operationId(operation) };
  }
}
