import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { checkArguments } from '../graphql/connection.js';
import { operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { TenantService } from '../tenants/tenant.service.js';
import { newAddressRanges, presentAddressRanges } from './address-ranges.schema.js';

@Resolver('AddressRanges')
export class AddressRangesResolver {
  constructor(@Inject(TenantService) private readonly tenants: TenantService) {}

  @Query('addressRanges')
  @Requires('address-ranges:read')
  async get(@FieldScope() scope: TenantScope) {
    return presentAddressRanges(await this.tenants.get(scope));
  }

  @Mutation('setAddressRanges')
  @Requires('address-ranges:write')
  async replace(
    @FieldScope() scope: TenantScope,
    @Args('expectedVersion') expected: number,
    @Args('ranges') ranges: object,
  ) {
    const rules = checkArguments(newAddressRanges, ranges);
    const { value, operation } = await this.tenants.setAddresses(scope, expected, rules);
    return { addressRanges: presentAddressRanges(value), operation: operationId(operation) };
  }
}
