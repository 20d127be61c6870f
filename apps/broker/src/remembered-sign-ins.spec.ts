/** Who comes back is let in without a question to the store, until a change of its rights says otherwise: one of each kind. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { SignJWT } from 'jose';

import { hashPassword, readCertificate, type Rule } from '#access';
import { type Grant, Reasons, type Refusal, type SignIn } from '#mqtt';
import { silentLogger } from '#process';
import {
  addTenantHost,
  ChangeFeed,
  type ChangeKind,
  type ControlStore,
  createBan,
  type Directory,
  nobody,
  openControlStore,
  openDirectory,
  recordChange,
  recordPlatformChange,
} from '#store';

import { overheard } from '../../../test/support/gated-broker.js';
import { makeAuthority, type Pair } from '../../../test/support/pki.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { eventually } from '../../../test/support/product.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../test/support/tenant.js';
import { concernOf } from './changes.js';
import { Following } from './gate/following.js';
import { StoreGate } from './gate/gate.js';
import { RememberingGate } from './gate/remembering-gate.js';

const rule: Rule = { effect: 'allow', actions: ['connect', 'publish'], topics: ['devices/${device}/#'] };
const address = '192.0.2.1';
const host = 'meters.example.com';

let database: TestDatabase;
let store: ControlStore;
let directory: Directory;
let feed: ChangeFeed;
let gate: RememberingGate;
let storeGate: StoreGate;
let authority: Pair;
/** Questions to the store, and the last uses that were noted. */
let asked = 0;
let used: string[] = [];
let isStoreDown = false;
/** The gate's clock stands still, so that nothing ends while this machine is busy with something else, and is put ahead. */
let startedAt = Date.now();
let ahead = 0;
const now = (): number => startedAt + ahead;
let isHeard = true;
/** The process has heard that it knows of every change. */
let noteHeard: () => void = () => undefined;
let pause: Promise<void> | undefined;

let tenant: TestTenant;
let device: TestDevice;
let policyId: string;
let anchorId: string;
let certificate: Pair;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 2 });
  authority = await makeAuthority('Factory');
  directory = overheard(openDirectory({ url: database.brokerUrl }), async ({ name, args, answer }) => {
    if (name === 'noteUse') used.push(String(args[1]));
    // A version of a policy does not change: it is read once, whoever asks.
    else if (name !== 'close' && name !== 'documents') asked += 1;
    const found = await answer();
    if (name === 'findByName') await pause;
    return found;
  });
  const following = new Following(now);
  storeGate = new StoreGate({
    directory,
    following,
    secretKey: database.secretKey,
    now,
    log: silentLogger(),
    isStoreDown: () => isStoreDown,
  });
  gate = new RememberingGate({ gate: storeGate, following, now, isFull: () => false });
  feed = new ChangeFeed({
    url: database.brokerUrl,
    processId: randomUUID(),
    onSeen: (change) => gate.forget(concernOf(change)),
    onHeard: (agoMs) => {
      if (isHeard) following.heard(agoMs);
      noteHeard();
    },
    apply: () => ({
      sessionsTouched: 0,
      subscriptionsRemoved: 0,
      connectionsClosed: 0,
      willsSuppressed: 0,
      willsSent: 0,
      retainedCleared: 0,
    }),
    onError: () => undefined,
    pollMs: 50,
  });
  await feed.start();
});
afterAll(async () => {
  await feed.stop();
  await directory.close();
  await store.close();
  await database.drop();
});

beforeEach(async () => {
  startedAt = Date.now();
  ahead = 0;
  isStoreDown = false;
  pause = undefined;
  tenant = await createTestTenant(store, database.secretKey);
  device = await tenant.addDevice('meter');
  ({ id: policyId } = await tenant.addPolicy('own', [rule], { targetKind: 'device', targetId: device.id }));
  anchorId = await tenant.addAnchor(authority.der);
  certificate = await authority.issue('meter');
  await store.tenant(tenant.id, async (tx) => {
    await tx.db.credential.create({
      data: { tenantId: tenant.id, deviceId: device.id, kind: 'certificate', authId: 'cert-meter' },
    });
    await addTenantHost(tx, `${tenant.slug}.${host}`);
  });
});

