import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { Failure, type FieldError } from '../failure.js';

/**
 * A route that reads no query takes no query, and so with the body: what would be ignored is refused, so that a misspelled or
 * misplaced parameter is never mistaken for one that works.
 */
@Injectable()
export class UnusedInputInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const args: object =
      Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), context.getHandler().name) ?? {};
    const reads = (kind: RouteParamtypes): boolean =>
      Object.keys(args).some((name) => name.startsWith(`${kind}:`));
    if (!reads(RouteParamtypes.QUERY)) refuseMembers(request.query, 'query');
    if (!reads(RouteParamtypes.BODY)) refuseMembers(request.body, 'body');
    return next.handle();
  }
}

function refuseMembers(given: unknown, place: 'query' | 'body'): void {
  if (typeof given !== 'object' || given === null) return;
  const errors: FieldError[] = Object.keys(given).map((name) => ({
    in: place,
    pointer: `#/${encodeURIComponent(name)}`,
    code: 'unknown',
    message: `This route takes no ${place}.`,
  }));
  if (errors.length === 0) return;
  throw new Failure(
    place === 'query' ? 'invalid-parameter' : 'invalid',
    `This route takes no ${place}.`,
    errors,
  );
}
