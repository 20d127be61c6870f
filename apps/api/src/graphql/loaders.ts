import DataLoader from 'dataloader';
import {
  credentialsOfDevices,
  findActiveVersions,
  findDevices,
  findGroups,
  findProfiles,
  latestTelemetry,
  presenceOfDevices,
  type ControlStore,
  type Credential,
  type Device,
  type Group,
  type Policy,
  type PolicyVersion,
  type Presence,
  type Profile,
  type TelemetryRow,
  type TenantTx,
} from '#store';

const maxPresenceShown = 20;

/** One query for each kind of link, whatever the size of the page. They live as long as the request, so they are never stale. */
export class TenantLoaders {
  readonly device: DataLoader<string, Device | undefined>;
  readonly profile: DataLoader<string, Profile | undefined>;
  readonly group: DataLoader<string, Group | undefined>;
  readonly credentials: DataLoader<string, Credential[]>;
  readonly presence: DataLoader<string, Presence[]>;
  readonly latestTelemetry: DataLoader<string, TelemetryRow | undefined>;
  readonly activeVersion: DataLoader<Pick<Policy, 'id' | 'activeVersion'>, PolicyVersion | undefined, string>;

  constructor(store: ControlStore, tenantId: string) {
    const read = <T>(work: (tx: TenantTx) => Promise<T>): Promise<T> => store.tenant(tenantId, work);
    const one = <T>(
      find: (tx: TenantTx, ids: readonly string[]) => Promise<T[]>,
      keyOf: (row: T) => string,
    ) =>
      new DataLoader<string, T | undefined>(async (ids) => {
        const rows = new Map((await read((tx) => find(tx, ids))).map((row) => [keyOf(row), row]));
        return ids.map((id) => rows.get(id));
      });
    const many = <T>(
      find: (tx: TenantTx, ids: readonly string[]) => Promise<T[]>,
      keyOf: (row: T) => string,
    ) =>
      new DataLoader<string, T[]>(async (ids) => {
        const rows = Map.groupBy(await read((tx) => find(tx, ids)), keyOf);
        return ids.map((id) => rows.get(id) ?? []);
      });

    this.device = one(findDevices, (row) => row.id);
    this.profile = one(findProfiles, (row) => row.id);
    this.group = one(findGroups, (row) => row.id);
    this.credentials = many(credentialsOfDevices, (row) => row.deviceId);
    this.presence = many(
      (tx, ids) => presenceOfDevices(tx, ids, maxPresenceShown),
      (row) => row.deviceId,
    );
    this.latestTelemetry = one(latestTelemetry, (row) => row.deviceId);
    this.activeVersion = new DataLoader(
      async (policies) => {
        const found = await read((tx) => findActiveVersions(tx, policies));
        const versions = new Map(found.map((version) => [version.policyId, version]));
        return policies.map((policy) => versions.get(policy.id));
      },
      { cacheKeyFn: (policy) => policy.id },
    );
  }
}
