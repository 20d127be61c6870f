import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { notFound } from '../failure.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { operationPath, presentOperation } from './operation.schema.js';
import { OperationService } from './operation.service.js';

@Resolver('Operation')
export class OperationResolver {
  constructor(@Inject(OperationService) private readonly operations: OperationService) {}

  @Query('operation')
  @Requires('operations:read')
  async get(@FieldScope() scope: TenantScope, @Args('number') number: string) {
    const parsed = operationPath.safeParse(number);
    if (!parsed.success) throw notFound();
    return presentOperation(await this.operations.get(scope, parsed.data));
  }

  @Query('platformOperation')
  @Requires('platform-bans:read')
  async getOfPlatform(@Args('number') number: string) {
    const parsed = operationPath.safeParse(number);
    if (!parsed.success) throw notFound();
    return presentOperation(await this.operations.getOfPlatform(parsed.data));
  }
}
