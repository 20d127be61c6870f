import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '#process';
import { isStoreUnavailable } from '#store';
import { Failure } from '../failure.js';
import { LOGGER } from '../tokens.js';
import { failureOf, problemMediaType, problemOf } from './problem.js';
import { retryAfter } from './throttle.js';

/** The one place where whatever went wrong becomes a reply. What is not expected is logged in full and told in one sentence. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw error; // GraphQL answers in its own form, see graphql/errors.ts
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    if (reply.sent) return;
    const failure = failureOf(error) ?? this.unexpected(error, request);
    if (failure.code === 'unauthenticated') reply.header('WWW-Authenticate', 'Bearer realm="moorage"');
    if (failure.code === 'unavailable') reply.header('Retry-After', '2');
    retryAfter(reply, failure);
    const problem = problemOf(failure);
    void reply.status(problem.status).type(problemMediaType).send(JSON.stringify(problem));
  }

  private unexpected(error: unknown, request: FastifyRequest): Failure {
    const route = request.routeOptions.url;
    if (isStoreUnavailable(error)) {
      this.log.warn('request.store-unavailable', { requestId: request.id, route, err: error });
      return new Failure('unavailable', 'The store cannot be reached just now: try again.');
    }
    this.log.error('request.failed', { requestId: request.id, method: request.method, route, err: error });
    return new Failure(
      'internal',
      'Something went wrong here; X-Request-Id names the log line that says what.',
    );
  }
}
