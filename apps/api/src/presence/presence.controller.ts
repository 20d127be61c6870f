import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { DevicePresence } from '#store';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  devicePresenceQuery,
  devicePresenceView,
  presenceEventView,
  presenceHistoryQuery,
  presenceQuery,
  presenceView,
  presentPresence,
  presentPresenceEvent,
} from './presence.schema.js';
import { PresenceService } from './presence.service.js';

@Controller('v1/tenants/:tenant')
export class PresenceController {
  constructor(@Inject(PresenceService) private readonly presence: PresenceService) {}

  @Get('presence')
  @Requires('presence:read')
  @Answers(200, pageOf(presenceView), { summary: 'List who is connected and who was, by client identifier' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: presenceQuery }) { device, ...query }: z.output<typeof presenceQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.presence.list(scope, { ...query, deviceId: device });
    return sendPage(page, presentPresence, request, reply);
  }

  @Get('presence/:clientId')
  @Requires('presence:read')
  @Answers(200, presenceView, { summary: "Get one client's presence" })
  async get(@InTenant() scope: TenantScope, @Param('clientId') clientId: string) {
    return presentPresence(await this.presence.get(scope, clientId));
  }

  @Get('device-presence')
  @Requires('presence:read')
  @Answers(200, pageOf(devicePresenceView), {
    summary: 'List what each device is: never seen, online, offline or suspended',
  })
  async listDevices(
    @InTenant() scope: TenantScope,
    @Query({ schema: devicePresenceQuery }) query: z.output<typeof devicePresenceQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.presence.listDevices(scope, query), (row) => row, request, reply);
  }

  @Get('devices/:device/presence')
  @Requires('presence:read')
  @Answers(200, devicePresenceView, { summary: 'Get what a device is, and what its clients do' })
  async getDevice(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: z.uuid() }) deviceId: string,
  ): Promise<DevicePresence> {
    return this.presence.getDevice(scope, deviceId);
  }

  @Get('devices/:device/presence-history')
  @Requires('presence:read')
  @Answers(200, pageOf(presenceEventView), { summary: "List a device's comings and goings, newest first" })
  async history(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: z.uuid() }) deviceId: string,
    @Query({ schema: presenceHistoryQuery }) query: z.output<typeof presenceHistoryQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.presence.history(scope, deviceId, query);
    return sendPage(page, presentPresenceEvent, request, reply);
  }
}
