import type { DynamicModule } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { getOperationAST, OperationTypeNode, type DocumentNode, type GraphQLSchema } from 'graphql';
import type { Logger } from '#process';
import { Failure } from '../failure.js';
import { exceeds, maxTokens, measureOperation, operationLimits } from './cost.js';
import { GraphqlContext } from './context.js';
import { formatError } from './errors.js';
import { refuseUnstorable } from './unstorable.js';
import { typeDefs } from './type-defs.js';

/** The schema over the resolvers of all resources. */
export function graphqlModule(log: Logger): DynamicModule {
  return GraphQLModule.forRoot<MercuriusDriverConfig>({
    driver: MercuriusDriver,
    typeDefs,
    // Links are guarded like root fields.
    fieldResolverEnhancers: ['guards'],
    // endpoint.ts serves it: signed in before parsed, by POST only.
    routes: false,
    resolverValidationOptions: { requireResolversToMatchSchema: 'error' },
    graphql: { parseOptions: { maxTokens } },
    hooks: { preExecution: examine },
    errorFormatter: ({ errors, data }, context) => ({
      statusCode: 200,
      response: {
        data: data ?? null,
        errors: (errors ?? []).map((error) => formatError(error, log, requestIdOf(context))) as never,
      },
    }),
  });
}

function examine(
  schema: GraphQLSchema,
  document: DocumentNode,
  context: unknown,
  variables: Record<string, unknown> | undefined,
): void {
  const operationName = context instanceof GraphqlContext ? context.operationName : undefined;
  const executed = getOperationAST(document, operationName)?.operation;
  if (executed === undefined)
    throw new Failure('malformed', 'operationName has to name one of the operations that are sent.');
  if (executed === OperationTypeNode.SUBSCRIPTION)
    throw new Failure('malformed', 'Subscriptions come by WebSocket: only queries and mutations come here.');
  refuseUnstorable(document, variables ?? {});
  const excess = exceeds(measureOperation(schema, document, operationName, variables ?? {}), operationLimits);
  if (excess !== undefined) throw new Failure('too-large', excess);
}

function requestIdOf(context: unknown): string {
  return context instanceof GraphqlContext ? context.req.id : '';
}
