import { createParamDecorator, applyDecorators, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Failure, staleVersion, type ExpectedVersion } from '../failure.js';

/** The version the caller has seen. 428 without; a tag that was never ours matches nothing (RFC 9110, 13.1.1). */
export const IfMatch = createParamDecorator((_: unknown, context: ExecutionContext): ExpectedVersion => {
  const tag = context.switchToHttp().getRequest<FastifyRequest>().headers['if-match'];
  if (tag === undefined) {
    throw new Failure('precondition-required', 'Send If-Match with the ETag of what you have read.', [
      {
        in: 'header',
        pointer: '#/If-Match',
        code: 'required',
        message: 'It keeps two people from undoing each other.',
      },
    ]);
  }
  if (tag.trim() === '*') return undefined;
  const version = /^\s*"(\d{1,9})"\s*$/.exec(tag)?.[1];
  if (version === undefined) throw staleVersion();
  return Number(version);
});

/** For the documentation of a route that takes @IfMatch. */
export function NeedsIfMatch(): MethodDecorator {
  return applyDecorators(
    ApiHeader({
      name: 'If-Match',
      required: true,
      description: 'ETag of the version you have read; * for any',
      schema: { type: 'string' },
    }),
  );
}

/** Sends the resource's version as its entity tag. */
export function tagged<T extends { readonly version: number }>(reply: FastifyReply, resource: T): T {
  void reply.header('ETag', `"${resource.version}"`);
  return resource;
}
