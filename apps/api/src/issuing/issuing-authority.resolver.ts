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
import {
  issuingAuthorityPatch,
  newIssuingAuthority,
  presentIssuedList,
  presentIssuingAuthority,
} from './issuing-authority.schema.js';
import { IssuingAuthorityService } from './issuing-authority.service.js';

@Resolver('IssuingAuthority')
export class IssuingAuthorityResolver {
  constructor(@Inject(IssuingAuthorityService) private readonly authorities: IssuingAuthorityService) {}

  @Query('issuingAuthorities')
  @Requires('issuing-authorities:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.authorities.list(scope, pageRequest(args)), presentIssuingAuthority);
  }

  @Query('issuingAuthority')
  @Requires('issuing-authorities:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentIssuingAuthority(await this.authorities.get(scope, idOf(id)));
  }

  @Query('issuedRevocationList')
  @Requires('issuing-authorities:read')
  async crl(@FieldScope() scope: TenantScope, @Args('authority') id: string) {
    return presentIssuedList(await this.authorities.revocationList(scope, idOf(id)));
  }

  @Mutation('createIssuingAuthority')
  @Requires('issuing-authorities:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    const made = await this.authorities.create(scope, checkArguments(newIssuingAuthority, input));
    return presentIssuingAuthority(made);
  }

  @Mutation('updateIssuingAuthority')
  @Requires('issuing-authorities:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(issuingAuthorityPatch, patch);
    return presentIssuingAuthority(await this.authorities.update(scope, idOf(id), expectedVersion, input));
  }

  @Mutation('deleteIssuingAuthority')
  @Requires('issuing-authorities:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    const operation = await this.authorities.delete(scope, idOf(id), expectedVersion);
    return { id, operation: operationId(operation) };
  }
}
