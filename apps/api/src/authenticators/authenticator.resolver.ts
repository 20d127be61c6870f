import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, checkPatch } from '../graphql/connection.js';
import { operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { authenticatorPatch, newAuthenticator, presentAuthenticator } from './authenticator.schema.js';
import { AuthenticatorService, type IssuedAuthenticator } from './authenticator.service.js';

@Resolver('Authenticator')
export class AuthenticatorResolver {
  constructor(@Inject(AuthenticatorService) private readonly authenticators: AuthenticatorService) {}

  @Query('authenticator')
  @Requires('authenticator:read')
  async get(@FieldScope() scope: TenantScope) {
    return presentAuthenticator(await this.authenticators.get(scope));
  }

  @Mutation('createAuthenticator')
  @Requires('authenticator:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return present(await this.authenticators.create(scope, checkArguments(newAuthenticator, input)));
  }

  @Mutation('updateAuthenticator')
  @Requires('authenticator:write')
  async update(
    @FieldScope() scope: TenantScope,
    @Args('expectedVersion') expected: number,
    @Args('patch') patch: object,
  ) {
    const input = checkPatch(authenticatorPatch, patch);
    const { value, operation } = await this.authenticators.update(scope, expected, input);
    return { authenticator: presentAuthenticator(value), operation: operationId(operation) };
  }

  @Mutation('renewAuthenticatorSecret')
  @Requires('authenticator:write')
  async renewSecret(@FieldScope() scope: TenantScope, @Args('expectedVersion') expected: number) {
    return present(await this.authenticators.renewSecret(scope, expected));
  }

  @Mutation('deleteAuthenticator')
  @Requires('authenticator:write')
  async delete(@FieldScope() scope: TenantScope, @Args('expectedVersion') expected: number) {
    return { operation: operationId(await this.authenticators.delete(scope, expected)) };
  }
}

function present({ authenticator, secret }: IssuedAuthenticator) {
  return { authenticator: presentAuthenticator(authenticator), secret };
}
