import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import { z } from 'zod';
import { notFound } from '../failure.js';
import { topicFilter } from '../fields.js';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentRetained, retainedPath } from './retained.schema.js';
import { RetainedService } from './retained.service.js';

const listed = z.strictObject({ topic: topicFilter.optional() });
const cleared = z.strictObject({ topic: topicFilter });

@Resolver('RetainedMessage')
export class RetainedResolver {
  constructor(@Inject(RetainedService) private readonly retained: RetainedService) {}

  @Query('retainedMessages')
  @Requires('telemetry:read')
  async list(
    @FieldScope() scope: TenantScope,
    @Args() args: PageArguments & { topic?: string | null; payload?: boolean | null },
  ) {
    const { topic } = checkArguments(listed, { topic: args.topic });
    const query = { ...pageRequest(args), topic, payload: args.payload === true };
    return connectionOf(await this.retained.list(scope, query), presentRetained);
  }

  @Query('retainedMessage')
  @Requires('telemetry:read')
  async get(@FieldScope() scope: TenantScope, @Args('topic') topic: string) {
    return presentRetained(await this.retained.get(scope, topicOf(topic)));
  }

  @Mutation('clearRetainedMessage')
  @Requires('retained:clear')
  async clear(@FieldScope() scope: TenantScope, @Args('topic') topic: string) {
    const { number } = await this.retained.clear(scope, topicOf(topic));
    return { topic, operation: operationId(number) };
  }

  @Mutation('clearRetainedMessages')
  @Requires('retained:clear')
  async clearAll(
    @FieldScope() scope: TenantScope,
    @Args('topic') filter: string,
    @Args('dryRun') isDry: boolean | null,
  ) {
    const { topic } = checkArguments(cleared, { topic: filter });
    if (isDry === true)
      return { dryRun: true, messages: await this.retained.count(scope, topic), operation: null };
    const { messages, progress } = await this.retained.clearAll(scope, topic);
    return { dryRun: false, messages, operation: operationId(progress.number) };
  }
}

/** What cannot be a topic names nothing, as in a path of REST. */
function topicOf(argument: string): string {
  if (!retainedPath.safeParse(argument).success) throw notFound();
  return argument;
}
