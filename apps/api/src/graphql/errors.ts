import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Logger } from '#process';
import { Failure } from '../failure.js';
import { failureOf, storeFailureOf } from '../http/problem.js';

/** What the client of a field or a request is told: the code REST would answer with. Of our own faults only that there was one. */
export function formatError(error: unknown, log: Logger, requestId: string): GraphQLFormattedError {
  const origin = error instanceof GraphQLError ? error.originalError : error;
  const place = error instanceof GraphQLError ? placeOf(error) : {};
  const refusal = refusalOf(error, origin);
  if (refusal !== undefined) return { ...refusal, ...place };
  const failure = failureOf(origin) ?? unexpected(origin, log, requestId);
  return {
    message: failure.message,
    ...place,
    extensions: {
      code: failure.code,
      ...(failure.errors.length === 0 ? {} : { errors: failure.errors }),
    },
  };
}

/** graphql-js found the document or its variables wrong: its words are meant for the client. */
function refusalOf(error: unknown, origin: unknown): GraphQLFormattedError | undefined {
  if (!(error instanceof GraphQLError)) return undefined;
  // A variable of another type than is declared is found by a scalar, before there is a path; with a path it is a field's answer.
  const isOfVariable = origin instanceof GraphQLError && error.path === undefined;
  if (origin && !isOfVariable) return undefined;
  const code = typeof error.extensions['code'] === 'string' ? error.extensions['code'] : 'invalid-query';
  return { message: error.message, extensions: { code } };
}

function placeOf({ locations, path }: GraphQLError): Pick<GraphQLFormattedError, 'locations' | 'path'> {
  return { ...(locations === undefined ? {} : { locations }), ...(path === undefined ? {} : { path }) };
}

function unexpected(err: unknown, log: Logger, requestId: string): Failure {
  const failure = storeFailureOf(err);
  if (failure !== undefined) {
    log.warn('graphql.refused-by-store', { requestId, err });
    return failure;
  }
  log.error('graphql.failed', { requestId, err });
  return new Failure(
    'internal',
    'Something went wrong here; X-Request-Id names the log line that says what.',
  );
}
