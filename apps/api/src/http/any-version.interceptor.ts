import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { retry, throwError, timer, type Observable } from 'rxjs';
import { Failure } from '../failure.js';

/** Of any number that come at once each attempt lets one through at least; a pause at random keeps them from meeting again. */
const attempts = 100;
const longestPauseMs = 20;

/**
 * `If-Match: *` asks for any version, and a version that goes by while the change is being made is one too: what was refused for it
 * has done nothing, and is done again on what there is then (RFC 9110, 13.1.1).
 */
@Injectable()
export class AnyVersionInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (request.headers['if-match']?.trim() !== '*') return next.handle();
    return next.handle().pipe(retry({ count: attempts - 1, delay: onlyIfOvertaken }));
  }
}

function onlyIfOvertaken(error: unknown): Observable<unknown> {
  return error instanceof Failure && error.code === 'precondition-failed'
    ? timer(Math.random() * longestPauseMs)
    : throwError(() => error);
}
