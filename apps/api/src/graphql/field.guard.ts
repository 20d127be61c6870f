import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { GqlExecutionContext } from '@nestjs/graphql';
import { isObjectType, type GraphQLResolveInfo } from 'graphql';
import { Failure } from '../failure.js';
import { requiredPermission } from '../http/requires.decorator.js';
import type { Permission } from '../permissions.js';
import type { Caller } from '../scope.js';
import { GraphqlContext } from './context.js';
import { enteredScopes, scopeOfNode } from './scope.js';

/**
 * Every field with a resolver passes here, root fields and links alike: what @Requires asks for must be among the caller's
 * permissions, inside the tenant that the field's `tenant` names or that its parent belongs to. A resolver that declares
 * nothing is closed to everybody.
 */
@Injectable()
export class FieldGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType<string>() !== 'graphql') return true; // REST asks in access.guard.ts
    const permission = this.reflector.get<Permission | undefined>(requiredPermission, context.getHandler());
    if (permission === undefined) throw new Failure('forbidden', 'This field is not offered.');
    const field = GqlExecutionContext.create(context);
    const request = field.getContext<unknown>();
    if (!(request instanceof GraphqlContext)) throw new Error('a field was asked for outside of a request');
    const { caller, tenantId } = await this.placeOf(field, request);
    if (!caller.permissions.has(permission))
      throw new Failure('forbidden', `The role of this key does not include ${permission}.`);
    request.noteRight({ tenantId, permission });
    return true;
  }

  private async placeOf(field: GqlExecutionContext, request: GraphqlContext): Promise<Place> {
    const info = field.getInfo<GraphQLResolveInfo>();
    if (!isRoot(info)) return scopeOfNode(field.getRoot<unknown>());
    const args = field.getArgs<{ tenant?: unknown }>();
    if (typeof args.tenant !== 'string') return { caller: request.caller };
    const scope = await request.enter(args.tenant);
    enteredScopes.set(args, scope);
    return scope;
  }
}

/** A tenant, or the platform. */
interface Place {
  readonly caller: Caller;
  readonly tenantId?: string;
}

function isRoot({ parentType, schema }: GraphQLResolveInfo): boolean {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  return isObjectType(parentType) && roots.includes(parentType);
}
