import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver, Subscription } from '@nestjs/graphql';
import { presentDevice } from '../devices/device.schema.js';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import type { GraphqlContext } from '../graphql/context.js';
import { feedOf } from '../graphql/feed.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope, inScope, scopeOfNode } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import type { DevicePresence } from '#store';
import {
  devicePresenceQuery,
  presenceHistoryQuery,
  presenceQuery,
  presentPresence,
  presentPresenceEvent,
} from './presence.schema.js';
import { PresenceService } from './presence.service.js';

@Resolver('Presence')
export class PresenceResolver {
  constructor(@Inject(PresenceService) private readonly presence: PresenceService) {}

  @Query('presence')
  @Requires('presence:read')
  async list(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & { state?: string | null; device?: string | null },
  ) {
    const { state, device } = args;
    const filter = checkArguments(presenceQuery, { state, device });
    const query = { ...pageRequest(args), state: filter.state, deviceId: filter.device };
    return connectionOf(await this.presence.list(scope, query), (row) =>
      inScope(scope, presentPresence(row)),
    );
  }

  @Query('devicePresences')
  @Requires('presence:read')
  async listDevices(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & { state?: string | null },
  ) {
    const state = args.state?.replace('_', '-');
    const filter = checkArguments(devicePresenceQuery, { state });
    const page = await this.presence.listDevices(scope, { ...pageRequest(args), state: filter.state });
    return connectionOf(page, inGraphql);
  }

  @Query('devicePresence')
  @Requires('presence:read')
  async getDevice(@FieldScope() scope: TenantScope, @Args('device') device: string) {
    return inGraphql(await this.presence.getDevice(scope, idOf(device)));
  }

  @Query('clientPresence')
  @Requires('presence:read')
  async get(@FieldScope() scope: TenantScope, @Args('clientId') clientId: string) {
    return inScope(scope, presentPresence(await this.presence.get(scope, clientId)));
  }

  @ResolveField('device')
  @Requires('devices:read')
  async device(@Parent() client: ReturnType<typeof presentPresence>, @Context() context: GraphqlContext) {
    const scope = scopeOfNode(client);
    const device = await context.loadersOf(scope).device.load(client.deviceId);
    return device && inScope(scope, presentDevice(device));
  }

  @Query('presenceHistory')
  @Requires('presence:read')
  async history(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args() args: PageArguments & { from?: string | null; to?: string | null },
  ) {
    const window = checkArguments(presenceHistoryQuery, { from: args.from, to: args.to });
    const page = await this.presence.history(scope, idOf(device), { ...window, ...pageRequest(args) });
    return connectionOf(page, presentPresenceEvent);
  }

  @Subscription('presence')
  @Requires('presence:read')
  async follow(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string | null,
    @Context() context: GraphqlContext,
  ) {
    const follower = await this.presence.follow(scope, device ? idOf(device) : undefined);
    return feedOf(follower, {
      tell: (rows) => {
        context.forgetLinks();
        return rows.map((row) => ({ presence: inScope(scope, presentPresence(row)) }));
      },
      recheck: () => context.mustStillBeAllowed(scope.tenantId, 'presence:read'),
    });
  }
}

/** Names of GraphQL have no hyphen. */
function inGraphql({ state, ...row }: DevicePresence) {
  return { ...row, state: state.replace('-', '_') };
}
