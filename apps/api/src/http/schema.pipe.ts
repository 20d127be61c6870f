import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { z } from 'zod';
import { Failure, notFound, type FieldError } from '../failure.js';
import { findUnstorable } from './storable.js';

/** No issue holds what was given, which may be a secret; and of what is missing not the type is wrong. */
export const parsing: z.core.ParseContext<z.core.$ZodIssue> = {
  reportInput: false,
  error: ({ code, input }) =>
    code === 'invalid_type' && input === undefined ? 'This is required.' : undefined,
};

/**
 * Checks what a route declares by `{ schema }` and hands the handler the parsed value. A path that cannot name anything
 * names nothing (404, as for an unknown id); a bad query is 400; a bad body is 422, every fault with its place.
 */
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, { type, schema }: ArgumentMetadata): unknown {
    if (!(schema instanceof z.ZodType)) return value;
    const parsed = schema.safeParse(value, parsing);
    if (parsed.success) {
      if (type === 'body') requireStorable(value);
      return parsed.data;
    }
    if (type === 'param') throw notFound();
    if (type === 'query') {
      const errors = fieldErrors(parsed.error, 'query');
      throw new Failure(
        'invalid-parameter',
        'A query parameter is unknown or has a value that cannot be used.',
        errors,
      );
    }
    throw badBody(parsed.error);
  }
}

/** For a route whose body may be something else than what this schema is of. */
export function checkBody<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body, parsing);
  if (!parsed.success) throw badBody(parsed.error);
  requireStorable(body);
  return parsed.data;
}

/** Once for all members; one whose own check has said why it cannot be has said more. */
function requireStorable(body: unknown): void {
  const path = findUnstorable(body);
  if (path === undefined) return;
  const message = 'No U+0000 and no half of a surrogate pair.';
  const error = { in: 'body', pointer: pointerTo(path), code: 'forbidden-character', message } as const;
  throw new Failure('invalid', badForm, [error]);
}

const badForm = 'The body does not have the form this resource asks for.';

function badBody(error: z.ZodError): Failure {
  return new Failure('invalid', badForm, fieldErrors(error, 'body'));
}

export function fieldErrors(error: z.ZodError, place: FieldError['in']): FieldError[] {
  return error.issues.flatMap((issue) => {
    // One error a member, each with its own pointer.
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        in: place,
        pointer: pointerTo([...issue.path, key]),
        code: 'unknown',
        message: 'There is no such member.',
      }));
    return [{ in: place, pointer: pointerTo(issue.path), code: codeOf(issue), message: issue.message }];
  });
}

/** A check of our own may name its code (`params: { code }`); zod's codes are stable as they are. */
function codeOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'custom') return issue.code.replaceAll('_', '-');
  const code: unknown = issue.params?.['code'];
  return typeof code === 'string' ? code : 'invalid';
}

/** RFC 6901, section 6: as a URI fragment. */
function pointerTo(path: readonly PropertyKey[]): string {
  const steps = path.map(
    (step) => `/${encodeURIComponent(String(step).replaceAll('~', '~0').replaceAll('/', '~1'))}`,
  );
  return `#${steps.join('')}`;
}
