import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest, RawRequestDefaultExpression } from 'fastify';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Logger } from '#process';
import { Failure, notFound } from '../failure.js';
import { replyToUnread, replyWithProblem } from './problem-reply.js';

const maxBodyBytes = 256 * 1024;
export const maxUploadBytes = 16 * 1024 * 1024;
export const rowMediaTypes = ['application/x-ndjson', 'text/csv'];
/** RFC 2585, and what PEM is sent as. */
export const listMediaTypes = ['application/pkix-crl', 'application/x-pem-file'];

/** Fastify with our limits, ids and headers; knows nothing of routes. */
export function createAdapter(log: Logger): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: maxBodyBytes,
    // As long as a request's head may be: a tenant may have client identifiers of thousands of characters.
    routerOptions: { maxParamLength: 16_384, ignoreTrailingSlash: false },
    requestTimeout: 30_000,
    // Refused below, with a problem: Node says 400 and nothing else.
    http: { requireHostHeader: false },
    clientErrorHandler: replyToUnread,
    // What the router refuses before there is a route: no hook runs, so the headers are set here.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      setHeaders(request, reply);
      replyWithProblem(error, request, reply, log);
    },
    genReqId: (request: RawRequestDefaultExpression) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && /^[\w.:-]{8,64}$/.test(given) ? given : randomUUID();
    },
  });
  const fastify = adapter.getInstance<FastifyInstance>();
  // Refused below, with a problem: Node says 417 and nothing else.
  fastify.server.on('checkExpectation', (request, response) =>
    fastify.server.emit('request', request, response),
  );
  fastify.decorateRequest('access', undefined);
  registerBodyParsers(fastify);
  // What goes wrong before Nest has the request: its body, its rate.
  fastify.setErrorHandler((error, request, reply) => replyWithProblem(error, request, reply, log));
  // Nest sets one of its own after the routes, too late to reach them.
  adapter.setErrorHandler = () => fastify;
  fastify.addHook('onRequest', (request, reply, done) => {
    setHeaders(request, reply);
    done(
      refusedHost(request.raw) ??
        refusedExpectation(request.raw) ??
        refusedUrl(request.url) ??
        refusedCoding(request.headers['content-encoding']),
    );
  });
  return adapter;
}

/** RFC 9112, 3.2 */
function refusedHost({ httpVersion, headers }: RawRequestDefaultExpression): Failure | undefined {
  if (httpVersion !== '1.1' || headers.host !== undefined) return undefined;
  return new Failure('malformed', 'The request has no Host.');
}

/** RFC 9110, 10.1.1. Node itself has sent 100 where that is asked for. */
function refusedExpectation({ httpVersion, headers }: RawRequestDefaultExpression): Failure | undefined {
  if (
    httpVersion !== '1.1' ||
    headers.expect === undefined ||
    headers.expect.toLowerCase() === '100-continue'
  )
    return undefined;
  return new Failure('expectation-failed', 'Expect can be 100-continue, and nothing else.');
}

/**
 * U+0000 names nothing here, and PostgreSQL's texts cannot hold it. What is no percent-encoded UTF-8 would be taken as it stands in a
 * query; in a path the router refuses it.
 */
function refusedUrl(url: string): Failure | undefined {
  const query = url.indexOf('?');
  if (query !== -1 && !isDecodable(url.slice(query)))
    return new Failure('invalid-parameter', 'The query is not percent-encoded UTF-8.');
  const at = url.toLowerCase().indexOf('%00');
  if (at === -1) return undefined;
  const isInPath = !url.slice(0, at).includes('?');
  return isInPath ? notFound() : new Failure('invalid-parameter', 'A query parameter holds U+0000.');
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** A body is taken as it is: unpacked, it could be any size. */
function refusedCoding(coding: string | undefined): Failure | undefined {
  if (coding === undefined || coding.trim().toLowerCase() === 'identity') return undefined;
  return new Failure('unsupported-media-type', 'Send the body as it is, without a Content-Encoding.');
}

function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  void reply.headers({ ...securityHeaders, 'X-Request-Id': request.id });
  if (request.url.startsWith('/docs')) void reply.headers(pageHeaders);
}

/** Nothing of an answer may be kept by a cache, framed, sniffed or run. */
const securityHeaders = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
} as const;

/** The documentation's page runs its own scripts; Swagger UI styles elements in place. */
const pageHeaders = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'",
} as const;

/**
 * JSON, and JSON Merge Patch (RFC 7396), which is JSON, in UTF-8: other bytes would be read as U+FFFD, and stored so. An upload is handed on unread: the route that takes it reads it once
 * the caller is known, so that strangers cost no memory. Any other media type is 415.
 */
function registerBodyParsers(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer', bodyLimit: maxBodyBytes },
    (request, body, done) => {
      // Clients that say so of every request say it of one without a body, too.
      if (body.length === 0) done(null, undefined);
      else if (isUtf8(body)) void parseJson(request, body.toString(), done);
      else done(new Failure('malformed', 'The body is not UTF-8.'));
    },
  );
  const uploads = [...rowMediaTypes, ...listMediaTypes];
  fastify.addContentTypeParser(uploads, { bodyLimit: maxUploadBytes }, (_request, payload, done) => {
    done(null, payload);
  });
}
