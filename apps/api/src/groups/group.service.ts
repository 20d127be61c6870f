import { Inject, Injectable } from '@nestjs/common';
import {
  addGroupMember,
  createGroup,
  deleteGroup,
  findDevice,
  findGroup,
  listDevices,
  listGroups,
  removeGroupMember,
  renameGroup,
  type ControlStore,
  type Device,
  type Group,
  type TenantTx,
} from '#store';
import { audit, record } from '../changes.js';
import { notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { refusingTakenNames } from '../names.js';
import { requireRoom, requireRoomInGroups } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import type { GroupPatchInput, NewGroupInput } from './group.schema.js';

@Injectable()
export class GroupService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, input: NewGroupInput): Promise<Group> {
    return refusingTakenNames('group', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'groups');
        const group = await createGroup(tx, input.name);
        await audit(tx, scope, about(group, 'group.create'));
        return group;
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<Group>> {
    return this.cursors.read(
      `groups ${scope.tenantId}`,
      query,
      ([afterId], limit) => this.store.tenant(scope.tenantId, (tx) => listGroups(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<Group> {
    return this.store.tenant(scope.tenantId, (tx) => existing(tx, id));
  }

  /** Policies name a group by its id: a new name changes nobody's rights. */
  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: GroupPatchInput,
  ): Promise<Group> {
    return refusingTakenNames('group', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const current = await existing(tx, id);
        requireVersion(current, expected);
        const group = await renameGroup(tx, id, current.version, patch.name ?? current.name);
        if (group === undefined) throw staleVersion();
        await audit(tx, scope, about(group, 'group.update'));
        return group;
      }),
    );
  }

  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const current = await existing(tx, id);
      requireVersion(current, expected);
      if (!(await deleteGroup(tx, id, current.version))) throw staleVersion();
      return record(tx, scope, about(current, 'group.delete'));
    });
  }

  async listMembers(scope: TenantScope, id: string, query: PageRequest): Promise<Page<Device>> {
    return this.cursors.read(
      `members ${scope.tenantId} ${id}`,
      query,
      ([afterId], limit) =>
        this.store.tenant(scope.tenantId, async (tx) => {
          await existing(tx, id);
          return listDevices(tx, { groupId: id, afterId, limit });
        }),
      (row) => [row.id],
    );
  }

  /** Undefined: it was a member already, and nothing has changed. */
  async addMember(scope: TenantScope, id: string, deviceId: string): Promise<bigint | undefined> {
    return this.changeMember(scope, id, deviceId, 'group.add-member', async (tx, groupId, device) => {
      if (device.groupIds.includes(groupId)) return false;
      await requireRoomInGroups(tx, [groupId]);
      return addGroupMember(tx, groupId, device.id);
    });
  }

  /** Undefined: it was no member, and nothing has changed. */
  async removeMember(scope: TenantScope, id: string, deviceId: string): Promise<bigint | undefined> {
    return this.changeMember(scope, id, deviceId, 'group.remove-member', (tx, groupId, device) =>
      removeGroupMember(tx, groupId, device.id),
    );
  }

  private async changeMember(
    scope: TenantScope,
    groupId: string,
    deviceId: string,
    action: string,
    change: (tx: TenantTx, groupId: string, device: Device) => Promise<boolean>,
  ): Promise<bigint | undefined> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const group = await existing(tx, groupId);
      const device = await findDevice(tx, deviceId);
      if (device === null) throw notFound();
      if (!(await change(tx, groupId, device))) return undefined;
      // It concerns this one device's connections.
      const detail = { group: group.name, groupId, device: device.name };
      return record(tx, scope, {
        kind: 'device',
        subject: { deviceId },
        action,
        subjectId: deviceId,
        detail,
      });
    });
  }
}

async function existing(tx: TenantTx, id: string): Promise<Group> {
  const group = await findGroup(tx, id);
  if (group === null) throw notFound();
  return group;
}

function about(group: Group, action: string) {
  const { id, name } = group;
  return { kind: 'group', subject: { groupId: id }, action, subjectId: id, detail: { name } } as const;
}
