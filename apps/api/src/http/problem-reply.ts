import type { Duplex } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '#process';
import { Failure } from '../failure.js';
import { failureOf, problemMediaType, problemOf, storeFailureOf } from './problem.js';
import { retryAfter } from './throttle.js';

/**
 * The one place where whatever went wrong becomes a reply: a route, a guard, a hook or the router itself. What is not
 * expected is logged in full and told in one sentence.
 */
export function replyWithProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): void {
  if (reply.sent) return;
  const failure = failureOf(error) ?? unexpected(error, request, log);
  if (failure.code === 'unauthenticated') void reply.header('WWW-Authenticate', 'Bearer realm="moorage"');
  retryAfter(reply, failure);
  const problem = problemOf(failure);
  void reply.status(problem.status).type(problemMediaType).send(JSON.stringify(problem));
}

/** What Node's parser could not read as HTTP: there is no request, hence no hook and no log line, and the connection ends. */
export function replyToUnread({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, phrase, failure] = unread.get(code) ?? malformed;
  const body = JSON.stringify({ ...problemOf(failure), status });
  socket.end(
    [
      `HTTP/1.1 ${status} ${phrase}`,
      'Connection: close',
      'Cache-Control: no-store',
      'X-Content-Type-Options: nosniff',
      `Content-Type: ${problemMediaType}; charset=utf-8`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
    () => socket.destroy(),
  );
}

type Unread = readonly [status: number, phrase: string, failure: Failure];

const malformed: Unread = [400, 'Bad Request', new Failure('malformed', 'The request is not HTTP.')];
const unread: ReadonlyMap<string | undefined, Unread> = new Map<string, Unread>([
  [
    'HPE_HEADER_OVERFLOW',
    [431, 'Request Header Fields Too Large', new Failure('too-large', 'The headers are larger than 16 KiB.')],
  ],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    [408, 'Request Timeout', new Failure('malformed', 'The request took too long to come.')],
  ],
]);

function unexpected(error: unknown, request: FastifyRequest, log: Logger): Failure {
  const fields = {
    requestId: request.id,
    method: request.method,
    route: request.routeOptions.url,
    err: error,
  };
  const failure = storeFailureOf(error);
  if (failure !== undefined) {
    log.warn('request.refused-by-store', fields);
    return failure;
  }
  log.error('request.failed', fields);
  return new Failure(
    'internal',
    'Something went wrong here; X-Request-Id names the log line that says what.',
  );
}
