import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { z } from 'zod';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentSession, presentSessionDetail } from './session.schema.js';
import { SessionService } from './session.service.js';

const filter = z.strictObject({ device: z.uuid().optional(), online: z.boolean().optional() });

@Resolver('Session')
export class SessionResolver {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  @Query('sessions')
  @Requires('sessions:read')
  async list(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & { device?: string | null; online?: boolean | null },
  ) {
    const { device, online } = checkArguments(filter, { device: args.device, online: args.online });
    const page = await this.sessions.list(scope, { ...pageRequest(args), deviceId: device, online });
    return connectionOf(page, presentSession);
  }

  @Query('session')
  @Requires('sessions:read')
  async get(@FieldScope() scope: TenantScope, @Args('clientId') clientId: string) {
    return presentSessionDetail(await this.sessions.get(scope, clientId));
  }

  @Mutation('disconnectSession')
  @Requires('sessions:disconnect')
  async disconnect(@FieldScope() scope: TenantScope, @Args('clientId') clientId: string) {
    return { clientId, operation: operationId(await this.sessions.disconnect(scope, clientId)) };
  }
}
