import { Inject, Injectable } from '@nestjs/common';
import {
  createCredentials,
  createDevices,
  findGroupsByName,
  findNeeded,
  findProfilesByName,
  isUniqueViolation,
  recordChange,
  takenDeviceNames,
  type ControlStore,
  type Credential,
  type NewDevice,
  type TenantTx,
} from '#store';
import { audit, type Deed } from '../changes.js';
import type { IssuedCredential, NewCredentialInput } from '../credentials/credential.schema.js';
import { randomAuthId } from '../credentials/credential.service.js';
import { readMaterial, type MakeMaterial, type Material } from '../credentials/material.js';
import { Failure, type FieldError } from '../failure.js';
import { exceededDevices, requireRoomForDevices, requireRoomInGroups } from '../quotas.js';
import type { TenantScope } from '../scope.js';
import { SECRET_KEY, STORE } from '../injection-tokens.js';
import type { BulkRow } from './bulk.js';

export interface BulkOutcome {
  readonly row: number;
  readonly name: string | null;
  /** In a dry run: what it would be. */
  readonly outcome: 'created' | 'refused';
  readonly id?: string;
  readonly credentials?: readonly IssuedCredential[];
  readonly errors?: readonly FieldError[];
}

export interface BulkResult {
  readonly dryRun: boolean;
  readonly created: number;
  readonly refused: number;
  readonly rows: readonly BulkOutcome[];
  /** Where certificates were pinned, which may have been somebody's by their names. */
  readonly operation: bigint | undefined;
}

/** Secrets, by the credentials they are of. Undefined: what would be created is judged, and nothing is. */
type Materials = ReadonlyMap<Wanted, Material> | undefined;

/** Somebody else may take an authId or a certificate between the look and the write: it is found taken the next time. */
const attempts = 3;

/**
 * Many devices, with their credentials or without. Each row is taken or refused by itself, as a whole; those that are taken are created
 * together. Where a group has no room for all that would join it, or the tenant for all of them, nothing is.
 */
@Injectable()
export class BulkService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
  ) {}

  async createMany(scope: TenantScope, rows: readonly BulkRow[], dryRun: boolean): Promise<BulkResult> {
    const read = rows.map((row) => readCredentials(scope, row));
    const wanted = read.flatMap((row) => ('credentials' in row ? row.credentials : []));
    if (wanted.length > 0 && !scope.caller.permissions.has('credentials:write'))
      throw new Failure('forbidden', 'This key may not make credentials.');
    if (dryRun) return resultOf(await this.#pass(scope, read, undefined), dryRun);
    if (wanted.length === 0) return resultOf(await this.#pass(scope, read, new Map()), dryRun);
    // Secrets are hashed for nobody who is refused, and in no transaction: it takes seconds.
    const { outcomes } = await this.#pass(scope, read, undefined);
    const refused = outcomes.filter(({ outcome }) => outcome === 'refused');
    const numbers = new Set(refused.map(({ row }) => row));
    const accepted = read.filter(({ row }) => !numbers.has(row));
    if (accepted.length === 0) return resultOf({ outcomes, operation: undefined }, dryRun);
    const materials = await this.#makeMaterials(scope, accepted);
    const done = await this.#create(scope, accepted, materials);
    return resultOf({ ...done, outcomes: [...refused, ...done.outcomes] }, dryRun);
  }

  async #create(scope: TenantScope, rows: readonly ReadRow[], materials: Materials): Promise<Pass> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#pass(scope, rows, materials);
      } catch (error) {
        if (attempt === attempts || !isUniqueViolation(error)) throw error;
      }
    }
  }

  /** Two at a time, so that the next one of somebody else's comes between them. */
  async #makeMaterials({ tenantId }: TenantScope, rows: readonly ReadRow[]): Promise<Map<Wanted, Material>> {
    const materials = new Map<Wanted, Material>();
    const left = rows.flatMap((row) => ('credentials' in row ? row.credentials : [])).values();
    const work = async (): Promise<void> => {
      for (const one of left) materials.set(one, await one.make(this.secretKey, tenantId));
    };
    await Promise.all([work(), work()]);
    return materials;
  }

  async #pass(scope: TenantScope, rows: readonly ReadRow[], materials: Materials): Promise<Pass> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const resolved = await resolveRows(tx, rows);
      await exceededDevices(tx, 0); // counts, so that nobody else's come meanwhile
      const { candidates, refused } = await withoutTaken(tx, resolved);
      await requireRoomInGroups(
        tx,
        candidates.flatMap(({ device }) => [...new Set(device.groupIds)]),
      );
      const created = materials === undefined ? undefined : await insert(tx, candidates, materials);
      const decided = candidates.map((candidate): BulkOutcome => {
        const { row, device } = candidate;
        if (created === undefined) return { row, name: device.name, outcome: 'created' };
        const made = created.get(candidate);
        return made === undefined
          ? refusal(row, device.name, [takenName])
          : { row, name: device.name, outcome: 'created', ...made };
      });
      const count = created?.size ?? decided.length;
      // Those that are inserted are there already. Where there are too many, a list that brings none does no harm.
      if (count > 0) await requireRoomForDevices(tx, created === undefined ? count : 0);
      const operation =
        created === undefined || count === 0 ? undefined : await record(tx, scope, [...created.values()]);
      return { outcomes: [...refused, ...decided], operation };
    });
  }
}

