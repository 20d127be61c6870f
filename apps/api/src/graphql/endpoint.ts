import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { getOperationAST, GraphQLError, Kind, OperationTypeNode, parse, type ExecutionResult } from 'graphql';
import { z } from 'zod';
import type { Logger } from '#process';
import type { ControlStore } from '#store';
import { Failure } from '../failure.js';
import { AccessDesk, turnOf, type Access } from '../http/access.js';
import { KeptAnswers, replay, type KeptAnswer, type Reservation } from '../http/kept-answers.js';
import { failureOf, problemOf, storeFailureOf } from '../http/problem.js';
import { fieldErrors, parsing } from '../http/schema.pipe.js';
import { retryAfter, SignInThrottle } from '../http/throttle.js';
import { LOGGER, STORE } from '../injection-tokens.js';
import { GraphqlContext } from './context.js';
import { maxTokens } from './cost.js';
import { formatError } from './errors.js';
import { GraphqlSubscriptions } from './subscriptions.js';

const graphqlPath = '/graphql';

/** One operation a request: a list of them, which would multiply every limit, is not an object. */
const operation = z.strictObject({
  query: z.string().min(1).max(65_536),
  operationName: z.string().max(200).nullish(),
  variables: z.record(z.string(), z.unknown()).nullish(),
  extensions: z.record(z.string(), z.unknown()).nullish(),
});

/**
 * `POST /graphql`. The key is checked before the document is looked at: without one there is no introspection either.
 * What keeps a request from being executed has the status REST would give it; what was executed is 200, errors and all.
 */
@Injectable()
export class GraphqlEndpoint implements OnModuleInit {
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(AccessDesk) private readonly desk: AccessDesk,
    @Inject(SignInThrottle) private readonly throttle: SignInThrottle,
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(GraphqlSubscriptions) private readonly subscriptions: GraphqlSubscriptions,
    @Inject(KeptAnswers) private readonly answers: KeptAnswers,
  ) {}

  async onModuleInit(): Promise<void> {
    const fastify: FastifyInstance = this.host.httpAdapter.getInstance();
    await this.subscriptions.register(fastify, graphqlPath);
    fastify.post(graphqlPath, (request, reply) => this.answer(request, reply));
  }

  private async answer(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    try {
      const { authorization } = request.headers;
      const access = await this.throttle.guarded(request, authorization, (whose) =>
        this.desk.identify(authorization, undefined, whose),
      );
      const operation = readOperation(request.body);
      const reserved = await this.reserve(request, access, operation);
      if (reserved !== undefined && 'body' in reserved) {
        // No field is asked for again, and no guard with it.
        for (const { tenantId, permission } of reserved.rights)
          await this.desk.admit(authorization, tenantId, permission, turnOf(access.caller));
        return replay(reserved, reply);
      }
      const context = new GraphqlContext(
        request,
        reply,
        access.caller,
        authorization,
        this.desk,
        this.store,
        operation.operationName,
      );
      return await execute(operation, context, reply, reserved);
    } catch (error) {
      return this.refuse(error, request, reply);
    }
  }

  /** `Idempotency-Key`, as on REST's POST, for what changes something. */
  private async reserve(
    request: FastifyRequest,
    access: Access,
    { query, operationName }: Operation,
  ): Promise<KeptAnswer | Reservation | undefined> {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return undefined;
    const fields = mutationsIn(query, operationName);
    if (fields === 0) return undefined;
    if (fields > 1)
      throw new Failure('malformed', 'With an Idempotency-Key an operation has one mutation, written out.');
    return this.answers.reserve(request, access, key);
  }

  private refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
    const causes = documentErrors(error) ?? [error];
    const errors = causes.map((cause) => formatError(cause, this.log, request.id));
    const failure = failureOf(error) ?? storeFailureOf(error);
    const status =
      documentErrors(error) !== undefined ? 400 : failure === undefined ? 500 : problemOf(failure).status;
    if (failure !== undefined) retryAfter(reply, failure);
    if (failure?.code === 'unauthenticated') void reply.header('WWW-Authenticate', 'Bearer realm="moorage"');
    return reply.status(status).type('application/json').send({ data: null, errors });
  }
}

type Operation = z.output<typeof operation>;

async function execute(
  { query, variables, operationName }: Operation,
  context: GraphqlContext,
  reply: FastifyReply,
  reserved: Reservation | undefined,
): Promise<unknown> {
  try {
    const answer = await reply.graphql(
      query,
      asRecord(context),
      variables ?? undefined,
      operationName ?? undefined,
    );
    if (isDone(answer))
      await reserved?.keep({ status: 200, headers: {}, body: answer, rights: context.rights });
    else await reserved?.forget();
    return answer;
  } catch (error) {
    await reserved?.forget();
    throw error;
  }
}

/** One mutation that failed has done nothing: it may succeed when it is sent again. It is done where only what its answer leads to failed. */
function isDone({ errors = [] }: ExecutionResult): boolean {
  return errors.every(({ path = [] }) => path.length > 1);
}

/** Root fields of the mutation that would be executed; 0: it is none, or no document at all. A fragment counts as several. */
function mutationsIn(query: string, operationName: string | null | undefined): number {
  try {
    const executed = getOperationAST(parse(query, { maxTokens }), operationName);
    if (executed?.operation !== OperationTypeNode.MUTATION) return 0;
    const { selections } = executed.selectionSet;
    return selections.every(({ kind }) => kind === Kind.FIELD) ? selections.length : Infinity;
  } catch {
    return 0; // what is wrong with it is said when it is executed
  }
}

/** mercurius adds its own members to it; the guard knows it by its class. */
function asRecord(context: GraphqlContext): Record<string, unknown> {
  return context as unknown as Record<string, unknown>;
}

function readOperation(body: unknown): Operation {
  const parsed = operation.safeParse(body, parsing);
  if (parsed.success) return parsed.data;
  throw new Failure(
    'malformed',
    'Send one operation: { query, variables, operationName }.',
    fieldErrors(parsed.error, 'body'),
  );
}

/** What mercurius throws where the document or its variables are wrong. */
function documentErrors(error: unknown): readonly GraphQLError[] | undefined {
  if (!(error instanceof Error) || !('errors' in error) || !Array.isArray(error.errors)) return undefined;
  const errors = error.errors.filter((cause) => cause instanceof GraphQLError);
  return errors.length > 0 ? errors : undefined;
}
