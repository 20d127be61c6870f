import { describe, expect, it } from '@jest/globals';

import { type Grant, type Principal, Reasons, type Refusal, type SignIn } from '#mqtt';
import { TestGate } from '#mqtt/testing';

import { Following } from './following.js';
import { RememberingGate } from './remembering-gate.js';

const minute = 60_000;

class FailingGate extends TestGate {
  isAway = false;
  /** The store answers; what a tenant runs itself, and is asked by it, does not. */
  isAuthenticatorAway = false;
  graceMs = 10 * minute;

  override async admit(request: SignIn): Promise<Grant | Refusal> {
    if (this.isAway) {
      return { kind: 'refused', reason: Reasons.serverUnavailable, detail: 'away', tenantId: undefined };
    }
    if (this.isAuthenticatorAway) {
      const { principal } = (await super.admit(request)) as Grant;
      const { tenantId } = principal;
      return { kind: 'refused', reason: Reasons.serverUnavailable, detail: 'authenticator', tenantId };
    }
    const answer = await super.admit(request);
    return answer.kind === 'granted' ? { ...answer, signInGraceMs: this.graceMs } : answer;
  }

  readmit(_: SignIn, grant: Grant): Grant {
    return grant;
  }

  forget(): void {}
}

/** As long ago as a change could have been missed since: what is remembered counts for nothing but the grace. */
const longAgo = 2_001;

function start() {
  const world = { now: 1_000_000, isFull: false };
  const inner = new FailingGate();
  const now = (): number => world.now;
  const following = new Following(now);
  const gate = new RememberingGate({ gate: inner, following, now, isFull: () => world.isFull });
  following.heard(longAgo);
  return { world, inner, gate };
}

const request = (change: Partial<SignIn> = {}): SignIn => ({
  protocolVersion: 5,
  clientId: 'meter',
  username: 'meter@tenant-a',
  password: Buffer.from('secret'),
  transport: 'tcp',
  remoteAddress: '192.0.2.1',
  serverName: undefined,
  peerCertificate: undefined,
  ...change,
});

describe('a sign-in while the store is away', () => {
  it('is let in with the rights of then, for the grace that the tenant chose, and no longer', async () => {
    const { world, inner, gate } = start();
    expect(await gate.admit(request())).toMatchObject({ kind: 'granted' });
    inner.isAway = true;
    expect(await gate.admit(request())).toMatchObject({ kind: 'granted', withoutStore: true });
    world.now += 10 * minute - longAgo;
    expect(await gate.admit(request())).toMatchObject({ kind: 'granted' });
    world.now += 1;
    expect(await gate.admit(request())).toMatchObject({ reason: Reasons.serverUnavailable });
    expect(gate.recalled).toBe(2);
  });

  it('is refused where the tenant did not choose otherwise', async () => {
    const { inner, gate } = start();
    inner.graceMs = 0;
    await gate.admit(request());
    inner.isAway = true;
    expect(await gate.admit(request())).toMatchObject({ kind: 'refused' });
  });

  it.each<[string, Partial<SignIn>]>([
    ['another secret', { password: Buffer.from('guess') }],
    ['no secret', { password: undefined }],
    ['another client identifier', { clientId: 'other' }],
    ['another username', { username: 'other@tenant-a' }],
    ['another address', { remoteAddress: '192.0.2.2' }],
    ['a certificate', { peerCertificate: { leaf: Buffer.from('x'), intermediates: [] } }],
  ])('is refused with %s than the one that was let in', async (_, change) => {
    const { inner, gate } = start();
    await gate.admit(request());
    inner.isAway = true;
    expect(await gate.admit(request(change))).toMatchObject({ reason: Reasons.serverUnavailable });
  });

  it('is something else than one while the tenant’s own authenticator or token issuer is away', async () => {
    const { inner, gate } = start();
    await gate.admit(request());
    inner.isAuthenticatorAway = true;
    expect(await gate.admit(request())).toMatchObject({ reason: Reasons.serverUnavailable });
    inner.isAuthenticatorAway = false;
    inner.isAway = true;
    expect(await gate.admit(request())).toMatchObject({ kind: 'granted' });
  });

  it('is refused after a change that concerns it, also one that came while it was let in', async () => {
    const { inner, gate } = start();
    const concerns = {
      tenantId: undefined,
      includes: ({ clientId }: Principal) => clientId === 'meter',
      includesHolder: () => false,
      includesBans: false,
    };
    await gate.admit(request());
    await gate.admit(request({ clientId: 'other' }));
    gate.forget(concerns);
    inner.isSlow = true;
    const underWay = gate.admit(request());
    gate.forget(concerns);
    inner.answer();
    expect(await underWay).toMatchObject({ kind: 'granted' });
    inner.isAway = true;
    expect(await gate.admit(request())).toMatchObject({ kind: 'refused' });
    expect(await gate.admit(request({ clientId: 'other' }))).toMatchObject({ kind: 'granted' });
  });

  it('is refused once the credential has ended, was refused last, or nothing more may wait for the store', async () => {
    const { world, inner, gate } = start();
    inner.expiresAt = world.now + minute;
    await gate.admit(request());
    await gate.admit(request({ clientId: 'other' }));
    inner.refusal = Reasons.notAuthorized;
    await gate.admit(request({ clientId: 'other' }));
    inner.isAway = true;
    expect(await gate.admit(request({ clientId: 'other' }))).toMatchObject({ kind: 'refused' });
    world.isFull = true;
    expect(await gate.admit(request())).toMatchObject({ kind: 'refused' });
    world.isFull = false;
    expect(await gate.admit(request())).toMatchObject({ kind: 'granted' });
    world.now += minute;
    expect(await gate.admit(request())).toMatchObject({ kind: 'refused' });
  });
});