interface Pass {
  readonly outcomes: readonly BulkOutcome[];
  readonly operation: bigint | undefined;
}

function resultOf({ outcomes, operation }: Pass, dryRun: boolean): BulkResult {
  const rows = outcomes.toSorted((a, b) => a.row - b.row);
  const created = rows.filter(({ outcome }) => outcome === 'created').length;
  return { dryRun, created, refused: rows.length - created, rows, operation };
}

// ---------------------------------------------------------------------------------------------------- what is wanted

/** A credential, with what it is proven by looked at and not yet made. */
interface Wanted {
  readonly input: NewCredentialInput;
  readonly authId: string;
  /** Of a certificate that it pins, in hexadecimal. */
  readonly fingerprint: string | undefined;
  readonly make: MakeMaterial;
}

type Refused = Extract<BulkRow, { readonly errors: unknown }>;
type ReadRow = Refused | (Exclude<BulkRow, Refused> & { readonly credentials: readonly Wanted[] });

function readCredentials({ tenantSlug }: TenantScope, row: BulkRow): ReadRow {
  if (!('device' in row)) return row;
  const errors: FieldError[] = [];
  const credentials = row.device.credentials.flatMap((input, index): Wanted[] => {
    const authId = input.authId ?? randomAuthId();
    try {
      const { make, fingerprint } = readMaterial(input, [authId, tenantSlug]);
      return [{ input, authId, make, fingerprint }];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      errors.push(
        ...error.errors.map((one) => ({ ...one, pointer: pointerTo(index, one.pointer.slice(2)) })),
      );
      return [];
    }
  });
  return errors.length === 0 ? { ...row, credentials } : { row: row.row, name: row.device.name, errors };
}

interface Candidate {
  readonly row: number;
  readonly device: NewDevice;
  readonly credentials: readonly Wanted[];
}

interface Resolved {
  readonly candidates: readonly Candidate[];
  readonly refused: readonly BulkOutcome[];
}

