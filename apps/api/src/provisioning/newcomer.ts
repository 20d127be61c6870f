import { randomBytes } from 'node:crypto';
import { deviceNameOf } from '#access';
import { createDevice, findProfile, findProfilesByName, type Device, type TenantTx } from '#store';
import { invalidBody } from '../failure.js';

/** How a device that makes itself known may be called. */
export interface Naming {
  readonly nameTemplate: string;
  readonly namePattern: string;
}

/** Undefined: not so. */
export function newcomersName(
  { nameTemplate: template, namePattern: pattern }: Naming,
  name: string | undefined,
): string | undefined {
  return deviceNameOf({ template, pattern }, name, randomBytes(6).toString('hex'));
}

export function createNewcomer(tx: TenantTx, name: string, profileId: string): Promise<Device> {
  return createDevice(tx, { name, profileId, attributes: {}, status: 'active', groupIds: [] });
}

/** The one given, which must be there, or the one named default. */
export async function profileIdOf(tx: TenantTx, given: string | undefined): Promise<string> {
  const profile =
    given === undefined ? (await findProfilesByName(tx, ['default']))[0] : await findProfile(tx, given);
  if (profile) return profile.id;
  const code = given === undefined ? 'required' : 'unknown-reference';
  throw invalidBody({ pointer: '#/profileId', code, message: 'There is no such profile.' });
}
