import type { FastifyReply } from 'fastify';
import type { Changed } from '../changes.js';
import type { TenantScope } from '../scope.js';
import { tagged } from './etag.js';

/** Says where a change of rights can be followed to the connections it concerns. */
export function announceOperation(reply: FastifyReply, scope: TenantScope, operation: bigint): void {
  void reply.header('Operation-Location', operationPath(scope, operation));
}

export function operationPath(scope: TenantScope, operation: bigint): string {
  return `/v1/tenants/${scope.tenantSlug}/operations/${operation}`;
}

/** The changed resource, with its tag and the operation. */
export function changed<T extends { readonly version: number }>(
  reply: FastifyReply,
  scope: TenantScope,
  { value, operation }: Changed<T>,
): T {
  announceOperation(reply, scope, operation);
  return tagged(reply, value);
}
