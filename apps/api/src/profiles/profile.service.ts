import { Inject, Injectable } from '@nestjs/common';
import {
  createProfile,
  deleteProfile,
  findProfile,
  listProfiles,
  StoreError,
  updateProfile,
  type ControlStore,
  type Profile,
} from '#store';
import { audit, record, type Changed } from '../changes.js';
import { Failure, notFound, requireVersion, staleVersion, type ExpectedVersion } from '../failure.js';
import { Cursors, type Page, type PageRequest } from '../http/paging.js';
import { refusingTakenNames } from '../names.js';
import { requireRoom } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../injection-tokens.js';
import { plainRules } from './telemetry-rules.js';
import type { NewProfileInput, ProfilePatchInput } from './profile.schema.js';

@Injectable()
export class ProfileService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  async create(scope: TenantScope, input: NewProfileInput): Promise<Profile> {
    return refusingTakenNames('profile', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        await requireRoom(tx, 'profiles');
        const profile = await createProfile(tx, { name: input.name, telemetry: plainRules(input.telemetry) });
        await audit(tx, scope, about(profile.id, 'profile.create', { name: profile.name }));
        return profile;
      }),
    );
  }

  async list(scope: TenantScope, query: PageRequest): Promise<Page<Profile>> {
    return this.cursors.read(
      `profiles ${scope.tenantId}`,
      query,
      ([afterId], limit) => this.store.tenant(scope.tenantId, (tx) => listProfiles(tx, { afterId, limit })),
      (row) => [row.id],
    );
  }

  async get(scope: TenantScope, id: string): Promise<Profile> {
    const row = await this.store.tenant(scope.tenantId, (tx) => findProfile(tx, id));
    if (row === null) throw notFound();
    return row;
  }

  async update(
    scope: TenantScope,
    id: string,
    expected: ExpectedVersion,
    patch: ProfilePatchInput,
  ): Promise<Changed<Profile>> {
    return refusingTakenNames('profile', () =>
      this.store.tenant(scope.tenantId, async (tx) => {
        const current = await findProfile(tx, id);
        if (current === null) throw notFound();
        requireVersion(current, expected);
        const value = await updateProfile(tx, id, current.version, {
          ...(patch.name === undefined ? {} : { name: patch.name }),
          ...(patch.telemetry === undefined ? {} : { telemetry: plainRules(patch.telemetry) }),
        });
        if (value === undefined) throw staleVersion();
        const operation = await record(tx, scope, about(id, 'profile.update', { name: value.name }));
        return { value, operation };
      }),
    );
  }

  async delete(scope: TenantScope, id: string, expected: ExpectedVersion): Promise<bigint> {
    try {
      return await this.store.tenant(scope.tenantId, async (tx) => {
        const current = await findProfile(tx, id);
        if (current === null) throw notFound();
        requireVersion(current, expected);
        if (!(await deleteProfile(tx, id, current.version))) throw staleVersion();
        return record(tx, scope, about(id, 'profile.delete', { name: current.name }));
      });
    } catch (error) {
      if (error instanceof StoreError && error.code === 'store.reference') {
        throw new Failure('in-use', 'There are devices of this profile: give them another one first.');
      }
      throw error;
    }
  }
}

function about(profileId: string, action: string, detail: { name: string }) {
  return { kind: 'profile', subject: { profileId }, action, subjectId: profileId, detail } as const;
}
