import { Controller, Delete, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  presentSession,
  presentSessionDetail,
  sessionDetailView,
  sessionQuery,
  sessionView,
} from './session.schema.js';
import { SessionService } from './session.service.js';

@Controller('v1/tenants/:tenant/sessions')
export class SessionController {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  @Get()
  @Requires('sessions:read')
  @Answers(200, pageOf(sessionView), { summary: 'List sessions, online and away, by client identifier' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: sessionQuery }) { device, ...query }: z.output<typeof sessionQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = await this.sessions.list(scope, { ...query, deviceId: device });
    return sendPage(page, presentSession, request, reply);
  }

  @Get(':clientId')
  @Requires('sessions:read')
  @Answers(200, sessionDetailView, { summary: 'Get a session with its subscriptions and its queue' })
  async get(@InTenant() scope: TenantScope, @Param('clientId') clientId: string) {
    return presentSessionDetail(await this.sessions.get(scope, clientId));
  }

  @Delete(':clientId')
  @Requires('sessions:disconnect')
  @Answers(202, undefined, {
    summary: 'Disconnect a client',
    description:
      'Operation-Location says where to see that it is done. A session that outlives its connection stays, with what waits in it.',
    hasOperation: true,
  })
  async disconnect(
    @InTenant() scope: TenantScope,
    @Param('clientId') clientId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.sessions.disconnect(scope, clientId));
  }
}
