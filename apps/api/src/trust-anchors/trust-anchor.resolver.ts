import { Inject } from '@nestjs/common';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  type DeleteArguments,
  type PageArguments,
  type UpdateArguments,
} from '../graphql/connection.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import {
  encodedList,
  newRevocationList,
  newTrustAnchor,
  possessionProof,
  presentTrustAnchor,
  trustAnchorPatch,
} from './trust-anchor.schema.js';
import { TrustAnchorService } from './trust-anchor.service.js';

@Resolver('TrustAnchor')
export class TrustAnchorResolver {
  constructor(@Inject(TrustAnchorService) private readonly anchors: TrustAnchorService) {}

  @Query('trustAnchors')
  @Requires('trust-anchors:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: PageArguments) {
    return connectionOf(await this.anchors.list(scope, pageRequest(args)), presentTrustAnchor);
  }

  @Query('trustAnchor')
  @Requires('trust-anchors:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return presentTrustAnchor(await this.anchors.get(scope, idOf(id)));
  }

  @Mutation('createTrustAnchor')
  @Requires('trust-anchors:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return presentTrustAnchor(await this.anchors.create(scope, checkArguments(newTrustAnchor, input)));
  }

  @Mutation('proveTrustAnchor')
  @Requires('trust-anchors:write')
  async prove(
    @FieldScope() scope: TenantScope,
    @Args('id') id: string,
    @Args('certificate') certificate: string,
  ) {
    const input = checkArguments(possessionProof, { certificate });
    return presentTrustAnchor(await this.anchors.prove(scope, idOf(id), input));
  }

  @Mutation('updateTrustAnchor')
  @Requires('trust-anchors:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(trustAnchorPatch, patch);
    const { value, operation } = await this.anchors.update(scope, idOf(id), expectedVersion, input);
    return { trustAnchor: presentTrustAnchor(value), operation: operationId(operation) };
  }

  @Mutation('revokeCertificates')
  @Requires('trust-anchors:write')
  async revoke(@FieldScope() scope: TenantScope, @Args('id') id: string, @Args('crl') crl: string) {
    const list = encodedList(checkArguments(newRevocationList, { crl }));
    const { value, operation } = await this.anchors.revoke(scope, idOf(id), list);
    return { trustAnchor: presentTrustAnchor(value), operation: operationId(operation) };
  }

  @Mutation('deleteTrustAnchor')
  @Requires('trust-anchors:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    const operation = await this.anchors.delete(scope, idOf(id), expectedVersion);
    return { id, operation: operationId(operation) };
  }
}