/** By password, and by certificate under the tenant's own host name: whatever there is to be asked about. */
const request = (change: Partial<SignIn> = {}): SignIn => ({
  protocolVersion: 5,
  clientId: 'meter',
  username: device.username,
  password: Buffer.from(device.password),
  transport: 'tls',
  remoteAddress: address,
  serverName: `${tenant.slug}.${host}`,
  peerCertificate: { leaf: certificate.der, intermediates: [] },
  ...change,
});

async function outcome(given = request()): Promise<{ answer: Grant | Refusal; questions: number }> {
  const before = asked;
  const answer = await gate.admit(given);
  return { answer, questions: asked - before };
}

/** Until this process has heard that nothing has changed since. */
async function followed(): Promise<void> {
  const newest = await store.platform(({ db }) => db.change.aggregate({ _max: { number: true } }));
  while (feed.applied < (newest._max.number ?? 0n)) await sleep(5);
  // One may have been under way.
  for (let times = 0; times < 2; times += 1) await new Promise<void>((resolve) => (noteHeard = resolve));
}

const granted = { answer: { kind: 'granted' }, questions: 0 };

describe('who comes back', () => {
  it('is let in as before without a question, and its credentials count as used', async () => {
    const first = await outcome();
    expect(first).toMatchObject({ answer: { kind: 'granted' } });
    expect(first.questions).toBeGreaterThan(3);
    await followed();
    used = [];
    const again = await outcome();
    expect(again).toEqual({ answer: { ...first.answer, isRemembered: true }, questions: 0 });
    expect(new Set(used).size).toBe(2);
  });

  // What is changed, and what the next sign-in is told.
  const changes: Record<
    ChangeKind,
    [change: () => Promise<unknown>, then: 'asked' | 'refused' | 'remembered']
  > = {
    tenant: [() => tenant.set({ status: 'suspended' }), 'refused'],
    profile: [
      () =>
        tenant.change('profile', { profileId: tenant.profileId }, ({ db }) =>
          db.profile.updateMany({ data: { telemetry: [] } }),
        ),
      'asked',
    ],
    group: [
      () => tenant.change('group', { groupId: randomUUID(), deviceId: device.id }, () => nothing()),
      'asked',
    ],
    device: [
      () =>
        tenant.change('device', { deviceId: device.id }, ({ db }) =>
          db.device.updateMany({ where: { id: device.id }, data: { status: 'disabled' } }),
        ),
      'refused',
    ],
    credential: [
      () =>
        tenant.change('credential', { credentialId: device.credentialId, deviceId: device.id }, ({ db }) =>
          db.credential.updateMany({
            where: { id: device.credentialId },
            data: { disabledAt: new Date(now()) },
          }),
        ),
      'refused',
    ],
    'trust-anchor': [
      () =>
        tenant.change('trust-anchor', { anchorId }, ({ db }) =>
          db.trustAnchor.deleteMany({ where: { id: anchorId } }),
        ),
      'refused',
    ],
    policy: [
      () =>
        tenant.change('policy', { policyId }, ({ db }) =>
          db.policyBinding.deleteMany({ where: { policyId } }),
        ),
      'asked',
    ],
    ban: [
      () =>
        tenant.change(
          'ban',
          { kind: 'address', value: '192.0.2.0/24' },
          ({ db, tenantId }) =>
            db.$executeRaw`INSERT INTO bans (tenant_id, kind, value, range, reason, created_by)
            VALUES (${tenantId}::uuid, 'address', '192.0.2.0/24', '192.0.2.0/24'::inet, '', 'test')`,
        ),
      'refused',
    ],
    'host-name': [
      () =>
        tenant.change('host-name', { host: `${tenant.slug}.${host}` }, ({ db }) =>
          db.tenantHost.deleteMany(),
        ),
      'asked',
    ],
    // Nobody is let in by their word without them being asked: there is nothing to forget (the next test but one).
    'token-issuer': [() => tenant.change('token-issuer', { issuerId: randomUUID() }, nothing), 'remembered'],
    authenticator: [() => tenant.change('authenticator', { tenantId: tenant.id }, nothing), 'remembered'],
    // It shows somebody out who may come back.
    session: [() => tenant.change('session', { clientId: 'meter' }, nothing), 'remembered'],
    // It says nothing of anybody's rights.
    retained: [() => tenant.change('retained', { filter: '#' }, nothing), 'remembered'],
  };
  const nothing = (): Promise<void> => Promise.resolve();

  it.each(Object.keys(changes) as ChangeKind[])(
    'is judged anew after a change of this kind: %s',
    async (kind) => {
      const [change, then] = changes[kind];
      await outcome();
      await followed();
      expect(await outcome()).toMatchObject(granted);
      await change();
      await followed();
      const { answer, questions } = await outcome();
      expect(questions > 0).toBe(then !== 'remembered');
      expect(answer.kind).toBe(then === 'refused' ? 'refused' : 'granted');
    },
  );

  it.each([
    ['of another anchor, to which its certificate may lead as well', 'trust-anchor', 'anchorId'],
    ['that pins its certificate, to whichever device', 'credential', 'credentialId'],
  ] as const)('is judged anew after a change %s', async (_, kind, name) => {
    await outcome();
    await followed();
    expect(await outcome()).toMatchObject(granted);
    const { fingerprint } = readCertificate(certificate.der)!;
    const subject = { [name]: randomUUID(), ...(kind === 'credential' ? { fingerprint } : {}) };
    await store.tenant(tenant.id, (tx) => recordChange(tx, { kind, subject }));
    await followed();
    expect((await outcome()).questions).toBeGreaterThan(0);
  });

  it('by a certificate is judged anew after one that pins many, and nobody else is, nor who is here', async () => {
    const subject = { arePinned: true } as const;
    await outcome();
    await followed();
    await store.tenant(tenant.id, (tx) => recordChange(tx, { kind: 'credential', subject }));
    await followed();
    expect((await outcome()).questions).toBeGreaterThan(0);
    const tenantId = tenant.id as never;
    const { includes, includesHolder } = concernOf({
      number: 1n,
      tenantId,
      kind: 'credential',
      subject,
      recordedAt: new Date(),
    });
    const by = (certificate?: object) =>
      includes({ credentialId: 'c', deviceId: 'd', certificate } as never, undefined);
    expect([by({ fingerprint: 'f' }), by(), includesHolder('c', 'd')]).toEqual([true, false, false]);
  });

  it('is judged anew after what the platform changes for all', async () => {
    await outcome();
    await followed();
    const ban = { kind: 'username', value: device.username, platform: true } as const;
    await store.platform((tx) => recordPlatformChange(tx, { kind: 'ban', subject: ban }));
    await followed();
    expect((await outcome()).questions).toBeGreaterThan(0);
    expect(
      concernOf({ number: 1n, tenantId: nobody as never, kind: 'ban', subject: ban, recordedAt: new Date() }),
    ).toMatchObject({ tenantId: undefined });
  });

  it('is judged anew while this process does not know that nothing has changed', async () => {
    await outcome();
    await followed();
    isHeard = false;
    ahead += 2_100;
    expect((await outcome()).questions).toBeGreaterThan(0);
    isHeard = true;
  });

  it('is judged anew when its time is over, and refused', async () => {
    await tenant.change('credential', { credentialId: device.credentialId, deviceId: device.id }, ({ db }) =>
      db.credential.updateMany({
        where: { id: device.credentialId },
        data: { notAfter: new Date(now() + 1_500) },
      }),
    );
    await followed();
    await outcome();
    expect(await outcome()).toMatchObject(granted);
    ahead += 1_600;
    expect(await outcome()).toMatchObject({ answer: { kind: 'refused' } });
  });

  it('is not remembered by what a change overtook', async () => {
    let release: () => void = () => undefined;
    pause = new Promise((resolve) => (release = resolve));
    const underWay = outcome();
    await tenant.change('device', { deviceId: device.id }, ({ db }) =>
      db.device.updateMany({ where: { id: device.id }, data: { status: 'disabled' } }),
    );
    await followed();
    release();
    await underWay;
    pause = undefined;
    expect(await outcome()).toMatchObject({ answer: { kind: 'refused' } });
  });

  it.each<[string, () => Partial<SignIn>]>([
    ['another secret', () => ({ password: Buffer.from('guess') })],
    ['another client identifier', () => ({ clientId: 'other' })],
    ['another address', () => ({ remoteAddress: '192.0.2.2' })],
    ['another way', () => ({ transport: 'tcp' })],
    ['no certificate', () => ({ peerCertificate: undefined })],
    ['another host name', () => ({ serverName: 'localhost' })],
  ])('is judged with %s than before', async (_, change) => {
    await outcome();
    await followed();
    expect((await outcome(request(change()))).questions).toBeGreaterThan(0);
    expect(await outcome()).toMatchObject(granted);
  });

  it('is asked about again each time where others gave their word for it', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { kty = '', crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
    await tenant.change('credential', { credentialId: device.credentialId, deviceId: device.id }, ({ db }) =>
      db.credential.updateMany({
        where: { id: device.credentialId },
        data: { kind: 'token', secretHash: null, publicKey: { kty, crv, x, y } },
      }),
    );
    await followed();
    const token = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256' })
      .setAudience(tenant.slug)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey);
    for (const shown of [request(), request({ serverName: undefined, peerCertificate: undefined })]) {
      const withToken = { ...shown, password: Buffer.from(token) };
      for (let i = 0; i < 3; i++) {
        const { answer, questions } = await outcome(withToken);
        expect(answer).toMatchObject({ kind: 'granted', principal: { voucher: { kind: 'key' } } });
        expect(questions).toBeGreaterThan(0);
      }
    }
  });

  it('is nobody else: the same name, secret and identifier in another tenant is that tenant’s', async () => {
    const twin = await createTestTenant(store, database.secretKey);
    const other = await twin.addDevice('meter');
    await store.tenant(twin.id, async ({ db }) => {
      const { secretHash } = await store.tenant(tenant.id, (tx) =>
        tx.db.credential.findFirstOrThrow({ where: { id: device.credentialId } }),
      );
      await db.credential.updateMany({ where: { id: other.credentialId }, data: { secretHash } });
    });
    await twin.addPolicy('own', [rule], { targetKind: 'tenant', targetId: twin.id });
    const plain = { serverName: undefined, peerCertificate: undefined };
    const ours = request(plain);
    const theirs = request({ ...plain, username: other.username });
    for (let i = 0; i < 2; i++) {
      expect(await gate.admit(ours)).toMatchObject({
        principal: { tenantId: tenant.id, deviceId: device.id },
      });
      expect(await gate.admit(theirs)).toMatchObject({
        principal: { tenantId: twin.id, deviceId: other.id },
      });
      await followed();
    }
    await tenant.set({ status: 'suspended' });
    await followed();
    expect(await outcome(theirs)).toMatchObject(granted);
    expect(await outcome(ours)).toMatchObject({ answer: { kind: 'refused' } });
  });

  it('is not let in while nothing can be stored, or who fails too often comes from there', async () => {
    await outcome();
    await followed();
    isStoreDown = true;
    expect(await outcome()).toMatchObject({ answer: { kind: 'refused' } });
    isStoreDown = false;
    expect(await outcome()).toMatchObject(granted);
    const guess = request({ password: Buffer.from('guess'), peerCertificate: undefined });
    const tooMany = { kind: 'refused', detail: 'too many failed sign-ins' };
    // One more is allowed every two seconds: where this machine takes so long, it is tried again.
    const onceTooMany = async (): Promise<Grant | Refusal> => {
      for (let answer = await gate.admit(guess); 'detail' in answer && answer.detail !== tooMany.detail;)
        answer = await gate.admit(guess);
      return (await outcome()).answer;
    };
    expect(await eventually(onceTooMany, ({ kind }) => kind === 'refused')).toMatchObject(tooMany);
  });
});

