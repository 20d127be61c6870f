import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { type Rule, type ScramMethod, scramMethods } from '#access';
import { defaultLimits, type Exchange, type Grant, Reasons, type Refusal, type SignIn } from '#mqtt';
import { silentLogger } from '#process';
import { openControlStore, openDirectory, type ControlStore, type Directory } from '#store';

import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { ScramClient } from '../../../../test/support/scram-client.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../../test/support/tenant.js';
import { StoreGate } from './gate.js';

const own: Rule = { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] };

let database: TestDatabase;
let store: ControlStore;
let directory: Directory;
let gate: StoreGate;
let now: number;
let tenant: TestTenant;
let device: TestDevice;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 3 });
  directory = openDirectory({ url: database.brokerUrl });
});

afterAll(async () => {
  await directory.close();
  await store.close();
  await database.drop();
});

beforeEach(async () => {
  now = Date.now();
  gate = gateOver(directory);
  tenant = await createTestTenant(store, database.secretKey);
  device = await tenant.addDevice('pump-1', { attributes: { site: 'north' } });
  await tenant.addPolicy('basic', [own], { targetKind: 'tenant', targetId: tenant.id });
});

function gateOver(asked: Directory): StoreGate {
  return new StoreGate({
    directory: asked,
    secretKey: database.secretKey,
    now: () => now,
    log: silentLogger(),
  });
}

function request(of: TestDevice, more: Partial<SignIn> = {}): SignIn {
  return {
    protocolVersion: 5,
    clientId: of.name,
    username: of.username,
    password: Buffer.from(of.password),
    transport: 'tcp',
    remoteAddress: '192.0.2.1',
    serverName: undefined,
    peerCertificate: undefined,
    ...more,
  };
}

async function granted(of: TestDevice, more: Partial<SignIn> = {}): Promise<Grant> {
  const result = await gate.admit(request(of, more));
  if (result.kind === 'refused') throw new Error(result.detail);
  return result;
}

async function refused(asked: SignIn): Promise<Refusal> {
  const result = await gate.admit(asked);
  if (result.kind === 'granted') throw new Error('it was granted');
  return result;
}

