import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let device: { id: string; profileId: string };
let group: { id: string };

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  group = (await acme.admin.post(`${acme.path}/groups`, { name: 'meters' })).body;
  device = (await acme.admin.post(`${acme.path}/devices`, { name: 'm-1', groupIds: [group.id] })).body;
});
afterAll(() => api.stop());

const allow = (...topics: string[]) => ({ effect: 'allow', actions: ['publish'], topics });
const deny = (...topics: string[]) => ({ effect: 'deny', actions: ['publish'], topics });

async function createPolicy(name: string, rules: unknown[] = [allow('a/${device}/#')]) {
  const created = await acme.admin.post(`${acme.path}/policies`, { name, rules });
  expect(created.status).toBe(201);
  return {
    ...created.body,
    path: `${acme.path}/policies/${created.body.id}`,
    etag: created.headers.get('etag'),
  };
}

async function bind(policyId: string, targetKind: string, targetId: string) {
  return acme.admin.post(`${acme.path}/policy-bindings`, { policyId, targetKind, targetId });
}

describe('policies', () => {
  it('are created with their rules as version 1, and read back', async () => {
    const { path, id } = await createPolicy('first');
    const read = await acme.viewer.get(path);
    expect(read.body).toMatchObject({ id, name: 'first', description: '', activeVersion: 1, version: 1 });
    expect(read.headers.get('etag')).toBe('"1"');
    const version = await acme.viewer.get(`${path}/versions/1`);
    expect(version.body).toMatchObject({ number: 1, rules: [allow('a/${device}/#')] });
    expect(version.body.createdBy).toMatch(/^moo_/);
  });

  it('refuse a bad rule with a pointer to it', async () => {
    const refused = await acme.admin.post(`${acme.path}/policies`, {
      name: 'bad',
      rules: [allow('fine'), allow('a/#/b', '${nope}'), { effect: 'maybe', actions: [], topics: ['x'] }],
    });
    expect(refused.status).toBe(422);
    expect(refused.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(
      expect.arrayContaining(['#/rules/1/topics/0', '#/rules/1/topics/1', '#/rules/2/effect']),
    );
    expect(refused.text).not.toContain('${nope}');
  });

  it('refuse a taken name, on creating and on renaming', async () => {
    const { path } = await createPolicy('one-name');
    await createPolicy('another-name');
    const again = await acme.admin.post(`${acme.path}/policies`, { name: 'one-name', rules: [] });
    expect([again.status, again.body.code]).toEqual([409, 'name-taken']);
    const renamed = await acme.admin.patch(path, { name: 'another-name' });
    expect([renamed.status, renamed.body.code]).toEqual([409, 'name-taken']);
  });

  it('are renamed only by who has read what is there', async () => {
    const { path } = await createPolicy('to-rename');
    const blind = await acme.admin.call('PATCH', path, { body: { name: 'x' } });
    expect(blind.status).toBe(428);
    const stale = await acme.admin.patch(path, { name: 'x' }, '"7"');
    expect(stale.status).toBe(412);
    const renamed = await acme.admin.patch(path, { name: 'renamed' }, '"1"');
    expect([renamed.status, renamed.body.name, renamed.headers.get('etag')]).toEqual([200, 'renamed', '"2"']);
    expect(renamed.headers.get('operation-location')).toMatch(/^\/v1\/tenants\/acme\/operations\/\d+$/);
    const described = await acme.admin.patch(path, { description: 'for people' });
    expect(described.headers.get('operation-location')).toBeNull();
  });

  it('get new versions, go forward and back in one call each, and keep them all', async () => {
    const { path } = await createPolicy('versioned');
    const second = await acme.admin.post(`${path}/versions`, { rules: [deny('#')] });
    expect([second.status, second.body.number]).toEqual([201, 2]);
    expect((await acme.viewer.get(path)).body.activeVersion).toBe(1);
    const forward = await acme.admin.post(`${path}/activate`, { version: 2 }, { 'if-match': '"1"' });
    expect([forward.status, forward.body.activeVersion]).toEqual([200, 2]);
    expect(forward.headers.get('operation-location')).not.toBeNull();
    const back = await acme.admin.post(`${path}/activate`, { version: 1 }, { 'if-match': '"2"' });
    expect(back.body.activeVersion).toBe(1);
    const third = await acme.admin.post(`${path}/versions`, { rules: [], activate: true });
    expect(third.body.number).toBe(3);
    expect((await acme.viewer.get(path)).body.activeVersion).toBe(3);
    const all = await acme.viewer.get(`${path}/versions?limit=2`);
    expect(all.body.items.map(({ number }: { number: number }) => number)).toEqual([3, 2]);
    const rest = await acme.viewer.get(`${path}/versions?limit=2&after=${all.body.next}`);
    expect(rest.body).toMatchObject({ items: [{ number: 1 }], next: null });
    const nothing = await acme.admin.post(`${path}/activate`, { version: 9 }, { 'if-match': '*' });
    expect([nothing.status, nothing.body.errors[0].pointer]).toEqual([422, '#/version']);
    expect((await acme.admin.post(`${path}/activate`, { version: 1 })).status).toBe(428);
  });

  it('give parallel writers versions of different numbers', async () => {
    const { path } = await createPolicy('contended');
    const added = await Promise.all(
      Array.from({ length: 5 }, () => acme.admin.post(`${path}/versions`, { rules: [] })),
    );
    expect(added.map(({ body }) => body.number).toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6]);
  });

  it('are not deleted while bound, unless asked to', async () => {
    const { path, id } = await createPolicy('bound');
    const { body: binding } = await bind(id, 'device', device.id);
    const refused = await acme.admin.delete(path);
    expect([refused.status, refused.body.code]).toEqual([409, 'in-use']);
    expect(refused.body.detail).toMatch(/unbind/);
    const done = await acme.admin.call('DELETE', `${path}?unbind=true`, { headers: { 'if-match': '*' } });
    expect(done.status).toBe(204);
    expect(done.headers.get('operation-location')).not.toBeNull();
    expect((await acme.viewer.get(`${acme.path}/policy-bindings/${binding.id}`)).status).toBe(404);
    const unbound = await createPolicy('unbound');
    expect((await acme.admin.delete(unbound.path)).status).toBe(204);
    expect((await acme.viewer.get(unbound.path)).status).toBe(404);
  });

  it('are listed a page at a time', async () => {
    const seen: string[] = [];
    for (let path: string | null = `${acme.path}/policies?limit=2`; path !== null;) {
      const page = await acme.viewer.get(path);
      seen.push(...page.body.items.map(({ name }: { name: string }) => name));
      path = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? null;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(['first', 'versioned', 'own-topics']));
  });

  it('are recorded in the audit with who changed them', async () => {
    const { id, path } = await createPolicy('audited');
    await acme.admin.post(`${path}/versions`, { rules: [], activate: true });
    const audit = await acme.admin.get(`${acme.path}/audit?subjectId=${id}`);
    expect(audit.body.items.map(({ action }: { action: string }) => action)).toEqual([
      'policy.activate',
      'policy.version.create',
      'policy.create',
    ]);
    expect(audit.body.items[0].actor).toBe(acme.admin.key?.slice(0, 16));
  });
});

