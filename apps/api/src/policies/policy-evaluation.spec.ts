import { afterAll, beforeEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type Json, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let acme: TestTenant;
let device: Json;
let count = 0;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

beforeEach(async () => {
  acme = await api.createTenant(`acme-${(count += 1)}`);
  device = (await acme.admin.post(`${acme.path}/devices`, { name: 'pump-1' })).body;
});

const allow = (actions: string[], topics: string[], when?: object) => ({
  effect: 'allow',
  actions,
  topics,
  when,
});

async function give(rules: object[]): Promise<void> {
  const { body } = await acme.admin.post(`${acme.path}/policies`, { name: 'own', rules });
  const binding = { policyId: body.id, targetKind: 'device', targetId: device.id };
  await acme.admin.post(`${acme.path}/policy-bindings`, binding);
}

async function ask(question: object): Promise<Json> {
  const asked = { deviceId: device.id, ...question };
  return (await acme.viewer.post(`${acme.path}/policies/evaluate`, asked)).body;
}

const connect = (more: object = {}) => ask({ action: 'connect', ...more });
const denied = (reason: string) => ({ decision: 'deny', reason, rule: null, maxQos: null });
const ban = (kind: string, value: string) => acme.admin.post(`${acme.path}/bans`, { kind, value });

describe('a device may connect', () => {
  it('where nothing is in its way', async () => {
    expect(await connect()).toMatchObject({ decision: 'allow' });
  });

  it('not while its tenant is suspended, whatever else there is', async () => {
    await ban('client-id', 'pump-1');
    await api.platform.patch(`/v1/tenants/${acme.slug}`, { status: 'suspended' });
    // Its own keys are refused, and say so.
    expect(await connect()).toMatchObject({ code: 'tenant-suspended' });
    const asked = { deviceId: device.id, action: 'connect' };
    const { body } = await api.platform.post(`${acme.path}/policies/evaluate`, asked);
    expect(body).toMatchObject(denied('the tenant is suspended'));
  });

  it('not while it is disabled', async () => {
    await acme.admin.patch(`${acme.path}/devices/${device.id}`, { status: 'disabled' });
    expect(await connect()).toMatchObject(denied('the device is disabled'));
  });

  it.each<[string, object, object]>([
    ['disabled', {}, { disabled: true }],
    ['not-yet-valid', { notBefore: new Date(Date.now() + 3_600_000) }, {}],
    ['expired', { notAfter: new Date(Date.now() + 3_600_000) }, {}],
  ])('not by a credential that is %s', async (state, made, patch) => {
    const path = `${acme.path}/devices/${device.id}/credentials`;
    const { body } = await acme.admin.post(path, made);
    await acme.admin.patch(`${path}/${body.id}`, patch);
    const at = state === 'expired' ? new Date(Date.now() + 7_200_000) : new Date();
    expect(await connect({ credentialId: body.id, at })).toMatchObject(denied(`the credential is ${state}`));
  });

  it("not by another's credential, nor under a client identifier that its own does not allow", async () => {
    const { body: own } = await acme.admin.post(`${acme.path}/devices/${device.id}/credentials`, {});
    const asked = { credentialId: own.id, clientId: 'else' };
    expect(await connect({ credentialId: own.id })).toMatchObject({ decision: 'allow' });
    const reason = "the credential's client-id rule does not allow this client identifier";
    expect(await connect(asked)).toMatchObject(denied(reason));
    device = (await acme.admin.post(`${acme.path}/devices`, { name: 'pump-2' })).body;
    expect(await connect(asked)).toMatchObject(denied('the credential is of another device'));
    const unknown = await connect({ credentialId: device.id });
    expect(unknown.errors[0]).toMatchObject({ pointer: '#/credentialId', code: 'unknown' });
  });

  it("not from addresses that its tenant's or its own ranges keep out", async () => {
    await acme.admin.patch(`${acme.path}/devices/${device.id}`, { addresses: { deny: ['10.1.0.0/16'] } });
    const ranges = { allow: ['10.0.0.0/8'] };
    await acme.admin.call('PUT', `${acme.path}/address-ranges`, {
      body: ranges,
      headers: { 'if-match': '*' },
    });
    expect(await connect({ address: '10.2.3.4' })).toMatchObject({ decision: 'allow' });
    expect(await connect({ address: '192.0.2.1' })).toMatchObject(
      denied('the address is in none of the ranges that the tenant allows'),
    );
    expect(await connect({ address: '::ffff:10.1.2.3' })).toMatchObject(
      denied('the address is in a range that the device denies'),
    );
  });

  it('not where a ban is on its client identifier, its address, or the first part of its username', async () => {
    await ban('client-id', 'noisy');
    await ban('address', '203.0.113.0/24');
    await ban('username', 'key-7');
    expect(await connect()).toMatchObject({ decision: 'allow' });
    expect(await connect({ clientId: 'noisy' })).toMatchObject(denied('the client identifier is banned'));
    expect(await connect({ address: '203.0.113.9' })).toMatchObject(denied('the address is banned'));
    for (const username of ['key-7', `key-7@${acme.slug}`])
      expect(await connect({ username })).toMatchObject(denied('the username is banned'));
    // Somebody else's name that only begins, or ends, so.
    for (const username of ['key-70', `x@key-7@${acme.slug}`])
      expect(await connect({ username })).toMatchObject({ decision: 'allow' });
  });

  it('not where the platform bans its whole username', async () => {
    const value = `key-9@${acme.slug}`;
    const reason = 'stolen';
    expect((await api.platform.post('/v1/bans', { kind: 'username', value, reason })).status).toBe(201);
    for (const username of ['key-9', value])
      expect(await connect({ username })).toMatchObject(
        denied('the username is banned by the platform: stolen'),
      );
    expect(await connect({ username: 'key-9@elsewhere' })).toMatchObject({ decision: 'allow' });
  });

  it('not outside of the hours that its rules name', async () => {
    await give([allow(['connect'], [], { time: { from: '08:00', to: '16:00' } })]);
    expect(await connect({ at: '2026-03-02T09:00:00Z' })).toMatchObject({
      decision: 'allow',
      rule: { index: 0 },
    });
    expect(await connect({ at: '2026-03-02T20:00:00Z' })).toMatchObject({
      decision: 'deny',
      unmet: [{ policyName: 'own', index: 0, conditions: ['time'] }],
    });
  });
});

describe('a ban', () => {
  it('takes null for no end, as it shows it, and names its faults as the other resources do', async () => {
    const path = `${acme.path}/bans`;
    const made = await acme.admin.post(path, { kind: 'username', value: 'key', expiresAt: null });
    expect([made.status, made.body.expiresAt]).toEqual([201, null]);
    const past = await acme.admin.post(path, {
      kind: 'username',
      value: 'k',
      expiresAt: '2020-01-01T00:00:00Z',
    });
    expect(past.body.errors[0]).toMatchObject({ pointer: '#/expiresAt', code: 'past' });
    const range = await ban('address', '10.0.0.0/33');
    expect(range.body.errors[0]).toMatchObject({ pointer: '#/value', code: 'bad-range' });
  });
});

describe('bans on usernames that could be on nobody', () => {
  it('are refused: a tenant names the first part, the platform the whole', async () => {
    const whole = await ban('username', 'key@acme');
    expect([whole.status, whole.body.errors[0].code]).toEqual([422, 'idle-username']);
    const part = await api.platform.post('/v1/bans', { kind: 'username', value: 'key' });
    expect([part.status, part.body.errors[0].code]).toEqual([422, 'idle-username']);
  });
});

describe('a filter that is allowed in part', () => {
  it('is granted where the tenant chose so, and what is left out is named', async () => {
    await give([allow(['subscribe'], ['a/b'], { maxQos: 1 })]);
    const question = { action: 'subscribe', topic: 'a/+' };
    expect(await ask(question)).toMatchObject({ decision: 'deny', witness: expect.stringMatching(/^a\//) });
    await api.platform.patch(`/v1/tenants/${acme.slug}`, { settings: { partialCover: 'narrow' } });
    expect(await ask(question)).toMatchObject({
      decision: 'allow',
      maxQos: 1,
      reason: expect.stringMatching(/^granted in part/),
      witness: expect.stringMatching(/^a\//),
    });
    expect(await ask({ ...question, topic: '$share/g/a/+' })).toMatchObject({ decision: 'deny' });
    expect(await ask({ ...question, topic: 'c/+' })).toMatchObject({ decision: 'deny' });
  });
});

describe('what is no question for rules', () => {
  it.each([
    ['publish', 'a/+', 'topic'],
    ['publish', 'a/#', 'topic'],
    ['publish', 'a\u0001', 'topic'],
    ['publish', 'a\ufffe', 'topic'],
    ['receive', '#', 'topic'],
    ['retain', 'a/+/b', 'topic'],
    ['subscribe', 'a#', 'topic-filter'],
    ['subscribe', 'a/#/b', 'topic-filter'],
    ['subscribe', '$share/g', 'topic-filter'],
    ['subscribe', '$share/g/', 'topic-filter'],
    ['subscribe', '$share//a', 'topic-filter'],
    ['subscribe', '$share/g+/a', 'topic-filter'],
    ['subscribe', '$share/g/a#', 'topic-filter'],
  ])('is refused: %s %j', async (action, topic, code) => {
    await give([allow(['publish', 'subscribe', 'retain'], ['#'])]);
    expect(await ask({ action, topic })).toMatchObject({
      code: 'invalid',
      errors: [{ pointer: '#/topic', code }],
    });
  });

  it('is denied whatever they say: to publish where the server alone does', async () => {
    await give([allow(['publish', 'subscribe', 'retain'], ['$a/#'])]);
    const reason = "topics that begin with $ are the server's";
    for (const asked of [{}, { retain: true }])
      expect(await ask({ action: 'publish', topic: '$a/b', ...asked })).toMatchObject(denied(reason));
    expect(await ask({ action: 'retain', topic: '$a/b' })).toMatchObject(denied(reason));
    for (const topic of ['$a/b', '$share/g/$a/b', '$share'])
      expect(await ask({ action: 'subscribe', topic })).toMatchObject({
        decision: topic === '$share' ? 'deny' : 'allow',
      });
  });
});
