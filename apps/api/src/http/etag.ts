import { createParamDecorator, applyDecorators, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Failure, type ExpectedVersion } from '../failure.js';

/** The versions the caller would change, as a rule the one it has read. 428 without. */
export const IfMatch = createParamDecorator((_: unknown, context: ExecutionContext): ExpectedVersion => {
  const field = context.switchToHttp().getRequest<FastifyRequest>().headers['if-match'];
  if (field === undefined) {
    throw new Failure('precondition-required', 'Send If-Match with the ETag of what you have read.', [
      {
        in: 'header',
        pointer: '#/If-Match',
        code: 'required',
        message: 'It keeps two people from undoing each other.',
      },
    ]);
  }
  return field.trim() === '*' ? undefined : versionsOf(field);
});

/** An element of `#entity-tag`, which may be empty (RFC 9110, 5.6.1.2 and 8.8.3). */
const listElement = /[\t ]*(?:(W\/)?"([!\x23-\x7e\x80-\xff]*)"[\t ]*)?(?:,|$)/gy;

/** The comparison is the strong one: a weak tag names no version, and neither does one that was never ours (RFC 9110, 13.1.1). */
function versionsOf(field: string): number[] {
  const elements = [...field.matchAll(listElement)];
  const tags = elements.filter(([, , tag]) => tag !== undefined);
  const read = elements.reduce((length, [element]) => length + element.length, 0);
  if (tags.length === 0 || read < field.length) {
    const message = 'An ETag with its quotes, "3", several of them with commas between, or *.';
    throw new Failure('malformed', 'If-Match cannot be read.', [
      { in: 'header', pointer: '#/If-Match', code: 'invalid', message },
    ]);
  }
  return tags.flatMap(([, weak, tag = '']) => (weak === undefined && isVersion.test(tag) ? Number(tag) : []));
}

const isVersion = /^[1-9]\d{0,8}$/;

/** For the documentation of a route that takes @IfMatch. */
export function NeedsIfMatch(): MethodDecorator {
  return applyDecorators(
    ApiHeader({
      name: 'If-Match',
      required: true,
      description: 'ETag of the version you have read, or several of which one will do; * for any',
      schema: { type: 'string' },
    }),
  );
}

/** Sends the resource's version as its entity tag. */
export function tagged<T extends { readonly version: number }>(reply: FastifyReply, resource: T): T {
  void reply.header('ETag', `"${resource.version}"`);
  return resource;
}
