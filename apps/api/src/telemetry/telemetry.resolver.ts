import { Inject } from '@nestjs/common';
import { Args, Context, Query, Resolver, Subscription } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import type { GraphqlContext } from '../graphql/context.js';
import { feedOf } from '../graphql/feed.js';
import { idOf } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentTelemetry, telemetryCountQuery, telemetryQuery } from './telemetry.schema.js';
import { TelemetryService } from './telemetry.service.js';

interface WindowArguments {
  readonly from?: string | null;
  readonly to?: string | null;
  readonly topic?: string | null;
}

@Resolver('TelemetryReading')
export class TelemetryResolver {
  constructor(@Inject(TelemetryService) private readonly telemetry: TelemetryService) {}

  @Query('telemetry')
  @Requires('telemetry:read')
  async list(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & WindowArguments & { device: string; order?: string | null },
  ) {
    const { device, from, to, topic, order } = args;
    const window = checkArguments(telemetryQuery, { from, to, topic, order });
    const page = await this.telemetry.list(scope, idOf(device), { ...window, ...pageRequest(args) });
    return connectionOf(page, presentTelemetry);
  }

  @Query('telemetryCount')
  @Requires('telemetry:read')
  count(@FieldScope() scope: TenantScope, @Args() args: WindowArguments & { device?: string | null }) {
    const { from, to, topic } = args;
    const window = checkArguments(telemetryCountQuery, { from, to, topic });
    return this.telemetry.count(scope, { ...window, deviceId: args.device ? idOf(args.device) : undefined });
  }

  @Subscription('telemetry')
  @Requires('telemetry:read')
  async follow(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Context() context: GraphqlContext,
  ) {
    const follower = await this.telemetry.follow(scope, idOf(device));
    return feedOf(follower, {
      tell: (rows) => rows.map((row) => ({ telemetry: presentTelemetry(row) })),
      recheck: () => context.mustStillBeAllowed(scope.tenantId, 'telemetry:read'),
    });
  }
}
