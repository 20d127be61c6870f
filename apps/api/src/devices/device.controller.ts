import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  Inject,
  Param,
  Patch,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { isApplied } from '#store';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import { TakesUpload } from '../http/upload.interceptor.js';
import type { TenantScope } from '../scope.js';
import { readCsv, readNdjson } from './bulk.js';
import { BulkService } from './bulk.service.js';
import {
  bulkQuery,
  bulkView,
  devicePatch,
  devicePath,
  deviceQuery,
  deviceView,
  newDevice,
  presentBulk,
  presentDevice,
  type DeviceListing,
  type DevicePatchInput,
  type NewDeviceInput,
} from './device.schema.js';
import { DeviceService } from './device.service.js';

type View = z.input<typeof deviceView>;

@Controller('v1/tenants/:tenant/devices')
export class DeviceController {
  constructor(
    @Inject(DeviceService) private readonly devices: DeviceService,
    @Inject(BulkService) private readonly bulk: BulkService,
  ) {}

  @Post()
  @Requires('devices:write')
  @Answers(201, deviceView, { summary: 'Register a device' })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newDevice }) input: NewDeviceInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const device = await this.devices.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/devices/${device.id}`);
    return tagged(reply, presentDevice(device));
  }

  @Post('bulk')
  @Requires('devices:write')
  @TakesUpload(
    'A device a line: NDJSON with name, profile, groups, attributes, status, credentials (each as POST …/credentials takes it); or CSV with a header of name, profile, groups (separated by ;), status, attr.NAME, credential.MEMBER',
  )
  @Answers(200, bulkView, {
    summary: 'Register many devices, with their credentials; each row is taken or refused by itself',
    description: 'At most 10 000 rows, 500 credentials and 16 MiB.',
    hasOperation: true,
  })
  async createMany(
    @InTenant() scope: TenantScope,
    @Query({ schema: bulkQuery }) query: z.output<typeof bulkQuery>,
    @Body() text: string,
    @Headers('content-type') mediaType: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.input<typeof bulkView>> {
    const rows = mediaType.startsWith('text/csv') ? readCsv(text) : readNdjson(text);
    const result = await this.bulk.createMany(scope, rows, query.dryRun);
    if (result.operation !== undefined) announceOperation(reply, scope, result.operation);
    return presentBulk(result, scope.tenantSlug);
  }

  @Get()
  @Requires('devices:read')
  @Answers(200, pageOf(deviceView), { summary: 'List devices, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: deviceQuery }) query: DeviceListing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.devices.list(scope, query), presentDevice, request, reply);
  }

  @Get(':device')
  @Requires('devices:read')
  @Answers(200, deviceView, { summary: 'Read a device' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentDevice(await this.devices.get(scope, id)));
  }

  @Patch(':device')
  @Requires('devices:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, deviceView, { summary: 'Change a device; its live connections follow', hasOperation: true })
  async update(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: devicePatch }) patch: DevicePatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.devices.update(scope, id, expected, patch);
    return changed(reply, scope, { value: presentDevice(value), operation });
  }

  @Delete(':device')
  @Requires('devices:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete a device, its credentials, its sessions and its telemetry',
    description:
      '204 when no broker process holds a connection or a session of it any more. 202 where that takes more than three seconds, and the operation says when; nobody gets in any more all the same. Its telemetry and history go in the background, and the operation is applied when they are gone.',
    unfinished: 202,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const progress = await this.devices.delete(scope, id, expected);
    announceOperation(reply, scope, progress.number);
    if (!isApplied(progress)) void reply.status(202);
  }
}
