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
import { newTokenIssuer, presentTokenIssuer, tokenIssuerPatch } from './token-issuer.schema.js';
import { TokenIssuerService } from './token-issuer.service.js';

@Resolver('TokenIssuer')
export class TokenIssuerResolver {
  constructor(@Inject(TokenIssuerService) private readonly issuers: TokenIssuerService) {}

  @Query('tokenIssuers')
  @Requires('token-issuers:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.issuers.list(scope, pageRequest(args)), presentTokenIssuer);
  }

  @Query('tokenIssuer')
  @Requires('token-issuers:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentTokenIssuer(await this.issuers.get(scope, idOf(id)));
  }

  @Mutation('createTokenIssuer')
  @Requires('token-issuers:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return presentTokenIssuer(await this.issuers.create(scope, checkArguments(newTokenIssuer, input)));
  }

  @Mutation('updateTokenIssuer')
  @Requires('token-issuers:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(tokenIssuerPatch, patch);
    const { value, operation } = await this.issuers.update(scope, idOf(id), expectedVersion, input);
    return { tokenIssuer: presentTokenIssuer(value), operation: operationId(operation) };
  }

  @Mutation('deleteTokenIssuer')
  @Requires('token-issuers:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    const operation = await this.issuers.delete(scope, idOf(id), expectedVersion);
    return { id, operation: operationId(operation) };
  }
}
