import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { auditQuery, platformAuditQuery, presentAudit } from './audit.schema.js';
import { AuditService } from './audit.service.js';

interface AuditArguments extends PageArguments {
  readonly actor?: string | null;
  readonly action?: string | null;
  readonly subjectKind?: string | null;
  readonly subjectId?: string | null;
  readonly from?: string | null;
  readonly to?: string | null;
}

@Resolver('AuditEntry')
export class AuditResolver {
  constructor(@Inject(AuditService) private readonly audit: AuditService) {}

  @Query('audit')
  @Requires('audit:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: AuditArguments) {
    const filter = checkArguments(auditQuery, filterOf(args));
    return connectionOf(await this.audit.list(scope, { ...filter, ...pageRequest(args) }), presentAudit);
  }

  @Query('platformAudit')
  @Requires('platform-audit:read')
  async listOfPlatform(@Args() args: AuditArguments & { tenantId?: string | null }) {
    const filter = checkArguments(platformAuditQuery, { ...filterOf(args), tenantId: args.tenantId });
    return connectionOf(await this.audit.listOfPlatform({ ...filter, ...pageRequest(args) }), presentAudit);
  }
}

function filterOf({ actor, action, subjectKind, subjectId, from, to }: AuditArguments) {
  return { actor, action, subjectKind, subjectId, from, to };
}
