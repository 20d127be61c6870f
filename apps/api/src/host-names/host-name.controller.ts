import { Controller, Delete, Get, Inject, Param, Put } from '@nestjs/common';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { hostName, hostNamesView, presentHostName } from './host-name.schema.js';
import { HostNameService } from './host-name.service.js';

@Controller('v1/tenants/:tenant/host-names')
export class HostNameController {
  constructor(@Inject(HostNameService) private readonly hosts: HostNameService) {}

  @Get()
  @Requires('host-names:read')
  @Answers(200, hostNamesView, { summary: 'List the host names by which devices reach this tenant alone' })
  async list(@InTenant() scope: TenantScope): Promise<z.input<typeof hostNamesView>> {
    return { items: (await this.hosts.list(scope)).map(presentHostName) };
  }

  @Put(':host')
  @Requires('host-names:write')
  @Answers(204, undefined, {
    summary: 'Give a tenant a host name: who comes by it is of this tenant, or is refused',
  })
  async put(
    @InTenant() scope: TenantScope,
    @Param('host', { schema: hostName }) host: string,
  ): Promise<void> {
    await this.hosts.put(scope, host);
  }

  @Delete(':host')
  @Requires('host-names:write')
  @Answers(204, undefined, { summary: 'Take a host name back' })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('host', { schema: hostName }) host: string,
  ): Promise<void> {
    await this.hosts.delete(scope, host);
  }
}
