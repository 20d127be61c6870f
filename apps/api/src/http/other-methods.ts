import type { FastifyInstance } from 'fastify';
import { Failure } from '../failure.js';

export interface Route {
  readonly method: string;
  readonly url: string;
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];

/**
 * A method that a resource does not have is 405, with those that it has (RFC 9110, 15.5.6): the router would say that there is
 * nothing. To be called when all routes are there. What brokers ask stays unknown to everybody else.
 */
export function refuseOtherMethods(fastify: FastifyInstance, routes: readonly Route[]): void {
  const served = routes.filter(({ url }) => !url.startsWith('/internal'));
  for (const [url, offered] of Map.groupBy(served, ({ url }) => url.replaceAll(/:\w+/g, ':name'))) {
    const allowed = new Set(offered.map(({ method }) => method));
    fastify.route({
      method: methods.filter((method) => !allowed.has(method)),
      url,
      // Before a body is read.
      onRequest: (_request, reply, done) => {
        void reply.header('Allow', [...allowed].join(', '));
        done(new Failure('method-not-allowed', 'This resource does not offer the method.'));
      },
      handler: () => undefined,
    });
  }
}
