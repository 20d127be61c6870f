import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  type PageArguments,
} from '../graphql/connection.js';
import { operationId } from '../graphql/ids.js';
import { FieldCaller, FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import { newTenant, presentTenant, tenantPatch } from './tenant.schema.js';
import { TenantService } from './tenant.service.js';

@Resolver('Tenant')
export class TenantResolver {
  constructor(@Inject(TenantService) private readonly tenants: TenantService) {}

  @Query('tenants')
  @Requires('tenants:read')
  async list(@Args() args: PageArguments) {
    return connectionOf(await this.tenants.list(pageRequest(args)), presentTenant);
  }

  @Query('tenant')
  @Requires('tenant:read')
  async get(@FieldScope() scope: TenantScope) {
    return presentTenant(await this.tenants.get(scope));
  }

  @Mutation('createTenant')
  @Requires('tenants:write')
  async create(@FieldCaller() caller: Caller, @Args('input') input: object) {
    return presentTenant(await this.tenants.create(caller, checkArguments(newTenant, input)));
  }

  @Mutation('updateTenant')
  @Requires('tenants:write')
  async update(
    @FieldScope() scope: TenantScope,
    @Args('expectedVersion') expected: number,
    @Args('patch') patch: object,
  ) {
    const { value, operation } = await this.tenants.update(scope, expected, checkPatch(tenantPatch, patch));
    return { tenant: presentTenant(value), operation: operationId(operation) };
  }

  @Mutation('deleteTenant')
  @Requires('tenants:write')
  async delete(@FieldScope() scope: TenantScope, @Args('expectedVersion') expected: number) {
    await this.tenants.delete(scope, expected);
    return { id: scope.tenantId };
  }
}
