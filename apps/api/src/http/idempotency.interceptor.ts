import {
  Inject,
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { catchError, from, mergeMap, type Observable } from 'rxjs';
import { KeptAnswers, replay, type KeptAnswer } from './kept-answers.js';

/** Headers of the first answer that mean something to the client of the second. */
const replayedHeaders = ['location', 'etag', 'operation-location'] as const;

/** `Idempotency-Key` on POST. */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(@Inject(KeptAnswers) private readonly answers: KeptAnswers) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const key = request.headers['idempotency-key'];
    if (request.method !== 'POST' || key === undefined || request.access === undefined) return next.handle();
    const reserved = await this.answers.reserve(request, request.access, key);
    if ('body' in reserved) return from([replay(reserved, reply)]);
    return next.handle().pipe(
      mergeMap(async (body: unknown) => {
        await reserved.keep(answerOf(reply, body));
        return body;
      }),
      catchError(async (error: unknown) => {
        await reserved.forget();
        throw error;
      }),
    );
  }
}

function answerOf(reply: FastifyReply, body: unknown): KeptAnswer {
  const headers = replayedHeaders.flatMap((name) => {
    const value = reply.getHeader(name);
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return {
    status: reply.statusCode,
    headers: Object.fromEntries(headers),
    body,
    rights: [], // the guard has asked for the route's, and does so again
  };
}
