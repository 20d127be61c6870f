import type { TenantTx } from './control-store.js';
import { defined } from './defined.js';
import { Prisma, type Device as DeviceRow } from '../generated/client.js';
import { revokeCertificatesOf } from './issuing.js';
import { deleteSessions } from './sessions.js';

export interface Device extends DeviceRow {
  readonly groupIds: readonly string[];
}

export interface NewDevice {
  readonly name: string;
  readonly profileId: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly status: string;
  readonly groupIds: readonly string[];
  /** AddressRules of libs/access; undefined: as its tenant's. */
  readonly addresses?: Prisma.InputJsonObject | undefined;
}

export interface DeviceFilter {
  readonly name?: string | undefined;
  readonly namePrefix?: string | undefined;
  readonly profileId?: string | undefined;
  readonly groupId?: string | undefined;
  readonly status?: string | undefined;
}

const withGroups = {
  groups: { select: { groupId: true }, orderBy: { groupId: 'asc' } },
} satisfies Prisma.DeviceInclude;
type RowWithGroups = DeviceRow & { groups: { groupId: string }[] };

function toDevice({ groups, ...row }: RowWithGroups): Device {
  return { ...row, groupIds: groups.map(({ groupId }) => groupId) };
}

/** A taken name breaks `devices_tenant_id_name_key`; groups and profile must be there. */
export async function createDevice(tx: TenantTx, device: NewDevice): Promise<Device> {
  const { groupIds, ...columns } = device;
  const { id } = await tx.db.device.create({
    data: { tenantId: tx.tenantId, ...columns, addresses: columns.addresses ?? {} },
    select: { id: true },
  });
  await joinGroups(tx, id, groupIds);
  return mustFindDevice(tx, id);
}

/**
 * All in one statement, whose only parameter is one JSON text: ten thousand rows of parameters of their own took Prisma longer than a
 * transaction may on a busy machine. The names that were taken are left out of what is returned.
 */
export async function createDevices(
  { db, tenantId }: TenantTx,
  devices: readonly NewDevice[],
): Promise<{ readonly id: string; readonly name: string }[]> {
  const created = await db.$queryRaw<{ id: string; name: string }[]>`
    INSERT INTO devices (tenant_id, name, profile_id, attributes, status)
    SELECT ${tenantId}::uuid, d.name, d."profileId", d.attributes, d.status
      FROM jsonb_to_recordset(${JSON.stringify(devices)}::jsonb)
        AS d (name text, "profileId" uuid, attributes jsonb, status text)
    ON CONFLICT DO NOTHING RETURNING id::text, name`;
  const idOf = new Map(created.map(({ id, name }) => [name, id]));
  const memberships = devices.flatMap(({ name, groupIds }) => {
    const deviceId = idOf.get(name);
    return deviceId === undefined ? [] : groupIds.map((groupId) => ({ groupId, deviceId }));
  });
  if (memberships.length > 0)
    await db.$executeRaw`
      INSERT INTO group_members (tenant_id, group_id, device_id)
      SELECT ${tenantId}::uuid, m."groupId", m."deviceId"
        FROM jsonb_to_recordset(${JSON.stringify(memberships)}::jsonb) AS m ("groupId" uuid, "deviceId" uuid)
      ON CONFLICT DO NOTHING`;
  return created;
}

export async function takenDeviceNames(tx: TenantTx, names: readonly string[]): Promise<Set<string>> {
  const rows = await tx.db.device.findMany({
    where: { tenantId: tx.tenantId, name: { in: [...names] } },
    select: { name: true },
  });
  return new Set(rows.map(({ name }) => name));
}

export async function findDevice(tx: TenantTx, id: string): Promise<Device | null> {
  const row = await tx.db.device.findUnique({
    where: { tenantId_id: { tenantId: tx.tenantId, id } },
    include: withGroups,
  });
  return row === null ? null : toDevice(row);
}

/** Oldest first. */
export async function listDevices(
  tx: TenantTx,
  query: DeviceFilter & { readonly afterId: string | undefined; readonly limit: number },
): Promise<Device[]> {
  const { name, namePrefix, profileId, groupId, status, afterId, limit } = query;
  const rows = await tx.db.device.findMany({
    where: {
      tenantId: tx.tenantId,
      ...defined({ profileId, status }),
      name: defined({
        equals: name,
        startsWith: namePrefix === undefined ? undefined : literally(namePrefix),
      }),
      ...(groupId === undefined ? {} : { groups: { some: { groupId } } }),
      ...(afterId === undefined ? {} : { id: { gt: afterId } }),
    },
    include: withGroups,
    orderBy: { id: 'asc' },
    take: limit,
  });
  return rows.map(toDevice);
}

/** For a DataLoader: in any order, those that are there. */
export async function findDevices(tx: TenantTx, ids: readonly string[]): Promise<Device[]> {
  const rows = await tx.db.device.findMany({
    where: { tenantId: tx.tenantId, id: { in: [...ids] } },
    include: withGroups,
  });
  return rows.map(toDevice);
}

/** Undefined: the row is not there in that version any more. */
export async function updateDevice(
  tx: TenantTx,
  id: string,
  version: number,
  change: Partial<NewDevice>,
): Promise<Device | undefined> {
  const { groupIds, ...columns } = change;
  const updated = await tx.db.device.updateMany({
    where: { tenantId: tx.tenantId, id, version },
    data: { ...defined(columns), version: { increment: 1 }, updatedAt: new Date() },
  });
  if (updated.count === 0) return undefined;
  if (groupIds !== undefined) {
    await tx.db.groupMember.deleteMany({
      where: { tenantId: tx.tenantId, deviceId: id, groupId: { notIn: [...groupIds] } },
    });
    await joinGroups(tx, id, groupIds);
  }
  return mustFindDevice(tx, id);
}

/**
 * The device and what it left: credentials, memberships and bindings go with the row; what the broker wrote about it goes here, so
 * that a device of the same name, or a client of the same identifier, finds nothing of it. Readings and history, which nothing leads
 * to any more, may be millions of rows: they are for `clearHistory`. False: the device is not there in that version any more, and the
 * transaction must not be committed.
 */
export async function deleteDevice(tx: TenantTx, id: string, version: number): Promise<boolean> {
  const { db, tenantId } = tx;
  // An identifier that it once had may be another device's by now: of the sessions only those that are the device's.
  await deleteSessions(tx, [id]);
  await db.$executeRaw`DELETE FROM wills WHERE tenant_id = ${tenantId}::uuid AND principal ->> 'deviceId' = ${id}`;
  await db.devicePresence.deleteMany({ where: { tenantId, deviceId: id } });
  await db.presence.deleteMany({ where: { tenantId, deviceId: id } });
  await db.denial.deleteMany({ where: { tenantId, deviceId: id } });
  await db.observedTopic.deleteMany({ where: { tenantId, deviceId: id } });
  await revokeCertificatesOf(tx, id);
  const deleted = await db.device.deleteMany({ where: { tenantId, id, version } });
  return deleted.count > 0;
}

async function joinGroups(tx: TenantTx, deviceId: string, groupIds: readonly string[]): Promise<void> {
  if (groupIds.length === 0) return;
  await tx.db.groupMember.createMany({
    data: groupIds.map((groupId) => ({ tenantId: tx.tenantId, groupId, deviceId })),
    skipDuplicates: true,
  });
}

async function mustFindDevice(tx: TenantTx, id: string): Promise<Device> {
  const device = await findDevice(tx, id);
  if (device === null) throw new Error('a device vanished within the transaction that wrote it');
  return device;
}

/** Prisma hands a prefix to LIKE as it is. */
function literally(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&');
}