describe('a credential that was read before', () => {
  const plain = (change: Partial<SignIn> = {}): SignIn =>
    request({ serverName: undefined, peerCertificate: undefined, clientId: randomUUID(), ...change });

  /** One that may use any identifier, as it is for whoever comes with a new one each time. */
  beforeEach(async () => {
    await tenant.change('credential', { credentialId: device.credentialId, deviceId: device.id }, ({ db }) =>
      db.credential.updateMany({
        where: { id: device.credentialId },
        data: { clientIdRule: { kind: 'any' } },
      }),
    );
    await outcome(plain());
    await followed();
    await outcome(plain());
  });

  const changeCredential = (data: object): Promise<unknown> =>
    tenant.change('credential', { credentialId: device.credentialId, deviceId: device.id }, ({ db }) =>
      db.credential.updateMany({ where: { id: device.credentialId }, data }),
    );

  it('is not read again for a new identifier or address, and counts as used', async () => {
    used = [];
    const { answer, questions } = await outcome(plain({ clientId: 'new', remoteAddress: '192.0.2.77' }));
    expect(answer).toMatchObject({ principal: { clientId: 'new', address: '192.0.2.77' } });
    expect(questions).toBe(0);
    expect(used).toEqual([device.credentialId]);
  });

  it('is read for who shows another password, and for whom it refuses', async () => {
    expect(await outcome(plain({ password: Buffer.from('guess') }))).toMatchObject({
      answer: { kind: 'refused', detail: 'wrong password' },
      questions: 1,
    });
    await changeCredential({ clientIdRule: { kind: 'prefix', value: 'own-' } });
    await followed();
    await outcome(plain({ clientId: 'own-1' }));
    expect(await outcome(plain({ clientId: 'own-2' }))).toMatchObject(granted);
    expect(await outcome(plain({ clientId: 'other' }))).toMatchObject({
      answer: { kind: 'refused', reason: Reasons.clientIdentifierNotValid },
      questions: 1,
    });
  });

  it('is not read again either where somebody chose its password, and no other password is taken for it', async () => {
    const chosen = Buffer.from('correct horse battery staple');
    const passwordHash = await hashPassword(database.secretKey, chosen);
    await changeCredential({ secretHash: null, passwordHash });
    await followed();
    await outcome(plain({ password: chosen }));
    expect(await outcome(plain({ password: chosen }))).toMatchObject(granted);
    for (const password of [Buffer.from(device.password), Buffer.alloc(0), undefined]) {
      expect(await outcome(plain({ password }))).toMatchObject({ answer: { detail: 'wrong password' } });
    }
    expect(await outcome(plain({ password: chosen }))).toMatchObject(granted);
  });

  it('has the rules of the way that each one comes by', async () => {
    const overTls: Rule = { ...rule, topics: ['over-tls'], when: { transports: ['tls'] } };
    const ways = await tenant.addPolicy('ways', [], { targetKind: 'device', targetId: device.id });
    await ways.setRules([overTls]);
    await followed();
    await outcome(plain());
    for (const [transport, allowed] of [
      ['tls', true],
      ['tcp', false],
      ['tls', true],
    ] as const) {
      const { answer, questions } = await outcome(plain({ transport }));
      expect(answer.kind === 'granted' && answer.policy.publishRight('over-tls').allowed).toBe(allowed);
      expect(questions).toBe(0);
    }
  });

  it.each<[string, () => Promise<unknown>, 'granted' | 'refused']>([
    ['it ends', () => changeCredential({ disabledAt: new Date(now()) }), 'refused'],
    ['its password changes', () => changeCredential({ secretHash: Buffer.alloc(32) }), 'refused'],
    ['its tenant is suspended', () => tenant.set({ status: 'suspended' }), 'refused'],
    [
      'its device is disabled',
      () =>
        tenant.change('device', { deviceId: device.id }, ({ db }) =>
          db.device.updateMany({ where: { id: device.id }, data: { status: 'disabled' } }),
        ),
      'refused',
    ],
    [
      'a policy is bound no more',
      () => tenant.change('policy', { policyId }, ({ db }) => db.policyBinding.deleteMany()),
      'granted',
    ],
    [
      'a group changes',
      () => tenant.change('group', { groupId: randomUUID() }, () => Promise.resolve()),
      'granted',
    ],
  ])('is read again when %s', async (_, change, then) => {
    await change();
    await followed();
    const { answer, questions } = await outcome(plain());
    expect(answer.kind).toBe(then);
    expect(questions).toBeGreaterThan(0);
  });

  it('is not read again for what concerns another', async () => {
    const other = await tenant.addDevice('other');
    await tenant.change('device', { deviceId: other.id }, () => Promise.resolve());
    await tenant.change('session', { clientId: 'x' }, () => Promise.resolve());
    await followed();
    expect(await outcome(plain())).toMatchObject(granted);
  });

  it('ends by the clock', async () => {
    await changeCredential({ notAfter: new Date(now() + 1_500) });
    await followed();
    await outcome(plain());
    expect(await outcome(plain())).toMatchObject(granted);
    ahead += 1_600;
    expect(await outcome(plain())).toMatchObject({ answer: { kind: 'refused' } });
  });

  it('is not what a change overtook', async () => {
    await tenant.change('group', { groupId: randomUUID() }, () => Promise.resolve());
    await followed();
    let release: () => void = () => undefined;
    pause = new Promise((resolve) => (release = resolve));
    const underWay = outcome(plain());
    await changeCredential({ disabledAt: new Date(now()) });
    await followed();
    release();
    await underWay;
    pause = undefined;
    expect(await outcome(plain())).toMatchObject({ answer: { kind: 'refused' } });
  });

  it('is read again while this process does not know that nothing has changed', async () => {
    isHeard = false;
    ahead += 2_100;
    expect((await outcome(plain())).questions).toBeGreaterThan(0);
    isHeard = true;
  });

  const ban = (kind: string, value: string, expiresAt: Date | null = null): Promise<unknown> =>
    tenant.change(
      'ban',
      { kind, value },
      ({ db, tenantId }) =>
        db.$executeRaw`INSERT INTO bans (tenant_id, kind, value, range, reason, expires_at, created_by)
          VALUES (${tenantId}::uuid, ${kind}, ${value}, ${kind === 'address' ? value : null}::inet, '', ${expiresAt}, 'test')`,
    );

  it.each<[string, string, () => string, () => Partial<SignIn>]>([
    ['identifier', 'client-id', () => 'bad', () => ({ clientId: 'bad' })],
    ['username', 'username', () => device.username.slice(0, device.username.lastIndexOf('@')), () => ({})],
    ['address', 'address', () => '198.51.100.9/24', () => ({ remoteAddress: '198.51.100.77' })],
    ['address of the other kind', 'address', () => '2001:db8::/32', () => ({ remoteAddress: '2001:db8::1' })],
  ])('is of no use to a banned %s', async (_, kind, value, who) => {
    expect(await outcome(plain(who()))).toMatchObject(granted);
    await ban(kind, value());
    await followed();
    expect(await outcome(plain(who()))).toMatchObject({ answer: { reason: Reasons.banned } });
    if (kind !== 'username') expect(await outcome(plain())).toMatchObject(granted);
    await tenant.change('ban', { kind, value: value() }, ({ db }) => db.ban.deleteMany());
    await followed();
    expect(await outcome(plain(who()))).toMatchObject({ answer: { kind: 'granted' } });
  });

  it('is of no use to whom the platform bans, and a ban that is over costs a question', async () => {
    await ban('client-id', 'once', new Date(now() - 1_000));
    await store.platform(async (tx) => {
      await createBan(tx, {
        kind: 'client-id',
        value: 'bad',
        reason: '',
        expiresAt: undefined,
        createdBy: 't',
      });
      await recordPlatformChange(tx, {
        kind: 'ban',
        subject: { kind: 'client-id', value: 'bad', platform: true },
      });
    });
    await followed();
    expect(await outcome(plain({ clientId: 'bad' }))).toMatchObject({ answer: { reason: Reasons.banned } });
    expect(await outcome(plain())).toMatchObject(granted);
    expect(await outcome(plain({ clientId: 'once' }))).toMatchObject({
      answer: { kind: 'granted' },
      questions: 1,
    });
    await store.platform(async (tx) => {
      await tx.db.ban.deleteMany({ where: { tenantId: null } });
      await recordPlatformChange(tx, {
        kind: 'ban',
        subject: { kind: 'client-id', value: 'bad', platform: true },
      });
    });
    await followed();
  });

  it('is held against bans in the store where they are too many to be listed', async () => {
    await tenant.change(
      'ban',
      { kind: 'client-id', value: 'b1' },
      ({ db, tenantId }) =>
        db.$executeRaw`INSERT INTO bans (tenant_id, kind, value, reason, created_by)
          SELECT ${tenantId}::uuid, 'client-id', 'b' || n, '', 'test' FROM generate_series(1, 1001) n`,
    );
    await followed();
    await outcome(plain());
    expect(await outcome(plain())).toMatchObject({ answer: { kind: 'granted' }, questions: 1 });
    expect(await outcome(plain({ clientId: 'b77' }))).toMatchObject({ answer: { reason: Reasons.banned } });
  });
});
