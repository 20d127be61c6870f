import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { denialQuery, presentDenial } from './denial.schema.js';
import { DenialService } from './denial.service.js';

interface DenialArguments extends PageArguments {
  readonly device?: string | null;
  readonly clientId?: string | null;
  readonly action?: string | null;
  readonly since?: string | null;
}

@Resolver('Denial')
export class DenialResolver {
  constructor(@Inject(DenialService) private readonly denials: DenialService) {}

  @Query('denials')
  @Requires('denials:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: DenialArguments) {
    const { device, clientId, action, since } = args;
    const filter = checkArguments(denialQuery, { device, clientId, action, since });
    const page = await this.denials.list(scope, { ...filter, ...pageRequest(args), deviceId: filter.device });
    return connectionOf(page, presentDenial);
  }
}
