import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { auditQuery, auditView, platformAuditQuery, presentAudit } from './audit.schema.js';
import { AuditService } from './audit.service.js';

@Controller('v1/tenants/:tenant/audit')
export class AuditController {
  constructor(@Inject(AuditService) private readonly audit: AuditService) {}

  @Get()
  @Requires('audit:read')
  @Answers(200, pageOf(auditView), { summary: 'List who changed what, newest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: auditQuery }) query: z.output<typeof auditQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.audit.list(scope, query), presentAudit, request, reply);
  }
}

@Controller('v1/audit')
export class PlatformAuditController {
  constructor(@Inject(AuditService) private readonly audit: AuditService) {}

  @Get()
  @Requires('platform-audit:read')
  @Answers(200, pageOf(auditView), { summary: 'List who changed what of the platform, newest first' })
  async list(
    @Query({ schema: platformAuditQuery }) query: z.output<typeof platformAuditQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.audit.listOfPlatform(query), presentAudit, request, reply);
  }
}
