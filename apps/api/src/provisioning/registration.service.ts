import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  countRegistrations,
  createCredential,
  findDevice,
  findRegistration,
  findTenant,
  findTrustAnchor,
  isUniqueViolation,
  lockProvisioningRule,
  recordAudit,
  recordRegistration,
  type ControlStore,
  type TenantTx,
} from '#store';
import { exceededDevices } from '../quotas.js';
import { STORE } from '../injection-tokens.js';
import type { NewRegistrationInput } from './claim.schema.js';
import { createNewcomer, newcomersName } from './newcomer.js';

/** Why a device that nobody knows stays out. Stable: tenants see it in their denials. */
export type RegistrationRefusal =
  | 'off' // there is no rule, or it is not enabled
  | 'name-not-allowed'
  | 'name-taken' // by a device that this anchor does not speak for
  | 'registered-before' // and deleted since: it does not come back by itself
  | 'too-many-devices'
  | 'too-many-per-minute';

const minuteMs = 60_000;

/** Just in time: a device whose certificate leads to an anchor with a rule is made a device of the tenant. */
@Injectable()
export class RegistrationService {
  constructor(@Inject(STORE) private readonly store: ControlStore) {}

  /** Undefined: it is registered, by this call or by one at the same time. */
  async register(input: NewRegistrationInput): Promise<RegistrationRefusal | undefined> {
    try {
      return await this.store.tenant(input.tenantId, (tx) => this.attempt(tx, input));
    } catch (error) {
      // Devices are called as certificates say, and somebody has made one of that name by hand.
      if (isUniqueViolation(error)) return 'name-taken';
      throw error;
    }
  }

  private async attempt(tx: TenantTx, input: NewRegistrationInput): Promise<RegistrationRefusal | undefined> {
    const { anchorId, kind, name: own, address } = input;
    const rule = await lockProvisioningRule(tx, anchorId);
    const anchor = await findTrustAnchor(tx, anchorId);
    const isTrusted = anchor !== null && anchor.provenAt !== null;
    const tenant = await findTenant(tx, tx.tenantId);
    if (rule?.enabled !== true || !isTrusted || tenant?.status !== 'active') return 'off';
    const before = await findRegistration(tx, anchorId, own);
    if (before !== null) {
      return (await findDevice(tx, before.deviceId)) === null ? 'registered-before' : undefined;
    }
    const name = newcomersName(rule, own);
    // A device that certificates name is called as they call it, or they would not find it.
    if (name === undefined || (kind === 'device' && name !== own)) return 'name-not-allowed';
    if ((await countRegistrations(tx, anchorId)) >= rule.maxDevices) return 'too-many-devices';
    if ((await exceededDevices(tx)) !== undefined) return 'too-many-devices';
    const now = new Date();
    const isSameMinute = now.getTime() - rule.windowStart.getTime() < minuteMs;
    const count = isSameMinute ? rule.windowCount + 1 : 1;
    if (count > rule.perMinute) return 'too-many-per-minute';
    const device = await createNewcomer(tx, name, rule.profileId);
    await createCredential(tx, {
      deviceId: device.id,
      authId: kind === 'authId' ? own : `x-${randomBytes(9).toString('hex')}`,
      secret: { kind: 'certificate', fingerprint: null, anchorId },
      clientIdRule: { kind: 'device' },
      notBefore: null,
      notAfter: null,
    });
    const window = { start: isSameMinute ? rule.windowStart : now, count };
    await recordRegistration(tx, rule, { name: own, deviceId: device.id }, window);
    await recordAudit(tx, {
      actor: `trust anchor ${anchor.name}`,
      action: 'device.register',
      subjectKind: 'device',
      subjectId: device.id,
      detail: { name, anchorId, address },
    });
    return undefined;
  }
}
