import fastifyWebsocket, { type WebSocket } from '@fastify/websocket';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  parse,
  validate,
  type ExecutionArgs,
} from 'graphql';
import { handleProtocols, makeServer, type Server, type SubscribePayload } from 'graphql-ws';
import type { Logger } from '#process';
import type { ControlStore } from '#store';
import { Failure } from '../failure.js';
import { AccessDesk } from '../http/access.js';
import { storeFailureOf } from '../http/problem.js';
import { replyWithProblem } from '../http/problem-reply.js';
import { SignInThrottle } from '../http/throttle.js';
import type { Caller } from '../scope.js';
import { LOGGER, STORE } from '../injection-tokens.js';
import { GraphqlContext } from './context.js';
import { exceeds, maxTokens, measureOperation, operationLimits } from './cost.js';
import { formatError } from './errors.js';
import { refuseUnstorable } from './unstorable.js';

interface SubscriptionLimits {
  readonly maxConnections: number;
  readonly perConnection: number;
}

/** Those who follow the same are told from one poll; each of the others asks the store twice a second. */
const subscriptionLimits: SubscriptionLimits = Object.freeze({
  maxConnections: 200,
  perConnection: 10,
});

const maxMessageBytes = 64 * 1024;
const signInDeadlineMs = 5_000;
/** What waits for a slow reader's socket; beyond it the connection ends. */
const maxBufferedBytes = 1024 * 1024;

interface Connection {
  readonly request: FastifyRequest;
  caller: Caller | undefined;
  authorization: string | undefined;
}

/**
 * Subscriptions over WebSocket (graphql-transport-ws). A browser cannot send headers with a WebSocket, so the key comes in
 * connection_init; nothing is looked at before it has been found valid. Queries and mutations stay with POST.
 */
@Injectable()
export class GraphqlSubscriptions {
  #connections = 0;

