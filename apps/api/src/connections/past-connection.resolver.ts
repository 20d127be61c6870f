import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentPastConnection } from './past-connection.schema.js';
import { PastConnectionService } from './past-connection.service.js';

@Resolver('PastConnection')
export class PastConnectionResolver {
  constructor(@Inject(PastConnectionService) private readonly connections: PastConnectionService) {}

  @Query('pastConnections')
  @Requires('presence:read')
  async list(@FieldScope() scope: TenantScope, @Args('device') device: string, @Args() args: PageArguments) {
    const page = await this.connections.list(scope, idOf(device), pageRequest(args));
    return connectionOf(page, presentPastConnection);
  }
}