describe('policy bindings', () => {
  it('bind to the tenant, a group, a profile and a device, once each', async () => {
    const { id } = await createPolicy('everywhere');
    const targets = [
      ['tenant', acme.id],
      ['group', group.id],
      ['profile', device.profileId],
      ['device', device.id],
    ] as const;
    for (const [kind, target] of targets) {
      const bound = await bind(id, kind, target);
      expect([bound.status, bound.body.targetKind]).toEqual([201, kind]);
      expect(bound.headers.get('operation-location')).not.toBeNull();
    }
    const again = await bind(id, 'device', device.id);
    expect([again.status, again.body.code]).toEqual([409, 'conflict']);
    const listed = await acme.viewer.get(`${acme.path}/policy-bindings?policy=${id}`);
    expect(listed.body.items).toHaveLength(4);
    const [first] = (await acme.viewer.get(`${acme.path}/policy-bindings?policy=${id}&targetKind=group`)).body
      .items;
    expect((await acme.admin.delete(`${acme.path}/policy-bindings/${first.id}`)).status).toBe(204);
    expect((await acme.viewer.get(`${acme.path}/policy-bindings/${first.id}`)).status).toBe(404);
  });

  it('refuse a target or a policy of another tenant as one that does not exist', async () => {
    const { id } = await createPolicy('at-home');
    const foreign = (await other.admin.post(`${other.path}/devices`, { name: 'm-1' })).body;
    const unknown = '018f4e8e-0000-7000-8000-000000000000';
    const answers = await Promise.all([
      bind(id, 'device', foreign.id),
      bind(id, 'device', unknown),
      bind(id, 'tenant', other.id),
      bind(id, 'group', device.id),
    ]);
    for (const answer of answers) {
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, '#/targetId']);
    }
    expect(answers[0]?.text).toBe(answers[1]?.text);
    const stolen = await other.admin.post(`${other.path}/policy-bindings`, {
      policyId: id,
      targetKind: 'device',
      targetId: foreign.id,
    });
    expect([stolen.status, stolen.body.errors[0].pointer]).toEqual([422, '#/policyId']);
  });

  it('end with their target', async () => {
    const { id } = await createPolicy('until-then');
    const doomed = (await acme.admin.post(`${acme.path}/devices`, { name: 'doomed' })).body;
    await bind(id, 'device', doomed.id);
    await acme.admin.delete(`${acme.path}/devices/${doomed.id}`);
    expect((await acme.viewer.get(`${acme.path}/policy-bindings?policy=${id}`)).body.items).toEqual([]);
  });
});

