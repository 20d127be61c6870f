/** One thing that is wrong with a request, and where: `pointer` is a JSON Pointer in a URI fragment (RFC 9457, 3). */
export interface FieldError {
  readonly in: 'body' | 'query' | 'path' | 'header';
  readonly pointer: string;
  readonly code: string;
  readonly message: string;
}

/** The closed list of answers that are not a success. Stable: clients decide by them; http/problem.ts gives each its status. */
export type FailureCode =
  | 'malformed'
  | 'invalid-parameter'
  | 'unauthenticated'
  | 'forbidden'
  | 'tenant-suspended'
  | 'not-found'
  | 'method-not-allowed'
  | 'name-taken'
  | 'in-use'
  | 'limit-reached'
  | 'conflict'
  | 'idempotency-in-progress'
  | 'idempotency-not-kept'
  | 'precondition-failed'
  | 'too-large'
  | 'unsupported-media-type'
  | 'expectation-failed'
  | 'invalid'
  | 'idempotency-mismatch'
  | 'precondition-required'
  | 'rate-limited'
  | 'unavailable'
  | 'internal';

/**
 * An expected refusal. A service throws it, so that the transaction it runs in is rolled back; it knows nothing of HTTP or
 * GraphQL, whose edges turn it into an answer. `message` is shown to the client.
 */
export class Failure extends Error {
  override readonly name = 'Failure';

  constructor(
    readonly code: FailureCode,
    message: string,
    readonly errors: readonly FieldError[] = [],
  ) {
    super(message);
  }
}

/** Always the same words: whether a thing does not exist or belongs to another tenant must not be told apart. */
export function notFound(): Failure {
  return new Failure('not-found', 'There is nothing here that this key may see.');
}

/** What a service finds wrong with a body that its schema cannot see, e.g. a reference to a profile that does not exist. */
export function invalidBody(...errors: readonly Omit<FieldError, 'in'>[]): Failure {
  return new Failure(
    'invalid',
    'The body breaks a rule of this resource.',
    errors.map((error) => ({ in: 'body', ...error })),
  );
}

export function nameTaken(pointer: string, message: string): Failure {
  return new Failure('name-taken', message, [{ in: 'body', pointer, code: 'taken', message }]);
}

/** Of several any will do. Undefined: any there is (`If-Match: *`). */
export type ExpectedVersion = number | readonly number[] | undefined;

/** Refuses to change what somebody else has changed since the caller looked. */
export function requireVersion(current: { readonly version: number }, expected: ExpectedVersion): void {
  if (expected !== undefined && ![expected].flat().includes(current.version)) throw staleVersion();
}

export function staleVersion(): Failure {
  return new Failure(
    'precondition-failed',
    'It has changed since you read it: read it again and decide again.',
  );
}
