import { Body, Controller, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { devicePath } from '../devices/device.schema.js';
import { Answers } from '../http/answers.decorator.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  deviceCertificatePath,
  deviceCertificateQuery,
  deviceCertificateView,
  issuedCertificateView,
  newDeviceCertificate,
  presentDeviceCertificate,
  presentForDevice,
  revocation,
  type NewDeviceCertificateInput,
  type RevocationInput,
} from './device-certificate.schema.js';
import { DeviceCertificateService } from './device-certificate.service.js';

type View = z.input<typeof deviceCertificateView>;

@Controller('v1/tenants/:tenant/devices/:device/certificates')
export class DeviceCertificateController {
  constructor(@Inject(DeviceCertificateService) private readonly certificates: DeviceCertificateService) {}

  @Post()
  @Requires('credentials:write')
  @Answers(201, issuedCertificateView, {
    summary: 'Issue a certificate to a device, for a key that never leaves it',
    description: 'Also to renew: the one before stays good until it ends or is revoked.',
  })
  async issue(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Body({ schema: newDeviceCertificate }) input: NewDeviceCertificateInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.input<typeof issuedCertificateView>> {
    const issued = await this.certificates.issue(scope, deviceId, input);
    const { id } = issued.certificate;
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/devices/${deviceId}/certificates/${id}`);
    return {
      ...presentDeviceCertificate(issued.certificate),
      ...presentForDevice(issued, scope.tenantSlug),
    };
  }

  @Get()
  @Requires('credentials:read')
  @Answers(200, pageOf(deviceCertificateView), {
    summary: 'List what has been issued to a device, oldest first',
  })
  async list(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Query({ schema: deviceCertificateQuery }) query: z.output<typeof deviceCertificateQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.certificates.list(scope, deviceId, query);
    return sendPage(page, presentDeviceCertificate, request, reply);
  }

  @Get(':certificate')
  @Requires('credentials:read')
  @Answers(200, deviceCertificateView, { summary: 'Read a certificate of a device' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('certificate', { schema: deviceCertificatePath }) id: string,
  ): Promise<View> {
    return presentDeviceCertificate(await this.certificates.get(scope, deviceId, id));
  }

  @Post(':certificate/revoke')
  @Requires('credentials:write')
  @Answers(200, deviceCertificateView, {
    summary: 'Revoke a certificate for good; its connections are closed',
    hasOperation: true,
  })
  async revoke(
    @InTenant() scope: TenantScope,
    @Param('device', { schema: devicePath }) deviceId: string,
    @Param('certificate', { schema: deviceCertificatePath }) id: string,
    @Body({ schema: revocation }) input: RevocationInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.certificates.revoke(scope, deviceId, id, input);
    announceOperation(reply, scope, operation);
    return presentDeviceCertificate(value);
  }
}