describe('the evaluation of policies', () => {
  it('says what the broker would decide, and by which rule of which version', async () => {
    const { id, path } = await createPolicy('lab', [allow('lab/${device}/#'), deny('lab/+/secret')]);
    await bind(id, 'group', group.id);
    const ask = async (question: object) =>
      (await acme.viewer.post(`${acme.path}/policies/evaluate`, { deviceId: device.id, ...question })).body;
    expect(await ask({ action: 'publish', topic: 'lab/m-1/data' })).toMatchObject({
      decision: 'allow',
      rule: { policyId: id, policyName: 'lab', version: 1, index: 0, pattern: 'lab/m-1/#' },
    });
    expect(await ask({ action: 'publish', topic: 'lab/m-1/secret' })).toMatchObject({
      decision: 'deny',
      rule: { index: 1 },
    });
    expect(await ask({ action: 'publish', topic: 'lab/m-2/data' })).toMatchObject({
      decision: 'deny',
      rule: null,
    });
    expect(await ask({ action: 'subscribe', topic: 'elsewhere/#' })).toMatchObject({ decision: 'deny' });
    expect(await ask({ action: 'connect' })).toMatchObject({ decision: 'allow' });
    await acme.admin.post(`${path}/versions`, { rules: [], activate: true });
    expect(await ask({ action: 'publish', topic: 'lab/m-1/data' })).toMatchObject({
      decision: 'deny',
      rule: null,
    });
  });

  it('takes in how, from where and when the device comes, ranges of addresses and bans', async () => {
    const own = (await acme.admin.post(`${acme.path}/devices`, { name: 'm-2' })).body;
    const when = { transports: ['mtls'], addresses: ['10.0.0.0/8'] };
    const { id } = await createPolicy('guarded', [{ ...allow('guarded'), when }]);
    await bind(id, 'device', own.id);
    const ask = async (question: object) =>
      (await acme.viewer.post(`${acme.path}/policies/evaluate`, { deviceId: own.id, ...question })).body;
    const publish = { action: 'publish', topic: 'guarded' };
    expect(await ask({ ...publish, transport: 'mtls', address: '10.1.2.3' })).toMatchObject({
      decision: 'allow',
      unmet: [],
    });
    expect(await ask({ ...publish, transport: 'tls', address: '10.1.2.3' })).toMatchObject({
      decision: 'deny',
      unmet: [{ policyName: 'guarded', index: 0, effect: 'allow', conditions: ['transports'] }],
    });
    await acme.admin.patch(`${acme.path}/devices/${own.id}`, { addresses: { deny: ['192.0.2.0/24'] } });
    expect(await ask({ action: 'connect', address: '192.0.2.1' })).toMatchObject({
      decision: 'deny',
      reason: 'the address is in a range that the device denies',
    });
    expect(await ask({ action: 'connect', address: '192.0.3.1' })).toMatchObject({ decision: 'allow' });
    await acme.admin.post(`${acme.path}/bans`, { kind: 'client-id', value: 'm-2', reason: 'too loud' });
    expect(await ask({ action: 'connect' })).toMatchObject({
      decision: 'deny',
      reason: 'the client identifier is banned: too loud',
    });
    const platform = { kind: 'address', value: '198.51.100.0/24', reason: 'a flood' };
    expect((await api.platform.post('/v1/bans', platform)).status).toBe(201);
    const elsewhere = { action: 'connect', clientId: 'm-3' };
    expect(await ask({ ...elsewhere, address: '192.0.3.1' })).toMatchObject({ decision: 'allow' });
    const { body: free } = await acme.admin.post(`${acme.path}/devices`, { name: 'free' });
    const connect = { deviceId: free.id, action: 'connect', address: '198.51.100.7' };
    const asked = await acme.viewer.post(`${acme.path}/policies/evaluate`, connect);
    expect(asked.body).toMatchObject({
      decision: 'deny',
      reason: 'the address is banned by the platform: a flood',
    });
    await acme.admin.patch(`${acme.path}/devices/${free.id}`, { status: 'disabled' });
    const off = await acme.viewer.post(`${acme.path}/policies/evaluate`, { ...connect, address: undefined });
    expect(off.body).toMatchObject({ decision: 'deny', reason: 'the device is disabled' });
  });

  it('refuses an unknown device and a question without its topic', async () => {
    const path = `${acme.path}/policies/evaluate`;
    const foreign = await other.admin.post(`${other.path}/policies/evaluate`, {
      deviceId: device.id,
      action: 'connect',
    });
    expect([foreign.status, foreign.body.errors[0].pointer]).toEqual([422, '#/deviceId']);
    const topicless = await acme.viewer.post(path, { deviceId: device.id, action: 'publish' });
    expect([topicless.status, topicless.body.errors[0].pointer]).toEqual([422, '#/topic']);
  });
});
