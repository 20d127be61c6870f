import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  presentRotationRow,
  rotationQuery,
  rotationRowView,
  rotationView,
  rotationWindow,
  type RotationQuery,
  type RotationWindowInput,
} from './rotation.schema.js';
import { RotationService } from './rotation.service.js';

@Controller('v1/tenants/:tenant/credential-rotation')
export class RotationController {
  constructor(@Inject(RotationService) private readonly rotation: RotationService) {}

  @Get()
  @Requires('credentials:read')
  @Answers(200, rotationView, {
    summary: 'How many devices have moved to new credentials, and how many have not',
  })
  async overview(
    @InTenant() scope: TenantScope,
    @Query({ schema: rotationWindow }) window: RotationWindowInput,
  ) {
    return this.rotation.overview(scope, window);
  }

  @Get('devices')
  @Requires('credentials:read')
  @Answers(200, pageOf(rotationRowView), { summary: 'Which devices these are, by one of the states' })
  async devices(
    @InTenant() scope: TenantScope,
    @Query({ schema: rotationQuery }) query: RotationQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.rotation.devices(scope, query), presentRotationRow, request, reply);
  }
}