/** Rows with their profile and groups found, and those that cannot be: malformed, referring to nothing, or the same twice. */
async function resolveRows(tx: TenantTx, rows: readonly ReadRow[]): Promise<Resolved> {
  const devices = rows.flatMap((row) => ('device' in row ? [row.device] : []));
  const profiles = await findProfilesByName(tx, [
    ...new Set(devices.map(({ profile }) => profile ?? 'default')),
  ]);
  const groups = await findGroupsByName(tx, [...new Set(devices.flatMap((device) => device.groups))]);
  const profileIds = new Map(profiles.map(({ name, id }) => [name, id]));
  const groupIds = new Map(groups.map(({ name, id }) => [name, id]));
  const [names, authIds, fingerprints] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const candidates: Candidate[] = [];
  const refused: BulkOutcome[] = [];
  for (const row of rows) {
    if (!('device' in row)) {
      refused.push(refusal(row.row, row.name, row.errors));
      continue;
    }
    const { name, profile = 'default', groups: groupNames, attributes, status } = row.device;
    const profileId = profileIds.get(profile);
    const errors = groupNames.flatMap((group, index) => (groupIds.has(group) ? [] : [unknownGroup(index)]));
    if (profileId === undefined) errors.push(unknownProfile);
    if (isSeen(names, name)) errors.push(repeated('#/name'));
    for (const [index, { authId, fingerprint }] of row.credentials.entries()) {
      if (isSeen(authIds, authId)) errors.push(repeated(pointerTo(index, 'authId')));
      if (isSeen(fingerprints, fingerprint)) errors.push(repeated(pointerToPin(row.credentials, index)));
    }
    if (profileId === undefined || errors.length > 0) {
      refused.push(refusal(row.row, name, errors));
      continue;
    }
    const ids = groupNames.flatMap((group) => groupIds.get(group) ?? []);
    const device = { name, profileId, attributes, status, groupIds: ids };
    candidates.push({ row: row.row, device, credentials: row.credentials });
  }
  return { candidates, refused };
}

/** Notes it, too. */
function isSeen(seen: Set<string>, value: string | undefined): boolean {
  if (value === undefined) return false;
  if (seen.has(value)) return true;
  seen.add(value);
  return false;
}

/** Those are refused whose name, authId or certificate somebody has, or whose anchor or issuer is not there. */
async function withoutTaken(tx: TenantTx, { candidates, refused }: Resolved): Promise<Resolved> {
  const taken = await takenDeviceNames(
    tx,
    candidates.map(({ device }) => device.name),
  );
  const wanted = candidates.flatMap(({ credentials }) => credentials);
  const there =
    wanted.length === 0
      ? undefined
      : await findNeeded(tx, {
          authIds: wanted.map(({ authId }) => authId),
          fingerprints: wanted.flatMap(({ fingerprint }) => fingerprint ?? []),
          anchorIds: wanted.flatMap(({ input }) => input.anchorId ?? []),
          issuerIds: wanted.flatMap(({ input }) => input.issuerId ?? []),
        });
  const left: Candidate[] = [];
  const more: BulkOutcome[] = [];
  for (const candidate of candidates) {
    const { row, device, credentials } = candidate;
    const errors: FieldError[] = taken.has(device.name) ? [takenName] : [];
    for (const [index, { authId, fingerprint, input }] of credentials.entries()) {
      const refuse = (pointer: string, code: string, message: string): unknown =>
        errors.push({ in: 'body', pointer, code, message });
      if (there?.authIds.has(authId))
        refuse(pointerTo(index, 'authId'), 'taken', 'There is a credential of this authId.');
      if (fingerprint !== undefined && there?.fingerprints.has(fingerprint))
        refuse(pointerToPin(credentials, index), 'taken', 'This certificate is pinned already.');
      if (input.anchorId !== undefined && !there?.anchorIds.has(input.anchorId))
        refuse(pointerTo(index, 'anchorId'), 'unknown', 'There is no such trust anchor.');
      if (input.issuerId !== undefined && !there?.issuerIds.has(input.issuerId))
        refuse(pointerTo(index, 'issuerId'), 'unknown', 'There is no such token issuer.');
    }
    if (errors.length === 0) left.push(candidate);
    else more.push(refusal(row, device.name, errors));
  }
  return { candidates: left, refused: [...refused, ...more] };
}

// -------------------------------------------------------------------------------------------------- what is created

interface Made {
  readonly id: string;
  readonly credentials?: readonly IssuedCredential[];
}