describe('a sign-in', () => {
  it('with the right password is granted what policies of the tenant, group, profile and device together allow', async () => {
    const bind = (name: string, target: Parameters<TestTenant['addPolicy']>[2]) =>
      tenant.addPolicy(
        name,
        [{ effect: 'allow', actions: ['publish'], topics: [`${name}/\${attr.site}`] }],
        target,
      );
    const groupId = await store.tenant(tenant.id, async ({ db }) => {
      const group = await db.group.create({ data: { tenantId: tenant.id, name: 'all' } });
      await db.groupMember.create({ data: { tenantId: tenant.id, groupId: group.id, deviceId: device.id } });
      return group.id;
    });
    await bind('by-group', { targetKind: 'group', targetId: groupId });
    await bind('by-profile', { targetKind: 'profile', targetId: tenant.profileId });
    await bind('by-device', { targetKind: 'device', targetId: device.id });
    const { policy, principal, limits, publishDenied, expiresAt } = await granted(device);
    expect(principal).toEqual({
      tenantId: tenant.id,
      deviceId: device.id,
      credentialId: device.credentialId,
      username: device.username,
      clientId: 'pump-1',
      transport: 'tcp',
      address: '192.0.2.1',
    });
    expect({ publishDenied, expiresAt }).toEqual({
      publishDenied: 'acknowledge',
      expiresAt: undefined,
    });
    expect(limits).toEqual(defaultLimits);
    for (const topic of ['devices/pump-1/x', 'by-group/north', 'by-profile/north', 'by-device/north']) {
      expect(policy.publishRight(topic).allowed).toBe(true);
    }
    expect(policy.publishRight('devices/pump-2/x').allowed).toBe(false);
    expect(policy.publishRight('devices/pump-1/telemetry').telemetry).toBeTruthy();
    expect(policy.subscribeRight('devices/pump-1/+').allowed).toBe(true);
  });

  it.each<[string, (of: TestDevice) => SignIn, boolean]>([
    ['a wrong password', (of) => request(of, { password: Buffer.from('wrong') }), true],
    ['no password', (of) => request(of, { password: undefined }), true],
    ['an unknown credential', (of) => request(of, { username: `ghost@${tenant.slug}` }), true],
    ['an unknown tenant', (of) => request(of, { username: `${of.name}@nowhere` }), false],
    ['a username without a tenant', (of) => request(of, { username: of.name }), false],
    ['no username', (of) => request(of, { username: undefined }), false],
  ])('with %s is refused as a bad credential', async (_, ask, tenantIsTold) => {
    const refusal = await refused(ask(device));
    expect(refusal.reason).toBe(Reasons.badUserNameOrPassword);
    expect(refusal.tenantId).toBe(tenantIsTold ? tenant.id : undefined);
  });

  it('with the password of the same name in another tenant is refused', async () => {
    const other = await createTestTenant(store, database.secretKey);
    const twin = await other.addDevice('pump-1');
    const refusal = await refused(request(device, { password: Buffer.from(twin.password) }));
    expect(refusal.reason).toBe(Reasons.badUserNameOrPassword);
  });

  it('is refused when the device is disabled or the tenant suspended, but only to whom has the password', async () => {
    await setDevice({ status: 'disabled' });
    expect(await refused(request(device))).toMatchObject({
      reason: Reasons.notAuthorized,
      detail: 'the device is disabled',
    });
    await tenant.set({ status: 'suspended' });
    expect(await refused(request(device))).toMatchObject({
      reason: Reasons.notAuthorized,
      detail: 'the tenant is suspended',
    });
    const stranger = await refused(request(device, { password: Buffer.from('guess') }));
    expect(stranger.detail).toBe('wrong password');
  });

  it('is granted within the validity of the credential only, and ends with it', async () => {
    const brief = await tenant.addDevice('brief', {
      notBefore: new Date(now),
      notAfter: new Date(now + 1_000),
    });
    expect((await granted(brief)).expiresAt).toBe(now + 1_000);
    now -= 1;
    expect((await refused(request(brief))).detail).toBe('the credential is not-yet-valid');
    now += 1_001;
    expect(await refused(request(brief))).toMatchObject({
      reason: Reasons.notAuthorized,
      detail: 'the credential is expired',
    });
  });

  it('is bound to the client identifiers that the credential may use', async () => {
    expect((await refused(request(device, { clientId: 'pump-2' }))).reason).toBe(
      Reasons.clientIdentifierNotValid,
    );
    const prefixed = await tenant.addDevice('gateway', { clientIdRule: { kind: 'prefix', value: 'gw-' } });
    expect((await granted(prefixed, { clientId: 'gw-7' })).principal.clientId).toBe('gw-7');
    expect((await refused(request(prefixed))).reason).toBe(Reasons.clientIdentifierNotValid);
  });

  it('without a client identifier is given one that the rule allows', async () => {
    expect((await granted(device, { clientId: '' })).principal.clientId).toBe('pump-1');
    const open = await tenant.addDevice('open', { clientIdRule: { kind: 'any' } });
    const ids = await Promise.all([granted(open, { clientId: '' }), granted(open, { clientId: '' })]);
    expect(ids[0].principal.clientId).not.toBe(ids[1].principal.clientId);
  });

  it('is refused where a policy denies the connection, and says which rule', async () => {
    await tenant.addPolicy('quarantine', [{ effect: 'deny', actions: ['connect'], topics: [] }], {
      targetKind: 'device',
      targetId: device.id,
    });
    expect(await refused(request(device))).toMatchObject({
      reason: Reasons.notAuthorized,
      detail: 'denied by rule 0 of policy quarantine, version 1',
      tenantId: tenant.id,
    });
  });

  it('carries the limits and settings of its tenant, and the default for what cannot be used', async () => {
    await tenant.set({
      limits: { maxPacketBytes: 2_048, receiveMaximum: 0, unheardOf: 1, maxConnections: 'many' },
      settings: { publishDenied: 'close' },
    });
    const { limits, publishDenied } = await granted(device);
    expect(limits).toEqual({ ...defaultLimits, maxPacketBytes: 2_048 });
    expect(publishDenied).toBe('close');
  });

  it('shares what is compiled among all whom the same policies bind, whatever their variables are', async () => {
    const topics = ['a/#', 'sites/${attr.site}'];
    const other = await createTestTenant(store, database.secretKey);
    await other.addPolicy('shared', [{ effect: 'allow', actions: ['publish'], topics }], {
      targetKind: 'tenant',
      targetId: other.id,
    });
    const [one, two] = await Promise.all([
      other.addDevice('one', { attributes: { site: 'n' } }),
      other.addDevice('two', { attributes: { site: 's' } }),
    ]);
    const [north, south] = await Promise.all([granted(one), granted(two)]);
    expect(north.policy.publishRight('a/b')).toBe(south.policy.publishRight('a/c'));
    expect(north.policy.publishRight('sites/n').allowed).toBe(true);
    expect(south.policy.publishRight('sites/n').allowed).toBe(false);
  });

  it('is refused where stored rules cannot be read: rights that cannot be read are no rights', async () => {
    await tenant.addPolicy(
      'broken',
      [{ effect: 'allow', actions: ['levitate' as 'publish'], topics: ['#'] }],
      {
        targetKind: 'device',
        targetId: device.id,
      },
    );
    expect((await refused(request(device))).detail).toBe('policy broken, version 1, cannot be read');
  });

  it('is slowed down after many failures by the same username from the same address, and no other', async () => {
    const wrong = request(device, { password: Buffer.from('wrong') });
    for (let attempt = 0; attempt < 40; attempt += 1) await gate.admit(wrong);
    expect((await refused(request(device))).reason).toBe(Reasons.connectionRateExceeded);
    expect((await gate.admit(request(device, { remoteAddress: '192.0.2.2' }))).kind).toBe('granted');
    for (let attempt = 0; attempt < 40; attempt += 1)
      await gate.admit({ ...wrong, remoteAddress: '127.0.0.1' });
    expect((await gate.admit(request(device, { remoteAddress: '127.0.0.1' }))).kind).toBe('granted');
  });

  it('finds a thousand devices that come back at once', async () => {
    const others = await Promise.all(Array.from({ length: 20 }, (_, index) => tenant.addDevice(`d${index}`)));
    const results = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => gate.admit(request(others[index % 20]!))),
    );
    expect(results.filter((result) => result.kind === 'granted')).toHaveLength(1_000);
  });

  it('notes when and from where a credential was last used', async () => {
    const noted = openDirectory({ url: database.brokerUrl });
    gate = gateOver(noted);
    await granted(device);
    await noted.close();
    const credential = await store.tenant(tenant.id, ({ db }) =>
      db.credential.findFirstOrThrow({ where: { deviceId: device.id } }),
    );
    expect(credential.lastUsedFrom).toBe('192.0.2.1');
    expect(credential.lastUsedAt?.getTime()).toBe(now);
  });

  it('is refused as server unavailable, never as a bad password, when the store cannot be asked', async () => {
    const away = openDirectory({ url: 'postgres://moorage_broker:x@127.0.0.1:1/none' });
    gate = gateOver(away);
    expect((await refused(request(device))).reason).toBe(Reasons.serverUnavailable);
    await away.close();
  });
});

