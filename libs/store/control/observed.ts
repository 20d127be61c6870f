/** What the broker has observed, from the api's side. */
import type { Principal } from '#mqtt';
import type { TenantTx } from './control-store.js';
import { Prisma } from '../generated/client.js';
import type { ObservedTopic, RuleUse } from '../generated/client.js';

export type { ObservedTopic, RuleUse };

/** Of one policy, all versions. */
export function usesOfPolicy({ db, tenantId }: TenantTx, policyId: string): Promise<RuleUse[]> {
  return db.ruleUse.findMany({ where: { tenantId, policyId } });
}

/** Of these devices, used last first. */
export function observedTopics(
  { db, tenantId }: TenantTx,
  deviceIds: readonly string[],
  since: Date,
  limit: number,
): Promise<ObservedTopic[]> {
  return db.observedTopic.findMany({
    where: { tenantId, deviceId: { in: [...deviceIds] }, lastAt: { gte: since } },
    orderBy: [{ lastAt: 'desc' }, { deviceId: 'asc' }, { action: 'asc' }, { topic: 'asc' }],
    take: limit,
  });
}

/** What a device did, with its name. */
export interface DeedOfDevice {
  readonly deviceId: string;
  readonly device: string;
  readonly action: string;
  readonly clientId: string;
  readonly username: string;
  readonly topic: string;
}

/** Of all devices of a profile, by device, action and topic: what comes after a place, from the beginning where there is none. */
export function deedsOfProfile(
  { db, tenantId }: TenantTx,
  profileId: string,
  since: Date,
  after: Pick<DeedOfDevice, 'deviceId' | 'action' | 'topic'> | undefined,
  limit: number,
): Promise<DeedOfDevice[]> {
  const onward =
    after === undefined
      ? Prisma.empty
      : Prisma.sql`AND (o.device_id, o.action, o.topic) > (${after.deviceId}::uuid, ${after.action}, ${after.topic})`;
  return db.$queryRaw`
    SELECT o.device_id AS "deviceId", d.name AS device, o.action, o.client_id AS "clientId", o.username, o.topic
      FROM devices d JOIN observed_topics o ON o.tenant_id = d.tenant_id AND o.device_id = d.id
     WHERE d.tenant_id = ${tenantId}::uuid AND d.profile_id = ${profileId}::uuid AND o.last_at >= ${since} ${onward}
     ORDER BY o.device_id, o.action, o.topic LIMIT ${limit}`;
}

/** Once for each device, however many deeds it has. */
export async function attributesOfDevices(
  { db, tenantId }: TenantTx,
  deviceIds: readonly string[],
): Promise<Map<string, Prisma.JsonValue>> {
  const rows = await db.device.findMany({
    where: { tenantId, id: { in: [...deviceIds] } },
    select: { id: true, attributes: true },
  });
  return new Map(rows.map(({ id, attributes }) => [id, attributes]));
}

/** Devices that a policy is bound to, by whatever it is bound to; by id, those after the given one. */
export function devicesOfPolicy(
  { db, tenantId }: TenantTx,
  policyId: string,
  afterId: string | undefined,
  limit: number,
): Promise<{ id: string }[]> {
  const onward = afterId === undefined ? Prisma.empty : Prisma.sql`AND d.id > ${afterId}::uuid`;
  return db.$queryRaw`
    SELECT d.id FROM devices d WHERE ${isBoundTo(tenantId, policyId)} ${onward} ORDER BY d.id LIMIT ${limit}`;
}

export async function countDevicesOfPolicy(
  { db, tenantId }: TenantTx,
  policyId: string,
  afterId: string,
): Promise<number> {
  const rows = await db.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM devices d WHERE ${isBoundTo(tenantId, policyId)} AND d.id > ${afterId}::uuid`;
  return rows[0]?.count ?? 0;
}

function isBoundTo(tenantId: string, policyId: string): Prisma.Sql {
  return Prisma.sql`d.tenant_id = ${tenantId}::uuid AND EXISTS (
       SELECT FROM policy_bindings b WHERE b.tenant_id = d.tenant_id AND b.policy_id = ${policyId}::uuid AND (
         (b.target_kind = 'tenant' AND b.target_id = d.tenant_id)
         OR (b.target_kind = 'device' AND b.target_id = d.id)
         OR (b.target_kind = 'profile' AND b.target_id = d.profile_id)
         OR (b.target_kind = 'group' AND EXISTS (SELECT FROM group_members m
              WHERE m.tenant_id = d.tenant_id AND m.group_id = b.target_id AND m.device_id = d.id))))`;
}

export interface HeldSubscription {
  readonly deviceId: string;
  readonly clientId: string;
  readonly filter: string;
  readonly isConnected: boolean;
  /** Who its client is, or was when it left; empty where nobody knows. */
  readonly principal: Partial<Principal>;
}

/** What durable sessions of these devices are subscribed to. */
export function subscriptionsOfDevices(
  { db, tenantId }: TenantTx,
  deviceIds: readonly string[],
  limit: number,
): Promise<HeldSubscription[]> {
  if (deviceIds.length === 0) return Promise.resolve([]);
  return db.$queryRaw`
    SELECT s.device_id AS "deviceId", s.client_id AS "clientId", u.filter,
           s.process_id IS NOT NULL AS "isConnected", s.principal
      FROM sessions s JOIN subscriptions u ON u.tenant_id = s.tenant_id AND u.client_id = s.client_id
     WHERE s.tenant_id = ${tenantId}::uuid AND s.device_id IN (${Prisma.join(deviceIds.map((id) => Prisma.sql`${id}::uuid`))})
     ORDER BY s.client_id, u.filter LIMIT ${limit}`;
}
