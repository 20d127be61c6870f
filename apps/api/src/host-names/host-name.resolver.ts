import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { z } from 'zod';
import { checkArguments } from '../graphql/connection.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { hostName, presentHostName } from './host-name.schema.js';
import { HostNameService } from './host-name.service.js';

const arguments_ = z.object({ host: hostName });

@Resolver('HostName')
export class HostNameResolver {
  constructor(@Inject(HostNameService) private readonly hosts: HostNameService) {}

  @Query('hostNames')
  @Requires('host-names:read')
  async list(@FieldScope() scope: TenantScope) {
    return (await this.hosts.list(scope)).map(presentHostName);
  }

  @Mutation('addHostName')
  @Requires('host-names:write')
  async add(@FieldScope() scope: TenantScope, @Args('host') given: string) {
    const { host } = checkArguments(arguments_, { host: given });
    await this.hosts.put(scope, host);
    return (await this.hosts.list(scope)).map(presentHostName);
  }

  @Mutation('removeHostName')
  @Requires('host-names:write')
  async remove(@FieldScope() scope: TenantScope, @Args('host') given: string) {
    const { host } = checkArguments(arguments_, { host: given });
    await this.hosts.delete(scope, host);
    return (await this.hosts.list(scope)).map(presentHostName);
  }
}