describe('a review', () => {
  it('answers with the rights of the day', async () => {
    const { principal } = await granted(device);
    await tenant.addPolicy('more', [{ effect: 'allow', actions: ['publish'], topics: ['more'] }], {
      targetKind: 'device',
      targetId: device.id,
    });
    const reviewed = await gate.review(principal);
    expect(reviewed.kind === 'granted' && reviewed.policy.publishRight('more').allowed).toBe(true);
  });

  it('follows the active version of a policy', async () => {
    const { principal } = await granted(device);
    const policy = await tenant.addPolicy(
      'more',
      [{ effect: 'allow', actions: ['publish'], topics: ['one'] }],
      {
        targetKind: 'device',
        targetId: device.id,
      },
    );
    await policy.setRules([{ effect: 'allow', actions: ['publish'], topics: ['two'] }]);
    const reviewed = await gate.review(principal);
    if (reviewed.kind === 'refused') throw new Error(reviewed.detail);
    expect(reviewed.policy.publishRight('one').allowed).toBe(false);
    expect(reviewed.policy.publishRight('two').allowed).toBe(true);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ['the device is deleted', () => deleteDevice(), 'the credential is gone'],
    ['the device is disabled', () => setDevice({ status: 'disabled' }), 'the device is disabled'],
    ['the tenant is suspended', () => tenant.set({ status: 'suspended' }), 'the tenant is suspended'],
    [
      'the credential is disabled',
      () => setCredential({ disabledAt: new Date(now - 1) }),
      'the credential is disabled',
    ],
    [
      'the credential has expired',
      () => setCredential({ notAfter: new Date(now - 1) }),
      'the credential is expired',
    ],
  ])('refuses as soon as %s', async (_, change, detail) => {
    const { principal } = await granted(device);
    await change();
    expect(await gate.review(principal)).toMatchObject({
      kind: 'refused',
      reason: Reasons.notAuthorized,
      detail,
    });
  });

  it('refuses a client identifier that the credential may no longer use', async () => {
    const { principal } = await granted(device);
    await setCredential({ clientIdRule: { kind: 'exact', value: 'else' } });
    expect(await gate.review(principal)).toMatchObject({ reason: Reasons.clientIdentifierNotValid });
  });
});

function setDevice(data: { status: string }): Promise<unknown> {
  return store.tenant(tenant.id, ({ db }) => db.device.updateMany({ where: { id: device.id }, data }));
}

function deleteDevice(): Promise<unknown> {
  return store.tenant(tenant.id, ({ db }) => db.device.deleteMany({ where: { id: device.id } }));
}

function setCredential(data: {
  disabledAt?: Date;
  notAfter?: Date;
  clientIdRule?: object;
}): Promise<unknown> {
  return store.tenant(tenant.id, ({ db }) =>
    db.credential.updateMany({ where: { deviceId: device.id }, data }),
  );
}

