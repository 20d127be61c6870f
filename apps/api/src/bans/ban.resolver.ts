import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Ban } from '#store';
import type { Changed } from '../changes.js';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldCaller, FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { Caller, TenantScope } from '../scope.js';
import { banQuery, newBan, presentBan } from './ban.schema.js';
import { BanService } from './ban.service.js';

interface ListArguments extends PageArguments {
  readonly kind?: string | null;
}

interface NewBanArgument {
  readonly kind: string;
}

@Resolver('Ban')
export class BanResolver {
  constructor(@Inject(BanService) private readonly bans: BanService) {}

  @Query('bans')
  @Requires('bans:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: ListArguments) {
    return connectionOf(await this.bans.list(scope, listing(args)), present);
  }

  @Query('ban')
  @Requires('bans:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return present(await this.bans.get(scope, idOf(id)));
  }

  @Mutation('createBan')
  @Requires('bans:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: NewBanArgument) {
    return payload(await this.bans.create(scope, inputOf(input)));
  }

  @Mutation('liftBan')
  @Requires('bans:write')
  async lift(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    await this.bans.lift(scope, idOf(id));
    return { id };
  }

  // ------------------------------------------------------------------------------------------------------ the platform's

  @Query('platformBans')
  @Requires('platform-bans:read')
  async listOfPlatform(@FieldCaller() caller: Caller, @Args() args: ListArguments) {
    return connectionOf(await this.bans.list({ caller }, listing(args)), present);
  }

  @Query('platformBan')
  @Requires('platform-bans:read')
  async getOfPlatform(@FieldCaller() caller: Caller, @Args('id') id: string) {
    return present(await this.bans.get({ caller }, idOf(id)));
  }

  @Mutation('createPlatformBan')
  @Requires('platform-bans:write')
  async createOfPlatform(@FieldCaller() caller: Caller, @Args('input') input: NewBanArgument) {
    return payload(await this.bans.create({ caller }, inputOf(input)));
  }

  @Mutation('liftPlatformBan')
  @Requires('platform-bans:write')
  async liftOfPlatform(@FieldCaller() caller: Caller, @Args('id') id: string) {
    await this.bans.lift({ caller }, idOf(id));
    return { id };
  }
}

/** GraphQL's names have no hyphen. */
const restKind = (kind: string): string => kind.replace('_', '-');

function listing(args: ListArguments) {
  const kind = args.kind ? restKind(args.kind) : undefined;
  return { ...checkArguments(banQuery, { kind }), ...pageRequest(args) };
}

function inputOf(input: NewBanArgument) {
  return checkArguments(newBan, { ...input, kind: restKind(input.kind) });
}

function present(ban: Ban) {
  const view = presentBan(ban);
  return { ...view, kind: view.kind.replace('-', '_') };
}

function payload({ value, operation }: Changed<Ban>) {
  return { ban: present(value), operation: operationId(operation) };
}
