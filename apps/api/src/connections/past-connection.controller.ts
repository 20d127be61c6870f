import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { pastConnectionQuery, pastConnectionView, presentPastConnection } from './past-connection.schema.js';
import { PastConnectionService } from './past-connection.service.js';

@Controller('v1/tenants/:tenant/devices/:device/connections')
export class PastConnectionController {
  constructor(@Inject(PastConnectionService) private readonly connections: PastConnectionService) {}

  @Get()
  @Requires('presence:read')
  @Answers(200, pageOf(pastConnectionView), {
    summary: "List a device's connections of the last 90 days, newest first",
  })
  async list(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: z.uuid() }) deviceId: string,
    @Query({ schema: pastConnectionQuery }) query: z.output<typeof pastConnectionQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.connections.list(scope, deviceId, query);
    return sendPage(page, presentPastConnection, request, reply);
  }
}
