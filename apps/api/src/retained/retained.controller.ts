import { Controller, Delete, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { isApplied, type ChangeProgress } from '#store';
import { Answers } from '../http/answers.decorator.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  clearingView,
  clearQuery,
  presentRetained,
  retainedPath,
  retainedQuery,
  retainedView,
} from './retained.schema.js';
import { RetainedService } from './retained.service.js';

const topicPath = { schema: retainedPath };
const done =
  'In memory of the brokers too: the next subscriber does not get it. 202 where that takes more than three seconds, and the operation says when. Nothing is published.';

@Controller('v1/tenants/:tenant/retained')
export class RetainedController {
  constructor(@Inject(RetainedService) private readonly retained: RetainedService) {}

  @Get()
  @Requires('telemetry:read')
  @Answers(200, pageOf(retainedView), {
    summary: 'List retained messages by topic',
    description: 'Without their payloads, unless payload=true.',
  })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: retainedQuery }) query: z.output<typeof retainedQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.retained.list(scope, query), presentRetained, request, reply);
  }

  @Get(':topic')
  @Requires('telemetry:read')
  @Answers(200, retainedView, { summary: 'Get the retained message of a topic, with its payload' })
  async get(@InTenant() scope: TenantScope, @Param('topic', topicPath) topic: string) {
    return presentRetained(await this.retained.get(scope, topic));
  }

  @Delete()
  @Requires('retained:clear')
  @Answers(200, clearingView, {
    summary: 'Clear the retained messages that a topic filter matches',
    description: `${done} topic=# is all of them; dryRun=true counts them.`,
    unfinished: 202,
  })
  async clearAll(
    @InTenant() scope: TenantScope,
    @Query({ schema: clearQuery }) { topic, dryRun }: z.output<typeof clearQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.input<typeof clearingView>> {
    if (dryRun) return { dryRun, messages: await this.retained.count(scope, topic) };
    const { messages, progress } = await this.retained.clearAll(scope, topic);
    announce(reply, scope, progress);
    return { dryRun, messages };
  }

  @Delete(':topic')
  @Requires('retained:clear')
  @Answers(204, undefined, {
    summary: 'Clear the retained message of a topic',
    description: done,
    unfinished: 202,
  })
  async clear(
    @InTenant() scope: TenantScope,
    @Param('topic', topicPath) topic: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announce(reply, scope, await this.retained.clear(scope, topic));
  }
}

function announce(reply: FastifyReply, scope: TenantScope, progress: ChangeProgress): void {
  announceOperation(reply, scope, progress.number);
  if (!isApplied(progress)) void reply.status(202);
}
