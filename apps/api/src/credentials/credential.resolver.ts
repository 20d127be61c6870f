import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  type PageArguments,
} from '../graphql/connection.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  credentialPatch,
  credentialRotation,
  newCredential,
  presentCredential,
} from './credential.schema.js';
import { CredentialService } from './credential.service.js';

@Resolver('Credential')
export class CredentialResolver {
  constructor(@Inject(CredentialService) private readonly credentials: CredentialService) {}

  @Query('credentials')
  @Requires('credentials:read')
  async list(@FieldScope() scope: TenantScope, @Args('device') device: string, @Args() args: PageArguments) {
    const page = await this.credentials.list(scope, idOf(device), pageRequest(args));
    return connectionOf(page, (row) => presentCredential(row, scope.tenantSlug));
  }

  @Query('credential')
  @Requires('credentials:read')
  async get(@FieldScope() scope: TenantScope, @Args('device') device: string, @Args('id') id: string) {
    return presentCredential(await this.credentials.get(scope, idOf(device), idOf(id)), scope.tenantSlug);
  }

  @Mutation('createCredential')
  @Requires('credentials:write')
  async create(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('input') input: object,
  ) {
    const issued = await this.credentials.create(scope, idOf(device), checkArguments(newCredential, input));
    return {
      credential: presentCredential(issued.credential, scope.tenantSlug),
      password: issued.password ?? null,
    };
  }

  @Mutation('updateCredential')
  @Requires('credentials:write')
  async update(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('id') id: string,
    @Args('expectedVersion') expected: number,
    @Args('patch') patch: object,
  ) {
    const input = checkPatch(credentialPatch, patch);
    const { value, operation } = await this.credentials.update(
      scope,
      idOf(device),
      idOf(id),
      expected,
      input,
    );
    return { credential: presentCredential(value, scope.tenantSlug), operation: operationId(operation) };
  }

  @Mutation('rotateCredential')
  @Requires('credentials:write')
  async rotate(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('id') id: string,
    @Args('expectedVersion') expected: number,
    @Args('input') given: object,
  ) {
    const input = checkArguments(credentialRotation, given);
    const rotated = await this.credentials.rotate(scope, idOf(device), idOf(id), expected, input);
    return {
      credential: presentCredential(rotated.credential, scope.tenantSlug),
      password: rotated.password ?? null,
      replaced: presentCredential(rotated.replaced, scope.tenantSlug),
      operation: operationId(rotated.operation),
    };
  }

  @Mutation('deleteCredential')
  @Requires('credentials:write')
  async delete(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('id') id: string,
    @Args('expectedVersion') expected: number,
  ) {
    const operation = await this.credentials.delete(scope, idOf(device), idOf(id), expected);
    return { id, operation: operationId(operation) };
  }
}
