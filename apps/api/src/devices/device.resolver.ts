import { Inject } from '@nestjs/common';
import { Args, Context, Mutation, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Device } from '#store';
import { presentCredential } from '../credentials/credential.schema.js';
import {
  checkArguments,
  checkPatch,
  connectionOf,
  pageRequest,
  withoutNulls,
  type DeleteArguments,
  type PageArguments,
  type UpdateArguments,
} from '../graphql/connection.js';
import type { GraphqlContext } from '../graphql/context.js';
import { idOf, operationId } from '../graphql/ids.js';
import { FieldScope, inScope, scopeOfNode } from '../graphql/scope.js';
import { presentGroup } from '../groups/group.schema.js';
import { Requires } from '../http/requires.decorator.js';
import { presentPresence } from '../presence/presence.schema.js';
import { presentProfile } from '../profiles/profile.schema.js';
import type { TenantScope } from '../scope.js';
import { presentTelemetry } from '../telemetry/telemetry.schema.js';
import { readList } from './bulk.js';
import { BulkService } from './bulk.service.js';
import { devicePatch, deviceQuery, newDevice, presentDevice, presentError } from './device.schema.js';
import { DeviceService } from './device.service.js';

interface DeviceArguments extends PageArguments {
  readonly name?: string | null;
  readonly namePrefix?: string | null;
  readonly profile?: string | null;
  readonly group?: string | null;
  readonly status?: string | null;
}

@Resolver('Device')
export class DeviceResolver {
  constructor(
    @Inject(DeviceService) private readonly devices: DeviceService,
    @Inject(BulkService) private readonly bulk: BulkService,
  ) {}

  @Query('devices')
  @Requires('devices:read')
  async list(@FieldScope() scope: TenantScope, @Args() args: DeviceArguments) {
    const { name, namePrefix, profile, group, status } = args;
    const filter = checkArguments(deviceQuery, { name, namePrefix, profile, group, status });
    const page = await this.devices.list(scope, { ...filter, ...pageRequest(args) });
    return connectionOf(page, (row) => deviceNode(scope, row));
  }

  @Query('device')
  @Requires('devices:read')
  async get(@FieldScope() scope: TenantScope, @Args('id') id: string) {
    return deviceNode(scope, await this.devices.get(scope, idOf(id)));
  }

  // ----------------------------------------------------------------------------------------------------------- links

  @ResolveField('profile')
  @Requires('profiles:read')
  async profile(@Parent() device: DeviceNode, @Context() context: GraphqlContext) {
    const profile = await context.loadersOf(scopeOfNode(device)).profile.load(device.profileId);
    return profile && presentProfile(profile);
  }

  @ResolveField('groups')
  @Requires('groups:read')
  async groups(@Parent() device: DeviceNode, @Context() context: GraphqlContext) {
    const { group } = context.loadersOf(scopeOfNode(device));
    const groups = await Promise.all(device.groupIds.map((id) => group.load(id)));
    return groups.filter((row) => row !== undefined).map(presentGroup);
  }

  @ResolveField('credentials')
  @Requires('credentials:read')
  async credentials(@Parent() device: DeviceNode, @Context() context: GraphqlContext) {
    const scope = scopeOfNode(device);
    const credentials = await context.loadersOf(scope).credentials.load(device.id);
    return credentials.map((row) => presentCredential(row, scope.tenantSlug));
  }

  @ResolveField('presence')
  @Requires('presence:read')
  async presence(@Parent() device: DeviceNode, @Context() context: GraphqlContext) {
    const scope = scopeOfNode(device);
    const clients = await context.loadersOf(scope).presence.load(device.id);
    return clients.map((row) => inScope(scope, presentPresence(row)));
  }

  @ResolveField('latestTelemetry')
  @Requires('telemetry:read')
  async latestTelemetry(@Parent() device: DeviceNode, @Context() context: GraphqlContext) {
    const reading = await context.loadersOf(scopeOfNode(device)).latestTelemetry.load(device.id);
    return reading && presentTelemetry(reading);
  }

  // ------------------------------------------------------------------------------------------------------- mutations

  @Mutation('createDevice')
  @Requires('devices:write')
  async create(@FieldScope() scope: TenantScope, @Args('input') input: object) {
    return deviceNode(scope, await this.devices.create(scope, checkArguments(newDevice, input)));
  }

  @Mutation('createDevices')
  @Requires('devices:write')
  async createMany(
    @FieldScope() scope: TenantScope,
    @Args('devices') devices: readonly object[],
    @Args('dryRun') dryRun: boolean | null,
  ) {
    const rows = readList(devices.map(withoutNulls).map(withPlainCredentials));
    const { operation, ...result } = await this.bulk.createMany(scope, rows, dryRun === true);
    return {
      ...result,
      operation: operation === undefined ? null : operationId(operation),
      rows: result.rows.map(({ credentials, errors, ...row }) => ({
        ...row,
        credentials: credentials?.map(({ credential, password }) => ({
          credential: presentCredential(credential, scope.tenantSlug),
          password: password ?? null,
        })),
        errors: errors?.map(presentError),
      })),
    };
  }

  @Mutation('updateDevice')
  @Requires('devices:write')
  async update(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion, patch }: UpdateArguments) {
    const input = checkPatch(devicePatch, patch);
    const { value, operation } = await this.devices.update(scope, idOf(id), expectedVersion, input);
    return { device: deviceNode(scope, value), operation: operationId(operation) };
  }

  @Mutation('deleteDevice')
  @Requires('devices:write')
  async delete(@FieldScope() scope: TenantScope, @Args() { id, expectedVersion }: DeleteArguments) {
    const { number } = await this.devices.delete(scope, idOf(id), expectedVersion);
    return { id, operation: operationId(number) };
  }
}

type DeviceNode = ReturnType<typeof presentDevice>;

function deviceNode(scope: TenantScope, row: Device): DeviceNode {
  return inScope(scope, presentDevice(row));
}

/** Of its credentials, too, null says as much as nothing. */
function withPlainCredentials(device: object): object {
  if (!('credentials' in device) || !Array.isArray(device.credentials)) return device;
  return { ...device, credentials: device.credentials.map((one: object) => withoutNulls(one)) };
}
