import { Body, Controller, Delete, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { pageOf, sendPage } from '../http/paging.js';
import { By, InTenant, Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import {
  apiKeyPath,
  apiKeyQuery,
  apiKeyView,
  issuedApiKeyView,
  newPlatformKey,
  newTenantKey,
  presentApiKey,
  type NewTenantKeyInput,
} from './api-key.schema.js';
import { ApiKeyService, type IssuedApiKey } from './api-key.service.js';

type Listing = z.output<typeof apiKeyQuery>;
type View = z.input<typeof apiKeyView>;
type IssuedView = z.input<typeof issuedApiKeyView>;

@Controller('v1/tenants/:tenant/api-keys')
export class ApiKeyController {
  constructor(@Inject(ApiKeyService) private readonly apiKeys: ApiKeyService) {}

  @Post()
  @Requires('api-keys:write')
  @Answers(201, issuedApiKeyView, { summary: 'Make an API key for the tenant; the key is shown once' })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newTenantKey }) input: NewTenantKeyInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    const issued = await this.apiKeys.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/api-keys/${issued.row.id}`);
    return presentIssued(issued);
  }

  @Get()
  @Requires('api-keys:read')
  @Answers(200, pageOf(apiKeyView), { summary: "List the tenant's API keys, oldest first" })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: apiKeyQuery }) query: Listing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.apiKeys.list(scope, query), presentApiKey, request, reply);
  }

  @Get(':apiKey')
  @Requires('api-keys:read')
  @Answers(200, apiKeyView, { summary: 'Read an API key, without the key itself' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('apiKey', { schema: apiKeyPath }) id: string,
  ): Promise<View> {
    return presentApiKey(await this.apiKeys.get(scope, id));
  }

  @Delete(':apiKey')
  @Requires('api-keys:write')
  @Answers(204, undefined, {
    summary: 'Revoke an API key',
    description:
      'At once. Takes no If-Match: a key has one state to leave, and stopping it must not fail for a stale tag.',
  })
  async revoke(
    @InTenant() scope: TenantScope,
    @Param('apiKey', { schema: apiKeyPath }) id: string,
  ): Promise<void> {
    await this.apiKeys.revoke(scope, id);
  }
}

@Controller('v1/api-keys')
export class PlatformApiKeyController {
  constructor(@Inject(ApiKeyService) private readonly apiKeys: ApiKeyService) {}

  @Post()
  @Requires('platform-keys:write')
  @Answers(201, issuedApiKeyView, { summary: 'Make an API key for the platform; the key is shown once' })
  async create(
    @By() caller: Caller,
    @Body({ schema: newPlatformKey }) input: z.output<typeof newPlatformKey>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedView> {
    const issued = await this.apiKeys.create({ caller }, input);
    void reply.header('Location', `/v1/api-keys/${issued.row.id}`);
    return presentIssued(issued);
  }

  @Get()
  @Requires('platform-keys:read')
  @Answers(200, pageOf(apiKeyView), { summary: "List the platform's API keys, oldest first" })
  async list(
    @By() caller: Caller,
    @Query({ schema: apiKeyQuery }) query: Listing,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.apiKeys.list({ caller }, query), presentApiKey, request, reply);
  }

  @Get(':apiKey')
  @Requires('platform-keys:read')
  @Answers(200, apiKeyView, { summary: 'Read an API key of the platform, without the key itself' })
  async get(@By() caller: Caller, @Param('apiKey', { schema: apiKeyPath }) id: string): Promise<View> {
    return presentApiKey(await this.apiKeys.get({ caller }, id));
  }

  @Delete(':apiKey')
  @Requires('platform-keys:write')
  @Answers(204, undefined, { summary: 'Revoke an API key of the platform; never the last one that works' })
  async revoke(@By() caller: Caller, @Param('apiKey', { schema: apiKeyPath }) id: string): Promise<void> {
    await this.apiKeys.revoke({ caller }, id);
  }
}

function presentIssued({ row, key }: IssuedApiKey): IssuedView {
  return { ...presentApiKey(row), key };
}
