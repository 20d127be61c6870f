import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  newDeviceCertificate,
  presentDeviceCertificate,
  presentForDevice,
  revocation,
} from './device-certificate.schema.js';
import { DeviceCertificateService } from './device-certificate.service.js';

@Resolver('DeviceCertificate')
export class DeviceCertificateResolver {
  constructor(@Inject(DeviceCertificateService) private readonly certificates: DeviceCertificateService) {}

  @Query('deviceCertificates')
  @Requires('credentials:read')
  async list(@FieldScope() scope: TenantScope, @Args('device') device: string, @Args() args: PageArguments) {
    const page = await this.certificates.list(scope, idOf(device), pageRequest(args));
    return connectionOf(page, presentDeviceCertificate);
  }

  @Query('deviceCertificate')
  @Requires('credentials:read')
  async get(@FieldScope() scope: TenantScope, @Args('device') device: string, @Args('id') id: string) {
    return presentDeviceCertificate(await this.certificates.get(scope, idOf(device), idOf(id)));
  }

  @Mutation('issueDeviceCertificate')
  @Requires('credentials:write')
  async issue(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('input') input: object,
  ) {
    const order = checkArguments(newDeviceCertificate, input);
    const issued = await this.certificates.issue(scope, idOf(device), order);
    const certificate = presentDeviceCertificate(issued.certificate);
    return { certificate, ...presentForDevice(issued, scope.tenantSlug) };
  }

  @Mutation('revokeDeviceCertificate')
  @Requires('credentials:write')
  async revoke(
    @FieldScope() scope: TenantScope,
    @Args('device') device: string,
    @Args('id') id: string,
    @Args('reason') reason: string | undefined,
  ) {
    const input = checkArguments(revocation, { reason });
    const { value, operation } = await this.certificates.revoke(scope, idOf(device), idOf(id), input);
    return { certificate: presentDeviceCertificate(value), operation: operationId(operation) };
  }
}