  constructor(
    @Inject(AccessDesk) private readonly desk: AccessDesk,
    @Inject(SignInThrottle) private readonly throttle: SignInThrottle,
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  async register(fastify: FastifyInstance, path: string): Promise<void> {
    await fastify.register(fastifyWebsocket, { options: { maxPayload: maxMessageBytes, handleProtocols } });
    const server = this.server(fastify);
    await fastify.register(async (scope) => {
      scope.route({
        method: 'GET',
        url: path,
        handler: (request, reply) => {
          const failure = new Failure('method-not-allowed', 'Send POST; subscriptions come by WebSocket.');
          replyWithProblem(failure, request, reply.header('Allow', 'POST'), this.log);
        },
        wsHandler: (socket, request) => this.open(server, socket, request),
      });
    });
  }

  private open(server: Server<Connection>, socket: WebSocket, request: FastifyRequest): void {
    if (this.#connections >= subscriptionLimits.maxConnections) {
      socket.close(1013, 'Too many connections: try again later');
      return;
    }
    this.#connections += 1;
    const connection: Connection = { request, caller: undefined, authorization: undefined };
    const closed = server.opened(
      {
        protocol: socket.protocol,
        send: (text) => send(socket, text),
        close: (code, reason) => socket.close(code, reason),
        onMessage: (handle) =>
          socket.on('message', (bytes: Buffer) => {
            handle(bytes.toString()).catch((err: unknown) => this.fail(socket, request, err));
          }),
      },
      connection,
    );
    socket.on('error', (err) => this.log.debug('graphql.socket-error', { requestId: request.id, err }));
    socket.once('close', (code: number, reason: Buffer) => {
      this.#connections -= 1;
      closed(code, reason.toString()).catch((err: unknown) => this.fail(socket, request, err));
    });
  }

  private server(fastify: FastifyInstance): Server<Connection> {
    return makeServer<Record<string, unknown>, Connection>({
      connectionInitWaitTimeout: signInDeadlineMs,
      onConnect: async ({ connectionParams, extra }) => {
        const authorization = authorizationIn(connectionParams) ?? extra.request.headers.authorization;
        if (authorization === undefined) return false;
        try {
          const { caller } = await this.throttle.guarded(extra.request, authorization, (whose) =>
            this.desk.identify(authorization, undefined, whose),
          );
          Object.assign(extra, { caller, authorization });
          return true;
        } catch (error) {
          if (error instanceof Failure) return false; // 4403
          throw error;
        }
      },
      onSubscribe: ({ extra, subscriptions }, _id, payload) => {
        try {
          if (Object.keys(subscriptions).length > subscriptionLimits.perConnection)
            throw new Failure(
              'limit-reached',
              `A connection has at most ${subscriptionLimits.perConnection} subscriptions.`,
            );
          return this.prepare(fastify, extra, payload);
        } catch (error) {
          return [
            error instanceof GraphQLError
              ? error
              : new GraphQLError('refused', { originalError: asError(error) }),
          ];
        }
      },
      onError: ({ extra }, _id, _payload, errors) =>
        errors.map((error) => formatError(error, this.log, extra.request.id)),
      onNext: ({ extra }, _id, _payload, _args, { data, errors }) => ({
        ...(data === undefined ? {} : { data }),
        ...(errors === undefined
          ? {}
          : { errors: errors.map((error) => formatError(error, this.log, extra.request.id)) }),
      }),
    });
  }

  /** What POST does before it executes: parse within bounds, validate, measure. */
  private prepare(
    fastify: FastifyInstance,
    { caller, authorization, request }: Connection,
    { query, operationName, variables }: SubscribePayload,
  ): ExecutionArgs | GraphQLError[] {
    if (caller === undefined) throw new Failure('unauthenticated', 'Send connection_init first.');
    const { schema } = fastify.graphql;
    const document = parse(query, { maxTokens });
    if (getOperationAST(document, operationName)?.operation !== OperationTypeNode.SUBSCRIPTION)
      throw new Failure('malformed', 'Only subscriptions come here: send queries and mutations by POST.');
    const errors = validate(schema, document);
    if (errors.length > 0) return [...errors];
    refuseUnstorable(document, variables ?? {});
    const excess = exceeds(
      measureOperation(schema, document, operationName, variables ?? {}),
      operationLimits,
    );
    if (excess !== undefined) throw new Failure('too-large', excess);
    const contextValue = new GraphqlContext(request, undefined, caller, authorization, this.desk, this.store);
    return {
      schema,
      document,
      operationName: operationName ?? null,
      variableValues: variables ?? null,
      contextValue,
    };
  }

  private fail(socket: WebSocket, request: FastifyRequest, err: unknown): void {
    if (storeFailureOf(err)?.code === 'unavailable') {
      this.log.warn('graphql.refused-by-store', { requestId: request.id, err });
      socket.close(1013, 'The store cannot be asked just now: try again later');
      return;
    }
    this.log.error('graphql.subscription-failed', { requestId: request.id, err });
    socket.close(1011, 'Internal error');
  }
}

/** In connection_init clients send it by itself or among `headers`, in a header's spelling: upper and lower case are the same. */
function authorizationIn(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null) return undefined;
  const entries = Object.entries(params).map(([name, value]) => [name.toLowerCase(), value] as const);
  const own: unknown = entries.find(([name]) => name === 'authorization')?.[1];
  if (typeof own === 'string') return own;
  return authorizationIn(entries.find(([name]) => name === 'headers')?.[1]);
}

/** Resolves when the socket has taken it, which is what slows a feed down to its reader. */
async function send(socket: WebSocket, text: string): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  if (socket.bufferedAmount > maxBufferedBytes) {
    socket.close(1013, 'Too slow');
    return;
  }
  await new Promise<void>((resolve) => {
    // A socket that fails is closed, and says so by its own event.
    socket.send(text, () => resolve());
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
