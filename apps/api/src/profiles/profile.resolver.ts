import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentProfile } from './profile.schema.js';
import { ProfileService } from './profile.service.js';

@Resolver('Profile')
export class ProfileResolver {
  constructor(@Inject(ProfileService) private readonly profiles: ProfileService) {}

  @Query('profiles')
  @Requires('profiles:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.profiles.list(scope, pageRequest(args)), presentProfile);
  }

  @Query('profile')
  @Requires('profiles:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentProfile(await this.profiles.get(scope, idOf(id)));
  }
}
