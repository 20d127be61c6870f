import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentGroup } from './group.schema.js';
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
}
