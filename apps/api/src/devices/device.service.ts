import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import {
  clearHistory,
  createDevice,
  deleteDevice,
  findDevice,
  findGroups,
  findProfile,
  findProfilesByName,
  listDevices,
  updateDevice,
  type ChangeProgress,
  type ControlStore,
  type Device,
  type NewDevice,
  type TenantTx,
} from '#store';
import { audit, record, type Changed } from '../changes.js';
import {
  invalidBody,
  notFound,
  requireVersion,
  staleVersion,
  type ExpectedVersion,
  type FieldError,
} from '../failure.js';
import { fieldErrors, parsing } from '../http/schema.pipe.js';
import { Cursors, type Page } from '../http/paging.js';
import { mergeMembers } from '../merge-patch.js';
import { refusingTakenNames } from '../names.js';
import { OperationService } from '../operations/operation.service.js';
import { requireRoomForDevices, requireRoomInGroups } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import {
  attributesOf,
  deviceAttributes,
  type DeviceListing,
  type DevicePatchInput,
  type NewDeviceInput,
} from './device.schema.js';

/** While broker processes that live have not confirmed that a device is gone. */
const betweenClearingsMs = 250;

@Injectable()
export class DeviceService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(OperationService) private readonly operations: OperationService,
  ) {}

  async create(scope: TenantScope, input: NewDeviceInput): Promise<Device> {
    return refusingTakenNames('device', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const profileId = input.profileId ?? (await defaultProfileId(tx));
        await requireReferences(tx, { profileId, groupIds: input.groupIds });
        await requireRoomInGroups(tx, [...new Set(input.groupIds)]);
        await requireRoomForDevices(tx);
        const device = await createDevice(tx, { ...input, profileId });
        await audit(tx, scope, about(device, 'device.create'));
        return device;
      }),
    );
  }

  async list(scope: TenantScope, query: DeviceListing): Promise<Page<Device>> {
    const { name, namePrefix, profile: profileId, group: groupId, status } = query;
    return this.cursors.read(
      `devices ${scope.tenantId}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, (tx) =>
          listDevices(tx, { name, namePrefix, profileId, groupId, status, afterId, limit }),
        ),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<Device> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, id));
  }

  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: DevicePatchInput,
  ): Promise<Changed<Device>> {
    return refusingTakenNames('device', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const current = await existing(tx, id);
        requireVersion(current, expected);
        await requireReferences(tx, patch);
        const joined = (patch.groupIds ?? []).filter((group) => !current.groupIds.includes(group));
        await requireRoomInGroups(tx, [...new Set(joined)]);
        const change = changeOf(current, patch);
        const value = await updateDevice(tx, id, current.version, change);
        if (value === undefined) throw staleVersion();
        const operation = await record(tx, scope, about(value, 'device.update'));
        return { value, operation };
      }),
    );
  }

  /** Ends when no broker process holds a connection or a session of it and its history is gone, or says that this goes on. */
  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<ChangeProgress> {
    const operation = await this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      requireVersion(current, expected);
      if (!(await deleteDevice(tx, id, current.version))) throw staleVersion();
      const subject = { deviceId: id, isDeleted: true };
      return record(tx, scope, { ...about(current, 'device.delete'), subject });
    });
    // Nobody waits for it; where it fails or the api stops, housekeeping goes on with it.
    this.#clear(scope, id, operation).catch(() => undefined);
    return this.operations.settled(scope, operation);
  }

  /** A process writes what it has of the device, its last departure for one, before it confirms: nothing comes after the last of them. */
  async #clear(scope: TenantScope, id: string, operation: bigint): Promise<void> {
    for (let isOver = false; !isOver; await sleep(betweenClearingsMs, undefined, { ref: false })) {
      isOver = (await this.operations.get(scope, operation)).waitingFor.length === 0;
      await clearHistory(this.store, scope.tenantId, id);
    }
  }
}

async function existing(tx: TenantTx, id: string): Promise<Device> {
  const device = await findDevice(tx, id);
  if (device === null) throw notFound();
  return device;
}

function about(device: Device, action: string) {
  const { id, name } = device;
  return { kind: 'device', subject: { deviceId: id }, action, subjectId: id, detail: { name } } as const;
}

function changeOf(current: Device, patch: DevicePatchInput): Partial<NewDevice> {
  const { attributes, addresses, ...rest } = patch;
  const change: Partial<NewDevice> = {
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    ...(addresses === undefined ? {} : { addresses: mergeMembers(asRules(current.addresses), addresses) }),
  };
  if (attributes === undefined) return change;
  // The whole must keep the rules too, e.g. how many there may be.
  const merged = deviceAttributes.safeParse(mergeMembers(attributesOf(current), attributes), parsing);
  if (!merged.success) {
    const errors = fieldErrors(merged.error, 'body').map((error) => ({ ...error, pointer: '#/attributes' }));
    throw invalidBody(...errors);
  }
  return { ...change, attributes: merged.data };
}

function asRules(stored: unknown): Readonly<Record<string, string[]>> {
  return stored as Record<string, string[]>;
}

async function defaultProfileId(tx: TenantTx): Promise<string> {
  const [profile] = await findProfilesByName(tx, ['default']);
  if (profile !== undefined) return profile.id;
  throw invalidBody({
    pointer: '#/profileId',
    code: 'required',
    message: 'There is no profile named default.',
  });
}

async function requireReferences(
  tx: TenantTx,
  {
    profileId,
    groupIds,
  }: { readonly profileId?: string | undefined; readonly groupIds?: readonly string[] | undefined },
): Promise<void> {
  const errors: Omit<FieldError, 'in'>[] = [];
  if (profileId !== undefined && (await findProfile(tx, profileId)) === null) {
    errors.push({ pointer: '#/profileId', code: 'unknown-reference', message: 'There is no such profile.' });
  }
  const known = new Set(groupIds?.length ? (await findGroups(tx, groupIds)).map(({ id }) => id) : []);
  for (const [index, id] of (groupIds ?? []).entries()) {
    if (known.has(id)) continue;
    errors.push({
      pointer: `#/groupIds/${index}`,
      code: 'unknown-reference',
      message: 'There is no such group.',
    });
  }
  if (errors.length > 0) throw invalidBody(...errors);
}