describe('SCRAM', () => {
  /** An exchange from its first message to its end. */
  async function converse(
    method: ScramMethod,
    client: ScramClient,
    asked: Partial<SignIn>,
  ): Promise<{ answer: Awaited<ReturnType<Exchange['next']>>; challenge: string }> {
    const exchange = gate.exchange(
      method,
      request(device, { username: undefined, password: undefined, ...asked }),
    );
    const challenge = await exchange!.next(client.first());
    if ('grant' in challenge || challenge.kind === 'refused') return { answer: challenge, challenge: '' };
    const answer = await exchange!.next(client.final(challenge.data));
    return { answer, challenge: challenge.data.toString() };
  }

  it.each(scramMethods)(
    '%s grants the same as a password, and proves that the server knows the verifier',
    async (method) => {
      const client = new ScramClient(method, device.username, device.password);
      const { answer } = await converse(method, client, {});
      if (!('grant' in answer)) throw new Error('it was refused');
      expect(client.trusts(answer.data)).toBe(true);
      expect(answer.grant.principal).toEqual((await granted(device)).principal);
    },
  );

  it('refuses a wrong password, an unknown user and an unknown tenant alike, and tells only the tenant which it was', async () => {
    const asked: [string, string, string | undefined][] = [
      [device.username, 'wrong password', tenant.id],
      [`ghost@${tenant.slug}`, 'unknown credential', tenant.id],
      ['pump-1@nowhere', 'unknown tenant', undefined],
      ['pump-1', 'unknown tenant', undefined],
    ];
    for (const [username, detail, tenantId] of asked) {
      const { answer, challenge } = await converse(
        'SCRAM-SHA-256',
        new ScramClient('SCRAM-SHA-256', username, 'x'),
        {},
      );
      expect(answer).toEqual({
        kind: 'refused',
        reason: Reasons.badUserNameOrPassword,
        detail: `SCRAM-SHA-256 as ${username}: ${detail}`,
        tenantId,
      });
      expect(challenge).toMatch(/^r=[^,]+,s=[A-Za-z0-9+/]{22}==,i=4096$/);
    }
  });

  it('challenges an unknown user with the same salt each time', async () => {
    const salts = new Set<string | undefined>();
    for (let i = 0; i < 2; i++) {
      const client = new ScramClient('SCRAM-SHA-512', `ghost@${tenant.slug}`, 'x');
      const { challenge } = await converse('SCRAM-SHA-512', client, {});
      salts.add(challenge.split(',')[1]);
    }
    expect(salts.size).toBe(1);
  });

  it('refuses a credential from before there was SCRAM, and the tenant reads why', async () => {
    await store.tenant(
      tenant.id,
      ({ db }) => db.$executeRaw`UPDATE credentials SET scram = NULL WHERE id = ${device.credentialId}::uuid`,
    );
    const client = new ScramClient('SCRAM-SHA-256', device.username, device.password);
    const { answer, challenge } = await converse('SCRAM-SHA-256', client, {});
    expect(challenge).not.toBe('');
    expect(answer).toMatchObject({
      reason: Reasons.badUserNameOrPassword,
      detail: `SCRAM-SHA-256 as ${device.username}: the credential is older than SCRAM-SHA-256 here: rotate it`,
      tenantId: tenant.id,
    });
    expect((await granted(device)).kind).toBe('granted');
  });

  it('refuses a CONNECT that names another user than the exchange', async () => {
    const client = new ScramClient('SCRAM-SHA-256', device.username, device.password);
    const { answer } = await converse('SCRAM-SHA-256', client, { username: `other@${tenant.slug}` });
    expect(answer).toMatchObject({
      detail: `SCRAM-SHA-256 as ${device.username}: CONNECT names another user than the exchange`,
    });
  });

  it('holds a credential to its validity and its client-id rule, as any sign-in', async () => {
    const client = new ScramClient('SCRAM-SHA-256', device.username, device.password);
    const { answer } = await converse('SCRAM-SHA-256', client, { clientId: 'other' });
    expect(answer).toMatchObject({ kind: 'refused', reason: Reasons.clientIdentifierNotValid });
  });

  it('slows one who tries passwords of a user, as any sign-in', async () => {
    let reason;
    for (let i = 0; i < 40; i++) {
      const { answer } = await converse(
        'SCRAM-SHA-256',
        new ScramClient('SCRAM-SHA-256', device.username, 'x'),
        {},
      );
      if (!('grant' in answer) && answer.kind === 'refused') reason = answer.reason;
    }
    expect(reason).toBe(Reasons.connectionRateExceeded);
  });

  it('is the only method', () => {
    expect(gate.exchange('PLAIN', request(device))).toBeUndefined();
    expect(gate.exchange('SCRAM-SHA-1', request(device))).toBeUndefined();
  });
});
