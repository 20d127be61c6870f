import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Module } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { GraphQLModule, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { silentLogger } from '#process';
import { Requires } from '../http/requires.decorator.js';
import { permissionsOf } from '../permissions.js';
import type { Caller } from '../scope.js';
import { GraphqlContext } from './context.js';
import { formatError } from './errors.js';
import { FieldGuard } from './field.guard.js';
import { inScope } from './scope.js';

const caller: Caller = {
  keyId: 'k',
  actor: 'moo_x',
  tenantId: undefined,
  permissions: permissionsOf('admin', true),
};

@Resolver('Thing')
class ThingResolver {
  @Query('undeclared')
  undeclared(): string {
    return 'leaked';
  }

  @Query('declared')
  @Requires('tenants:read')
  declared(): object {
    return inScope({ caller, tenantId: 't', tenantSlug: 't' }, { name: 'thing' });
  }

  @Query('astray')
  @Requires('tenants:read')
  astray(): object {
    return { name: 'of no tenant' };
  }

  @ResolveField('undeclaredLink')
  undeclaredLink(): string {
    return 'leaked';
  }

  @ResolveField('declaredLink')
  @Requires('tenants:read')
  declaredLink(@Parent() thing: { name: string }): string {
    return thing.name;
  }
}

@Module({
  imports: [
    GraphQLModule.forRoot<MercuriusDriverConfig>({
      driver: MercuriusDriver,
      typeDefs: `
        type Query { undeclared: String, declared: Thing, astray: Thing }
        type Thing { name: String, undeclaredLink: String, declaredLink: String }
      `,
      fieldResolverEnhancers: ['guards'],
      routes: false,
      errorFormatter: ({ data, errors }) => ({
        statusCode: 200,
        response: {
          data: data ?? null,
          errors: errors.map((error) => formatError(error, silentLogger(), '')) as never,
        },
      }),
    }),
  ],
  providers: [ThingResolver, { provide: APP_GUARD, useClass: FieldGuard }],
})
class ThingModule {}

describe('the guard of GraphQL fields', () => {
  let app: NestFastifyApplication;
  beforeAll(async () => {
    app = await NestFactory.create<NestFastifyApplication>(ThingModule, new FastifyAdapter(), {
      logger: false,
    });
    await app.init();
  });
  afterAll(() => app.close());

  async function run(
    query: string,
    context: object,
  ): Promise<{ data: unknown; messages: (string | undefined)[] }> {
    const fastify: FastifyInstance = app.getHttpAdapter().getInstance();
    const { data, errors } = await fastify.graphql(query, context as Record<string, unknown>);
    return { data, messages: (errors ?? []).map(({ message }) => message) };
  }

  const request = () =>
    new GraphqlContext({} as never, undefined, caller, undefined, {} as never, {} as never);

  it('lets through what declares a permission that the caller has', async () => {
    const answer = await run('{ declared { name declaredLink } }', request());
    expect(answer).toEqual({ data: { declared: { name: 'thing', declaredLink: 'thing' } }, messages: [] });
  });

  it('closes a root field that declares no permission, to the platform too', async () => {
    expect(await run('{ undeclared }', request())).toEqual({
      data: { undeclared: null },
      messages: ['This field is not offered.'],
    });
  });

  it('closes a link that declares no permission', async () => {
    expect(await run('{ declared { name undeclaredLink } }', request())).toEqual({
      data: { declared: { name: 'thing', undeclaredLink: null } },
      messages: ['This field is not offered.'],
    });
  });

  it('closes the links of a node that belongs to no tenant', async () => {
    const { data, messages } = await run('{ astray { declaredLink } }', request());
    expect([data, messages.length]).toEqual([{ astray: { declaredLink: null } }, 1]);
  });

  it('closes everything where nobody has been let in', async () => {
    const { data, messages } = await run('{ declared { name } }', {});
    expect([data, messages.length]).toEqual([{ declared: null }, 1]);
  });
});
