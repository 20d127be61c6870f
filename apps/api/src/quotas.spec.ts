import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../test/support/api.js';
import { makeAuthority } from '../../../test/support/pki.js';
import { maxBans } from './bans/ban.service.js';
import { maxPerTenant as maxHostNames } from './host-names/host-name.service.js';
import { quotas } from './quotas.js';

let api: TestApi;
let tenant: TestTenant;
let other: TestTenant;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('many');
  other = await api.createTenant('few');
});
afterAll(() => api.stop());

const fill = (sql: string, count: number, ...more: unknown[]) =>
  queryAsSuperuser(api.database, `${sql} FROM generate_series(1, $2) AS n`, [tenant.id, count, ...more]);

/** What becomes of two at the same moment. */
async function makeTwo(make: (name: string) => Promise<{ status: number; body: Json }>): Promise<Json[]> {
  const answers = await Promise.all([make('one'), make('two')]);
  return answers.toSorted((a, b) => a.status - b.status);
}

/** There was room for one of them. */
const oneOfTwo = (most: number): object[] => [
  { status: 201 },
  { status: 409, body: { code: 'limit-reached', detail: expect.stringContaining(`at most ${most} `) } },
];

describe('a tenant has room for so many and no more, also of two that come together:', () => {
  it('policies', async () => {
    await fill(
      `INSERT INTO policies (tenant_id, id, name, active_version) SELECT $1::uuid, uuidv7(), 'p' || n, 1`,
      quotas.policies - 2, // with the one that it began with
    );
    const rules = [{ effect: 'allow', actions: ['publish'], topics: ['a'] }];
    expect(
      await makeTwo((name) => tenant.admin.post(`${tenant.path}/policies`, { name, rules })),
    ).toMatchObject(oneOfTwo(quotas.policies));
    expect((await other.admin.post(`${other.path}/policies`, { name: 'one', rules })).status).toBe(201);
  });

  it('profiles', async () => {
    // With the one that it began with.
    await fill("INSERT INTO profiles (tenant_id, name) SELECT $1::uuid, 'p' || n", quotas.profiles - 2);
    expect(await makeTwo((name) => tenant.admin.post(`${tenant.path}/profiles`, { name }))).toMatchObject(
      oneOfTwo(quotas.profiles),
    );
  });

  it('groups', async () => {
    await fill("INSERT INTO groups (tenant_id, name) SELECT $1::uuid, 'g' || n", quotas.groups - 1);
    expect(await makeTwo((name) => tenant.admin.post(`${tenant.path}/groups`, { name }))).toMatchObject(
      oneOfTwo(quotas.groups),
    );
  });

  it('trust anchors', async () => {
    await fill(
      `INSERT INTO trust_anchors (tenant_id, name, certificate, subject, fingerprint, spki_hash, key_id, subject_hash, not_before, not_after,
         identity, challenge)
       SELECT $1::uuid, 'a' || n, '', 's', sha256('f'), sha256(n::text::bytea), 'k', sha256('n'), now(), now(), '{}', 'c'`,
      quotas['trust-anchors'] - 1,
    );
    const authorities = { one: await makeAuthority(), two: await makeAuthority() } as Json;
    expect(
      await makeTwo((name) =>
        tenant.admin.post(`${tenant.path}/trust-anchors`, { name, certificate: authorities[name].pem }),
      ),
    ).toMatchObject(oneOfTwo(quotas['trust-anchors']));
  });

  it('token issuers', async () => {
    await fill(
      `INSERT INTO token_issuers (tenant_id, name, issuer, audiences, algorithms, jwks_uri, identity)
       SELECT $1::uuid, 'i' || n, 'i' || n, '{a}', '{ES256}', 'u', '{}'`,
      quotas['token-issuers'] - 1,
    );
    expect(
      await makeTwo((name) =>
        tenant.admin.post(`${tenant.path}/token-issuers`, {
          name,
          issuer: `https://${name}.example`,
          audiences: ['a'],
          jwksUri: 'https://keys.example/jwks',
        }),
      ),
    ).toMatchObject(oneOfTwo(quotas['token-issuers']));
  });

  it('claim tokens', async () => {
    const [profile] = (await tenant.admin.get(`${tenant.path}/profiles`)).body.items;
    await fill(
      `INSERT INTO claim_tokens (tenant_id, name, token_hash, profile_id, name_template, name_pattern, max_uses, expires_at)
       SELECT $1::uuid, 'c' || n, sha256(n::text::bytea), $3::uuid, '\${name}', '*', 1, now() + interval '1 day'`,
      quotas['claim-tokens'] - 1,
      profile.id,
    );
    expect(await makeTwo((name) => tenant.admin.post(`${tenant.path}/claim-tokens`, { name }))).toMatchObject(
      oneOfTwo(quotas['claim-tokens']),
    );
  });

  it('credentials of a device, and versions of a policy', async () => {
    const device = (await other.admin.post(`${other.path}/devices`, { name: 'meter' })).body;
    for (let count = 1; count < quotas.credentials; count += 1)
      await other.admin.post(`${other.path}/devices/${device.id}/credentials`, {});
    expect(
      await makeTwo(() => other.admin.post(`${other.path}/devices/${device.id}/credentials`, {})),
    ).toMatchObject(oneOfTwo(quotas.credentials));
    const { items } = (await other.admin.get(`${other.path}/policies`)).body;
    const policy = items.find(({ name }: Json) => name === 'one');
    await queryAsSuperuser(
      api.database,
      `INSERT INTO policy_versions (tenant_id, policy_id, number, rules, created_by)
       SELECT $1::uuid, $2::uuid, n, '[]', 'me' FROM generate_series(2, $3) AS n`,
      [other.id, policy.id, quotas['policy-versions'] - 1],
    );
    const add = () => other.admin.post(`${other.path}/policies/${policy.id}/versions`, { rules: [] });
    expect(await makeTwo(add)).toMatchObject(oneOfTwo(quotas['policy-versions']));
  });

  it('API keys, those that are revoked left aside', async () => {
    await fill(
      `INSERT INTO api_keys (tenant_id, name, role, prefix, key_hash, revoked_at)
       SELECT $1::uuid, 'k' || n, 'viewer', $1::text || n, sha256('k'), CASE WHEN n <= 10 THEN now() END`,
      quotas['api-keys'] - 1 - 3 + 10,
    );
    const make = (name: string) => tenant.admin.post(`${tenant.path}/api-keys`, { name, role: 'viewer' });
    const answers = await makeTwo(make);
    expect(answers).toMatchObject(oneOfTwo(quotas['api-keys']));
    await tenant.admin.call('DELETE', `${tenant.path}/api-keys/${answers[0].body.id}`);
    expect((await make('three')).status).toBe(201);
  });

  it('API keys of the platform', async () => {
    const held = (await api.platform.get('/v1/api-keys')).body.items.length;
    await queryAsSuperuser(
      api.database,
      `INSERT INTO api_keys (name, role, prefix, key_hash)
       SELECT 'k' || n, 'admin', 'platform ' || n, sha256('k') FROM generate_series(1, $1) AS n`,
      [quotas['api-keys'] - 1 - held],
    );
    expect(await makeTwo((name) => api.platform.post('/v1/api-keys', { name }))).toMatchObject(
      oneOfTwo(quotas['api-keys']),
    );
  });

  it('policies bound to one target, and bindings in all', async () => {
    const { body: group } = await other.admin.post(`${other.path}/groups`, { name: 'bound' });
    const policies: Json = {};
    for (const name of ['one', 'two']) {
      const made = await other.admin.post(`${other.path}/policies`, { name: `bound ${name}`, rules: [] });
      policies[name] = made.body.id;
    }
    const bind = (name: string) =>
      other.admin.post(`${other.path}/policy-bindings`, {
        policyId: policies[name],
        targetKind: 'group',
        targetId: group.id,
      });
    const most = quotas['bindings-of-target'];
    await queryAsSuperuser(
      api.database,
      `INSERT INTO policies (tenant_id, id, name, active_version)
       SELECT $1::uuid, uuidv7(), 'fill ' || n, 1 FROM generate_series(1, $2::int) AS n`,
      [other.id, most - 1],
    );
    await queryAsSuperuser(
      api.database,
      `INSERT INTO policy_bindings (tenant_id, policy_id, target_kind, target_id)
       SELECT tenant_id, id, 'group', $2::uuid FROM policies WHERE tenant_id = $1 AND name LIKE 'fill %'`,
      [other.id, group.id],
    );
    expect(await makeTwo(bind)).toMatchObject(oneOfTwo(most));

    await queryAsSuperuser(api.database, 'DELETE FROM policy_bindings WHERE tenant_id = $1', [other.id]);
    await queryAsSuperuser(
      api.database,
      `INSERT INTO policy_bindings (tenant_id, policy_id, target_kind, target_id)
       SELECT $1::uuid, $2::uuid, 'device', uuidv7() FROM generate_series(1, $3::int)`,
      [other.id, policies.one, quotas.bindings - 1],
    );
    expect(await makeTwo(bind)).toMatchObject(oneOfTwo(quotas.bindings));
  });

  it('members of a group, by whatever way they come', async () => {
    const [profile] = (await tenant.admin.get(`${tenant.path}/profiles`)).body.items;
    const { items } = (await tenant.admin.get(`${tenant.path}/groups`)).body;
    const [{ id: full, name: fullName }, { id: roomy }] = items;
    await fill(
      "INSERT INTO devices (tenant_id, name, profile_id) SELECT $1::uuid, 'member-' || n, $3::uuid",
      quotas['group-members'] - 1,
      profile.id,
    );
    await queryAsSuperuser(
      api.database,
      'INSERT INTO group_members (tenant_id, group_id, device_id) SELECT tenant_id, $2, id FROM devices WHERE tenant_id = $1',
      [tenant.id, full],
    );
    const devices = `${tenant.path}/devices`;
    const make = (name: string, groupIds: string[]) => tenant.admin.post(devices, { name, groupIds });
    expect(await makeTwo((name) => make(name, [full]))).toMatchObject(oneOfTwo(quotas['group-members']));
    const { body: late } = await make('late', [roomy]);
    const refused = { status: 409, body: { code: 'limit-reached' } };
    expect(await tenant.admin.patch(`${devices}/${late.id}`, { groupIds: [roomy, full] })).toMatchObject(
      refused,
    );
    const members = `${tenant.path}/groups/${full}/members`;
    expect(await tenant.admin.call('PUT', `${members}/${late.id}`)).toMatchObject(refused);
    const bring = (name: string) =>
      tenant.admin.call('POST', `${devices}/bulk`, {
        text: JSON.stringify({ name, groups: [fullName] }),
        headers: { 'content-type': 'application/x-ndjson' },
      });
    expect(await bring('bulky')).toMatchObject(refused);
    expect((await bring('member-1')).body).toMatchObject({ created: 0, refused: 1 });
    // Who is a member stays one, and is none the more.
    const [member] = (await tenant.admin.get(`${members}?limit=1`)).body.items;
    expect((await tenant.admin.call('PUT', `${members}/${member.id}`)).status).toBeLessThan(300);
    expect((await tenant.admin.call('DELETE', `${members}/${member.id}`)).status).toBeLessThan(300);
    expect((await tenant.admin.call('PUT', `${members}/${late.id}`)).status).toBeLessThan(300);
  }, 120_000);

  it('host names, and one that is given twice at the same moment is there once', async () => {
    const give = (host: string) => api.platform.call('PUT', `${tenant.path}/host-names/${host}.many.example`);
    await fill(
      "INSERT INTO tenant_hosts (tenant_id, host) SELECT $1::uuid, n || '.many.example'",
      maxHostNames - 2,
    );
    const twice = await Promise.all(Array.from({ length: 8 }, () => give('twice')));
    expect(twice.map(({ status }) => status)).toEqual(twice.map(() => 204));
    const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => give(`late-${n}`)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect((await give('twice')).status).toBe(204);
  });

  it('bans, of a tenant and of the platform', async () => {
    for (const [owner, tenantId] of [
      [tenant.admin, tenant.id],
      [api.platform, null],
    ] as const) {
      await queryAsSuperuser(
        api.database,
        `INSERT INTO bans (tenant_id, kind, value, created_by) SELECT $1::uuid, 'client-id', 'x' || n, 'me' FROM generate_series(2, $2::int) n`,
        [tenantId, maxBans],
      );
      const path = tenantId === null ? '/v1/bans' : `${tenant.path}/bans`;
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, n) => owner.post(path, { kind: 'client-id', value: `late-${n}` })),
      );
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    }
  });

  it('devices, where the operator says how many', async () => {
    const small = await api.createTenant('small');
    const devices = `${small.path}/devices`;
    const make = (name: string) => small.admin.post(devices, { name });
    const makeMany = (names: readonly string[], query = '') =>
      small.admin.call('POST', `${devices}/bulk${query}`, {
        text: names.map((name) => JSON.stringify({ name })).join('\n'),
        headers: { 'content-type': 'application/x-ndjson' },
      });
    const refused = { status: 409, body: { code: 'limit-reached' } };
    expect((await make('before')).status).toBe(201);
    expect((await api.platform.patch(small.path, { limits: { maxDevices: 4 } })).status).toBe(200);

    expect(await makeMany(['a', 'b', 'c', 'd'], '?dryRun=true')).toMatchObject(refused);
    expect(await makeMany(['a', 'b', 'c', 'd'])).toMatchObject(refused);
    expect((await makeMany(['a', 'b'])).body).toMatchObject({ created: 2 });
    const two = await makeTwo(make);
    expect(two).toMatchObject(oneOfTwo(4));
    // A list that has been taken is taken again: it brings none.
    expect((await makeMany(['a', 'b', 'before'])).body).toMatchObject({ created: 0, refused: 3 });
    expect((await small.admin.get(devices)).body.items).toHaveLength(4);

    expect((await small.admin.delete(`${devices}/${two[0].body.id}`)).status).toBeLessThan(300);
    expect((await make('after')).status).toBe(201);
    // Fewer than there are: those stay.
    expect((await api.platform.patch(small.path, { limits: { maxDevices: 1 } })).status).toBe(200);
    expect(await make('another')).toMatchObject(refused);
    expect(await makeMany(['a', 'another'])).toMatchObject(refused);
    for (const query of ['', '?dryRun=true'])
      expect((await makeMany(['a', 'before'], query)).body).toMatchObject({ created: 0, refused: 2 });
    expect((await small.admin.get(devices)).body.items).toHaveLength(4);
    expect((await api.platform.patch(small.path, { limits: { maxDevices: null } })).status).toBe(200);
    expect((await make('another')).status).toBe(201);
    expect((await other.admin.post(`${other.path}/devices`, { name: 'elsewhere' })).status).toBe(201);
  });

  it('rules of a policy', async () => {
    const rule = { effect: 'allow', actions: ['publish'], topics: ['a'] };
    const rules = Array.from({ length: 2_001 }, () => rule);
    const refused = await other.admin.post(`${other.path}/policies`, { name: 'long', rules });
    expect([refused.status, refused.body.code]).toEqual([422, 'invalid']);
  });
});