/** Those that are there now: a name that was taken meanwhile is left out. */
async function insert(
  tx: TenantTx,
  candidates: readonly Candidate[],
  materials: ReadonlyMap<Wanted, Material>,
): Promise<Map<Candidate, Made>> {
  const created = await createDevices(
    tx,
    candidates.map(({ device }) => device),
  );
  const ids = new Map(created.map(({ id, name }) => [name, id]));
  const rows = candidates.flatMap(({ device, credentials }) => {
    const deviceId = ids.get(device.name);
    return deviceId === undefined ? [] : credentials.map((wanted) => rowOf(deviceId, wanted, materials));
  });
  const stored = rows.length === 0 ? [] : await createCredentials(tx, rows);
  const byAuthId = new Map(stored.map((credential) => [credential.authId, credential]));
  const issued = ({ authId }: Wanted, password: string | undefined): IssuedCredential => {
    const credential = byAuthId.get(authId);
    if (credential === undefined) throw new Error('a credential was stored and not returned');
    return { credential, password };
  };
  return new Map(
    candidates.flatMap((candidate): [Candidate, Made][] => {
      const id = ids.get(candidate.device.name);
      if (id === undefined) return [];
      if (candidate.credentials.length === 0) return [[candidate, { id }]];
      const credentials = candidate.credentials.map((one) => issued(one, materials.get(one)?.password));
      return [[candidate, { id, credentials }]];
    }),
  );
}

function rowOf(deviceId: string, wanted: Wanted, materials: ReadonlyMap<Wanted, Material>) {
  const material = materials.get(wanted);
  if (material === undefined) throw new Error('a credential without what it is proven by');
  const { clientIdRule, notBefore, notAfter } = wanted.input;
  return { deviceId, authId: wanted.authId, secret: material.secret, clientIdRule, notBefore, notAfter };
}

/** One entry for all the devices, and one for each credential, as for those that are made one by one. */
async function record(tx: TenantTx, scope: TenantScope, made: readonly Made[]): Promise<bigint | undefined> {
  const credentials = made.flatMap((one) => one.credentials ?? []).map(({ credential }) => credential);
  const detail = { devices: made.length, credentials: credentials.length };
  const all: Deed = { kind: 'device', action: 'device.create-many', subjectId: scope.tenantId, detail };
  await audit(tx, scope, all, ...credentials.map(deedOf));
  if (credentials.every(({ fingerprint }) => fingerprint === null)) return undefined;
  // One change for all of them: whoever comes by a certificate is asked about anew, and nobody who is here is concerned.
  return recordChange(tx, { kind: 'credential', subject: { arePinned: true } });
}

function deedOf({ id, authId, deviceId }: Credential): Deed {
  return { kind: 'credential', action: 'credential.create', subjectId: id, detail: { authId, deviceId } };
}

// ------------------------------------------------------------------------------------------------------------ refusals

function refusal(row: number, name: string | null, errors: readonly FieldError[]): BulkOutcome {
  return { row, name, outcome: 'refused', errors };
}

function pointerTo(credential: number, member: string): string {
  return `#/credentials/${credential}/${member}`;
}

function pointerToPin(credentials: readonly Wanted[], index: number): string {
  return pointerTo(
    index,
    credentials[index]?.input.certificate === undefined ? 'fingerprint' : 'certificate',
  );
}

function unknownGroup(index: number): FieldError {
  return {
    in: 'body',
    pointer: `#/groups/${index}`,
    code: 'unknown-reference',
    message: 'There is no such group.',
  };
}

const unknownProfile: FieldError = {
  in: 'body',
  pointer: '#/profile',
  code: 'unknown-reference',
  message: 'There is no such profile.',
};

const takenName: FieldError = {
  in: 'body',
  pointer: '#/name',
  code: 'taken',
  message: 'There is a device of this name.',
};

function repeated(pointer: string): FieldError {
  return { in: 'body', pointer, code: 'duplicate', message: 'It stands in this list before.' };
}
