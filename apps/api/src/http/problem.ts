import { HttpException } from '@nestjs/common';
import { z } from 'zod';
import { StoreError } from '#store';
import { Failure, notFound, type FailureCode } from '../failure.js';

/** RFC 9457, with `code` (stable, for programs) and `errors` (one a field). */
export const problemSchema = z
  .object({
    type: z.string().describe('urn:moorage:problem: and the code'),
    title: z.string(),
    status: z.int(),
    code: z.string().describe('Stable; decide by this one'),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          in: z.enum(['body', 'query', 'path', 'header']),
          pointer: z.string().describe('JSON Pointer in a URI fragment, e.g. #/attributes/site'),
          code: z.string(),
          message: z.string(),
        }),
      )
      .optional(),
  })
  .meta({ id: 'Problem', title: 'Problem' });

export type Problem = z.infer<typeof problemSchema>;

export const problemMediaType = 'application/problem+json';

const answers: Readonly<Record<FailureCode, readonly [status: number, title: string]>> = {
  malformed: [400, 'Malformed request'],
  'invalid-parameter': [400, 'Invalid parameter'],
  unauthenticated: [401, 'Authentication required'],
  forbidden: [403, 'Not allowed'],
  'tenant-suspended': [403, 'Tenant suspended'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  'name-taken': [409, 'Name taken'],
  'in-use': [409, 'In use'],
  'limit-reached': [409, 'Limit reached'],
  conflict: [409, 'Conflict'],
  'idempotency-in-progress': [409, 'Request in progress'],
  'idempotency-not-kept': [409, 'Done, and its answer not kept'],
  'precondition-failed': [412, 'Precondition failed'],
  'too-large': [413, 'Too large'],
  'unsupported-media-type': [415, 'Unsupported media type'],
  'expectation-failed': [417, 'Expectation failed'],
  invalid: [422, 'Invalid body'],
  'idempotency-mismatch': [422, 'Idempotency key used for another request'],
  'precondition-required': [428, 'Precondition required'],
  'rate-limited': [429, 'Too many requests'],
  unavailable: [503, 'Service unavailable'],
  internal: [500, 'Internal error'],
};

export function problemOf(failure: Failure): Problem {
  const [status, title] = answers[failure.code];
  return {
    type: `urn:moorage:problem:${failure.code}`,
    title,
    status,
    code: failure.code,
    detail: failure.message,
    ...(failure.errors.length === 0 ? {} : { errors: [...failure.errors] }),
  };
}

/** What Fastify and Nest throw of themselves, in our words; undefined: a fault of ours. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof Failure) return error;
  const code = ofFramework.get(statusOf(error) ?? 0);
  if (code === undefined) return undefined;
  if (codeOf(error) === 'FST_ERR_CTP_INVALID_JSON_BODY')
    return new Failure('malformed', 'The body is not JSON.');
  return code === 'not-found' ? notFound() : new Failure(code, frameworkDetails[code]);
}

/** Of Fastify's errors. */
function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** What the store says that is no fault of ours alone: worth a line in the log all the same. */
export function storeFailureOf(error: unknown): Failure | undefined {
  if (!(error instanceof StoreError)) return undefined;
  if (error.code === 'store.unavailable' || error.code === 'store.contention')
    return new Failure('unavailable', 'The store cannot do this just now: try again.');
  // Bad input that got past its schema: the schema is at fault too.
  if (error.code === 'store.check') return new Failure('invalid', 'A value of the request cannot be stored.');
  // The tenant was there when the request was let in, and has been deleted since.
  if (error.code === 'store.reference' && error.constraint?.endsWith('_tenant_id_fkey') === true)
    return notFound();
  return undefined;
}

const ofFramework: ReadonlyMap<number, keyof typeof frameworkDetails | 'not-found'> = new Map([
  [400, 'malformed'],
  [403, 'not-found'], // a path that leads out of the documentation's folder
  [404, 'not-found'],
  [405, 'method-not-allowed'],
  [412, 'precondition-failed'],
  [413, 'too-large'],
  [414, 'not-found'], // a path parameter longer than any of ours
  [415, 'unsupported-media-type'],
  [416, 'malformed'], // a range of a file of the documentation
  [429, 'rate-limited'],
] as const);

const frameworkDetails = {
  malformed: 'The request cannot be parsed.',
  'method-not-allowed': 'This resource does not offer the method.',
  'precondition-failed': 'It is not what the header asks for.',
  'too-large': 'The body is larger than this resource accepts.',
  'unsupported-media-type':
    'The body is of no media type that is taken here: most routes take application/json, and /docs says which take another.',
  'rate-limited': 'Too many requests: wait as long as Retry-After says.',
} as const;

function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number')
    return error.statusCode;
  return undefined;
}
