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
import { newProfile, presentProfile, profilePatch } from './profile.schema.js';
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

  @Mutation('createProfile')
  @Requires('profiles:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return presentProfile(await this.profiles.create(scope, checkArguments(newProfile, input)));
  }

  @Mutation('updateProfile')
  @Requires('profiles:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(profilePatch, patch);
    const { value, operation } = await this.profiles.update(scope, idOf(id), expectedVersion, input);
    return { profile: presentProfile(value), operation: operationId(operation) };
  }

  @Mutation('deleteProfile')
  @Requires('profiles:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    return { id, operation: operationId(await this.profiles.delete(scope, idOf(id), expectedVersion)) };
  }
}
