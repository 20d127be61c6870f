import { applyDecorators, createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Permission } from '../permissions.js';
import type { Caller, TenantScope } from '../scope.js';

export const requiredPermission = 'moorage:permission';
export const openRoute = 'moorage:open';
export const apiKeyScheme = 'apiKey';

/** The permission a route needs, where everybody can see it. */
export function Requires(permission: Permission): MethodDecorator {
  return applyDecorators(
    SetMetadata(requiredPermission, permission),
    ApiBearerAuth(apiKeyScheme),
    ApiExtension('x-permission', permission),
  );
}

/** A route for everybody, without a key. */
export function Open(): MethodDecorator {
  return SetMetadata(openRoute, true);
}

/** The tenant the path names, which the guard has let the caller into. */
export const InTenant = createParamDecorator((_: unknown, context: ExecutionContext): TenantScope => {
  const scope = requestOf(context).access?.scope;
  if (scope === undefined) throw new Error('@InTenant stands on a route whose path names no tenant');
  return scope;
});

export const By = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const access = requestOf(context).access;
  if (access === undefined) throw new Error('@By stands on a route without @Requires');
  return access.caller;
});

function requestOf(context: ExecutionContext): FastifyRequest {
  return context.switchToHttp().getRequest<FastifyRequest>();
}
