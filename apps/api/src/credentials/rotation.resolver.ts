import { Inject } from '@nestjs/common';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { checkArguments, connectionOf, pageRequest, type PageArguments } from '../graphql/connection.js';
import { FieldScope } from '../graphql/scope.js';
import { Requires } from '../http/requires.decorator.js';
import type { TenantScope } from '../scope.js';
import { presentRotationRow, rotationQuery, rotationWindow } from './rotation.schema.js';
import { RotationService } from './rotation.service.js';

interface WindowArguments {
  readonly since?: string | null;
  readonly unseenDays?: number | null;
  readonly expiringDays?: number | null;
}

@Resolver()
export class RotationResolver {
  constructor(@Inject(RotationService) private readonly rotation: RotationService) {}

  @Query('credentialRotation')
  @Requires('credentials:read')
  async overview(
    @FieldScope() scope: TenantScope,
    @Args() { since, unseenDays, expiringDays }: WindowArguments,
  ) {
    return this.rotation.overview(scope, checkArguments(rotationWindow, { since, unseenDays, expiringDays }));
  }

  @Query('credentialRotationDevices')
  @Requires('credentials:read')
  async devices(
    @FieldScope() scope: TenantScope,
    @Args()
    {
      since,
      unseenDays,
      expiringDays,
      state,
      ...page
    }: WindowArguments & PageArguments & { readonly state: string },
  ) {
    const asked = { since, unseenDays, expiringDays, state, ...pageRequest(page) };
    const found = await this.rotation.devices(scope, checkArguments(rotationQuery, asked));
    return connectionOf(found, presentRotationRow);
  }
}
