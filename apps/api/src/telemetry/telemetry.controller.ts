import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  deviceTelemetryCountQuery,
  presentTelemetry,
  telemetryCountQuery,
  telemetryCountView,
  telemetryQuery,
  telemetryView,
  type TelemetryQueryInput,
} from './telemetry.schema.js';
import { TelemetryService } from './telemetry.service.js';

const id = { schema: z.uuid() };

@Controller('v1/tenants/:tenant')
export class TelemetryController {
  constructor(@Inject(TelemetryService) private readonly telemetry: TelemetryService) {}

  @Get('devices/:device/telemetry')
  @Requires('telemetry:read')
  @Answers(200, pageOf(telemetryView), { summary: "List a device's telemetry in the order of its arrival" })
  async list(
    @InTenant() scope: TenantScope,
    @Param('device', id) deviceId: string,
    @Query({ schema: telemetryQuery }) query: TelemetryQueryInput,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.telemetry.list(scope, deviceId, query), presentTelemetry, request, reply);
  }

  @Get('devices/:device/telemetry/count')
  @Requires('telemetry:read')
  @Answers(200, telemetryCountView, { summary: "Count a device's telemetry: exact up to a million" })
  async countOfDevice(
    @InTenant() scope: TenantScope,
    @Param('device', id) deviceId: string,
    @Query({ schema: deviceTelemetryCountQuery }) query: z.output<typeof deviceTelemetryCountQuery>,
  ): Promise<z.output<typeof telemetryCountView>> {
    return { count: await this.telemetry.count(scope, { ...query, deviceId }) };
  }

  @Get('telemetry/count')
  @Requires('telemetry:read')
  @Answers(200, telemetryCountView, {
    summary: 'Count telemetry, exact up to a million: what was sent against what is stored',
  })
  async count(
    @InTenant() scope: TenantScope,
    @Query({ schema: telemetryCountQuery }) { device, ...window }: z.output<typeof telemetryCountQuery>,
  ): Promise<z.output<typeof telemetryCountView>> {
    return { count: await this.telemetry.count(scope, { ...window, deviceId: device }) };
  }
}
