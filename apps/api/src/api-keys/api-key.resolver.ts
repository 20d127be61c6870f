import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldCaller, FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import { newPlatformKey, newTenantKey, presentApiKey } from './api-key.schema.js';
import { ApiKeyService, type IssuedApiKey } from './api-key.service.js';

@Resolver('ApiKey')
export class ApiKeyResolver {
  constructor(@Inject(ApiKeyService) private readonly apiKeys: ApiKeyService) {}

  @Query('apiKeys')
  @Requires('api-keys:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.apiKeys.list(scope, pageRequest(args)), presentApiKey);
  }

  @Query('apiKey')
  @Requires('api-keys:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentApiKey(await this.apiKeys.get(scope, idOf(id)));
  }

  @Mutation('createApiKey')
  @Requires('api-keys:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return presentIssued(await this.apiKeys.create(scope, checkArguments(newTenantKey, input)));
  }

  @Mutation('revokeApiKey')
  @Requires('api-keys:write')
  async revoke(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentApiKey(await this.apiKeys.revoke(scope, idOf(id)));
  }

  // ------------------------------------------------------------------------------------------------------ the platform's

  @Query('platformApiKeys')
  @Requires('platform-keys:read')
  async listOfPlatform(@FieldCaller() caller: Caller, @Args() args: PageArguments) {
    return connectionOf(await this.apiKeys.list({ caller }, pageRequest(args)), presentApiKey);
  }

  @Query('platformApiKey')
  @Requires('platform-keys:read')
  async getOfPlatform(@FieldCaller() caller: Caller, @Args('id') id: string) {
    return presentApiKey(await this.apiKeys.get({ caller }, idOf(id)));
  }

  @Mutation('createPlatformApiKey')
  @Requires('platform-keys:write')
  async createOfPlatform(@FieldCaller() caller: Caller, @Args('input') input: object) {
    return presentIssued(await this.apiKeys.create({ caller }, checkArguments(newPlatformKey, input)));
  }

  @Mutation('revokePlatformApiKey')
  @Requires('platform-keys:write')
  async revokeOfPlatform(@FieldCaller() caller: Caller, @Args('id') id: string) {
    return presentApiKey(await this.apiKeys.revoke({ caller }, idOf(id)));
  }
}

function presentIssued({ row, key }: IssuedApiKey) {
  return { apiKey: presentApiKey(row), key };
}
