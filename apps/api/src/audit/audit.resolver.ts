import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { auditQuery, presentAudit } from './audit.schema.js';
import { AuditService } from './audit.service.js';

interface AuditArguments extends PageArguments {
  readonly actor?: string | null;
  readonly action?: string | null;
  readonly subjectKind?: string | null;
  readonly subjectId?: string | null;
}

@Resolver('AuditEntry')
export class AuditResolver {
  constructor(@Inject(AuditService) private readonly audit: AuditService) {}

  @Query('audit')
  @Requires('audit:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: AuditArguments) {
    const { actor, action, subjectKind, subjectId } = args;
    const { limit: _, ...filter } = checkArguments(auditQuery, { actor, action, subjectKind, subjectId });
    return connectionOf(await this.audit.list(scope, { ...filter, ...pageRequest(args) }), presentAudit);
  }
}
