import { Body, Controller, Delete, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { announceOperation } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { By, InTenant, Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import {
  banPath,
  banQuery,
  banView,
  newBan,
  presentBan,
  type BanListing,
  type NewBanInput,
} from './ban.schema.js';
import { BanService } from './ban.service.js';

type View = z.input<typeof banView>;

const description =
  'At once, also for those who are connected: the operation tells when they are out. A ban is made and lifted, never changed.';

@Controller('v1/tenants/:tenant/bans')
export class BanController {
  constructor(@Inject(BanService) private readonly bans: BanService) {}

  @Post()
  @Requires('bans:write')
  @Answers(201, banView, {
    summary: 'Ban a client identifier, a username or addresses',
    description,
    hasOperation: true,
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newBan }) input: NewBanInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.bans.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/bans/${value.id}`);
    announceOperation(reply, scope, operation);
    return presentBan(value);
  }

  @Get()
  @Requires('bans:read')
  @Answers(200, pageOf(banView), { summary: 'List bans, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: banQuery }) query: BanListing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.bans.list(scope, query), presentBan, request, reply);
  }

  @Get(':ban')
  @Requires('bans:read')
  @Answers(200, banView, { summary: 'Read a ban' })
  async get(@InTenant() scope: TenantScope, @Param('ban', { schema: banPath }) id: string): Promise<View> {
    return presentBan(await this.bans.get(scope, id));
  }

  @Delete(':ban')
  @Requires('bans:write')
  @Answers(204, undefined, { summary: 'Lift a ban' })
  async lift(@InTenant() scope: TenantScope, @Param('ban', { schema: banPath }) id: string): Promise<void> {
    await this.bans.lift(scope, id);
  }
}

/** The platform's bans hold for all tenants. */
@Controller('v1/bans')
export class PlatformBanController {
  constructor(@Inject(BanService) private readonly bans: BanService) {}

  @Post()
  @Requires('platform-bans:write')
  @Answers(201, banView, {
    summary: 'Ban a client identifier, a username or addresses from all tenants',
    description,
    hasOperation: true,
  })
  async create(
    @By() caller: Caller,
    @Body({ schema: newBan }) input: NewBanInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.bans.create({ caller }, input);
    void reply.header('Location', `/v1/bans/${value.id}`);
    void reply.header('Operation-Location', `/v1/operations/${operation}`);
    return presentBan(value);
  }

  @Get()
  @Requires('platform-bans:read')
  @Answers(200, pageOf(banView), { summary: "List the platform's bans, oldest first" })
  async list(
    @By() caller: Caller,
    @Query({ schema: banQuery }) query: BanListing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.bans.list({ caller }, query), presentBan, request, reply);
  }

  @Get(':ban')
  @Requires('platform-bans:read')
  @Answers(200, banView, { summary: 'Read a ban of the platform' })
  async get(@By() caller: Caller, @Param('ban', { schema: banPath }) id: string): Promise<View> {
    return presentBan(await this.bans.get({ caller }, id));
  }

  @Delete(':ban')
  @Requires('platform-bans:write')
  @Answers(204, undefined, { summary: 'Lift a ban of the platform' })
  async lift(@By() caller: Caller, @Param('ban', { schema: banPath }) id: string): Promise<void> {
    await this.bans.lift({ caller }, id);
  }
}
