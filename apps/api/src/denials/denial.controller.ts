import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { denialQuery, denialView, presentDenial } from './denial.schema.js';
import { DenialService } from './denial.service.js';

@Controller('v1/tenants/:tenant/denials')
export class DenialController {
  constructor(@Inject(DenialService) private readonly denials: DenialService) {}

  @Get()
  @Requires('denials:read')
  @Answers(200, pageOf(denialView), { summary: 'List what the broker refused and why, newest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: denialQuery }) { device, ...query }: z.output<typeof denialQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(
      await this.denials.list(scope, { ...query, deviceId: device }),
      presentDenial,
      request,
      reply,
    );
  }
}
