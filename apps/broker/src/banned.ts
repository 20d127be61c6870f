import { AddressSet } from '#access';
import type { Principal } from '#mqtt';
import type { ChangeSubject } from '#store';

/** Whom the ban that a change speaks of is on. A ban that cannot be read may be on anybody. */
export function isBannedBy({ kind, value, platform }: ChangeSubject): (principal: Principal) => boolean {
  if (typeof value !== 'string') return () => true;
  if (kind === 'client-id') return ({ clientId }) => clientId === value;
  if (kind === 'username') {
    return platform === true
      ? ({ username }) => username === value
      : ({ username }) => username.slice(0, username.lastIndexOf('@')) === value;
  }
  if (kind !== 'address') return () => true;
  const range = new AddressSet([value]);
  return ({ address }) => address === undefined || range.has(address);
}
