import { describe, expect, it } from '@jest/globals';

import { Reasons } from '#mqtt';
import { silentLogger } from '#process';

import { Provisioning } from './provisioning.js';

describe('a device that nobody knows', () => {
  // Nobody listens there.
  const provisioning = new Provisioning({
    apiUrl: 'http://127.0.0.1:1',
    secretKey: Buffer.alloc(32, 1),
    log: silentLogger(),
  });
  const named = (name: string) =>
    provisioning.register({ tenantId: 't', anchorId: 'a', kind: 'device', name, address: '192.0.2.1' });

  it('stays out where the api cannot be asked', async () => {
    expect(await named('meter')).toMatchObject({ reason: Reasons.serverUnavailable });
  });

  it('by a name that no device can have is told so, and not to come again', async () => {
    expect(await named('x'.repeat(201))).toEqual({
      kind: 'refused',
      reason: Reasons.notAuthorized,
      detail: 'provisioning: name-not-allowed',
      tenantId: 't',
    });
  });
});
