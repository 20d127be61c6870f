import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { GqlExecutionContext } from '@nestjs/graphql';
import type { Caller, TenantScope } from '../scope.js';
import type { GraphqlContext } from './context.js';

/** By a field's arguments: the tenant the guard has let the caller into. */
export const enteredScopes = new WeakMap<object, TenantScope>();

const scopes = new WeakMap<object, TenantScope>();

/** Remembers the tenant a node belongs to, for the guard and the resolvers of its links. */
export function inScope<T extends object>(scope: TenantScope, node: T): T {
  scopes.set(node, scope);
  return node;
}

export function scopeOfNode(node: unknown): TenantScope {
  const scope = typeof node === 'object' && node !== null ? scopes.get(node) : undefined;
  if (scope === undefined) throw new Error('a link was asked for on a node that belongs to no tenant');
  return scope;
}

/** Of a root field: the tenant its argument names. */
export const FieldScope = createParamDecorator((_: unknown, context: ExecutionContext): TenantScope => {
  const scope = enteredScopes.get(GqlExecutionContext.create(context).getArgs<object>());
  if (scope === undefined) throw new Error('@FieldScope stands on a field without a tenant');
  return scope;
});

export const FieldCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller =>
    GqlExecutionContext.create(context).getContext<GraphqlContext>().caller,
);
