import { Controller, Get, Inject, Param } from '@nestjs/common';
import type { z } from 'zod';
import { Answers } from '../http/answers.decorator.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { operationPath, operationView, presentOperation } from './operation.schema.js';
import { OperationService } from './operation.service.js';

@Controller('v1/tenants/:tenant/operations')
export class OperationController {
  constructor(@Inject(OperationService) private readonly operations: OperationService) {}

  @Get(':operation')
  @Requires('operations:read')
  @Answers(200, operationView, { summary: 'Follow a change of rights to the connections it concerns' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('operation', { schema: operationPath }) number: bigint,
  ): Promise<z.input<typeof operationView>> {
    return presentOperation(await this.operations.get(scope, number));
  }
}

/** Of changes that concern all tenants. */
@Controller('v1/operations')
export class PlatformOperationController {
  constructor(@Inject(OperationService) private readonly operations: OperationService) {}

  @Get(':operation')
  @Requires('platform-bans:read')
  @Answers(200, operationView, { summary: 'Follow a ban of the platform to the connections it concerns' })
  async get(
    @Param('operation', { schema: operationPath }) number: bigint,
  ): Promise<z.input<typeof operationView>> {
    return presentOperation(await this.operations.getOfPlatform(number));
  }
}
