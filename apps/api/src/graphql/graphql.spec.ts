import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { getIntrospectionQuery } from 'graphql';
import { startTestApi, type ApiClient, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
});
afterAll(() => api.stop());

async function run(client: ApiClient, query: string, variables: Record<string, unknown> = {}) {
  return client.post('/graphql', { query, variables });
}

describe('the GraphQL endpoint', () => {
  it('answers introspection to a valid key only', async () => {
    const query = getIntrospectionQuery();
    const refused = await run(api.anonymous, query);
    expect([refused.status, refused.body.errors[0].extensions.code]).toEqual([401, 'unauthenticated']);
    expect(refused.body.data).toBeNull();
    expect((await run(acme.viewer, query)).body.data.__schema.queryType.name).toBe('Query');
  });

  it('creates a device, gives it a credential and reads both back in one query', async () => {
    const created = await run(
      acme.admin,
      `mutation($tenant: ID!) { createDevice(tenant: $tenant, input: { name: "meter-1", attributes: { site: "north" } }) { id version profile { name } } }`,
      { tenant: 'acme' },
    );
    expect(created.body.errors).toBeUndefined();
    const { id, profile } = created.body.data.createDevice;
    expect(profile.name).toBe('default');
    const issued = await run(
      acme.admin,
      `mutation($id: ID!) { createCredential(tenant: "acme", device: $id, input: { authId: "m1" }) { password credential { username } } }`,
      { id },
    );
    expect(issued.body.data.createCredential.password).toMatch(/.{20}/);
    const read = await run(
      acme.viewer,
      `{ devices(tenant: "acme") { edges { cursor node { name attributes profile { name } groups { id } credentials { username } presence { state } latestTelemetry { topic } } } pageInfo { hasNextPage endCursor } } }`,
    );
    expect(read.body).toMatchObject({
      data: {
        devices: {
          edges: [
            {
              node: {
                name: 'meter-1',
                attributes: { site: 'north' },
                profile: { name: 'default' },
                groups: [],
                credentials: [{ username: 'm1@acme' }],
                presence: [],
                latestTelemetry: null,
              },
            },
          ],
          pageInfo: { hasNextPage: false },
        },
      },
    });
  });

  it('gives the cursors of REST', async () => {
    for (const name of ['page-1', 'page-2']) await acme.admin.post(`${acme.path}/groups`, { name });
    const first = await run(
      acme.viewer,
      '{ groups(tenant: "acme", first: 1) { pageInfo { endCursor hasNextPage } } }',
    );
    const { endCursor, hasNextPage } = first.body.data.groups.pageInfo;
    expect(hasNextPage).toBe(true);
    const rest = await acme.viewer.get(`${acme.path}/groups?limit=1`);
    expect(rest.body.next).toBe(endCursor);
    const second = await run(
      acme.viewer,
      `{ groups(tenant: "acme", after: "${endCursor}") { edges { node { name } } } }`,
    );
    expect(second.body.data.groups.edges).toEqual([{ node: { name: 'page-2' } }]);
  });

  it('tells another tenant from an unknown one no more than REST does', async () => {
    const [device] = (await acme.admin.get(`${acme.path}/devices`)).body.items;
    const query = (tenant: string, id: string) => `{ device(tenant: "${tenant}", id: "${id}") { name } }`;
    const answers = await Promise.all([
      run(other.admin, query('acme', device.id)),
      run(other.admin, query('nobody', device.id)),
      run(other.admin, query('other', device.id)),
      run(other.admin, query('other', '018f4e8e-0000-7000-8000-000000000000')),
      run(other.admin, query('other', 'no id')),
    ]);
    const bodies = answers.map(({ text }) => text);
    expect(new Set(bodies).size).toBe(1);
    expect(answers[0]?.body.errors[0].extensions.code).toBe('not-found');
  });

  it('refuses a role that lacks the permission, on root fields and on links', async () => {
    const refused = await run(
      acme.viewer,
      'mutation { createDevice(tenant: "acme", input: { name: "x" }) { id } }',
    );
    expect(refused.body.errors[0].extensions.code).toBe('forbidden');
    const audit = await run(acme.operator, '{ audit(tenant: "acme") { edges { node { action } } } }');
    expect(audit.body.errors[0].extensions.code).toBe('forbidden');
    const tenants = await run(acme.admin, '{ tenants { edges { node { slug } } } }');
    expect(tenants.body.errors[0].extensions.code).toBe('forbidden');
  });

  it('names every fault of an input with its place', async () => {
    const refused = await run(
      acme.admin,
      'mutation { createPolicy(tenant: "acme", input: { name: "p", rules: [{ effect: "allow", actions: ["publish"], topics: ["a/#/b"] }] }) { id } }',
    );
    expect(refused.body.errors[0].extensions).toMatchObject({
      code: 'invalid',
      errors: [{ in: 'body', pointer: '#/rules/0/topics/0' }],
    });
  });

  it('refuses what is too deep, too dear or too much before it runs', async () => {
    const deep = `{ presence(tenant: "acme") ${'{ edges { node { device { presence '.repeat(4)} { since } ${'} } } }'.repeat(4)} }`;
    const dear =
      '{ devices(tenant: "acme", first: 200) { edges { node { presence { device { presence { device { name } } } } } } } }';
    const many = `{ ${Array.from({ length: 21 }, (_, n) => `a${n}: telemetryCount(tenant: "acme")`).join(' ')} }`;
    const tokens = `{ ${'tenant(tenant: "acme") { id } '.repeat(400)} }`;
    for (const query of [dear, many]) {
      const refused = await run(acme.admin, query);
      expect([refused.status, refused.body.errors[0].extensions.code]).toEqual([413, 'too-large']);
    }
    for (const query of [deep, tokens]) expect((await run(acme.admin, query)).body.data).toBeNull();
  });

  it('refuses what is not one operation', async () => {
    const bodies = [
      [],
      [{ query: '{ tenants { edges { cursor } } }' }],
      { query: '' },
      { query: 'x'.repeat(70_000) },
      { mutation: '{}' },
      'text',
    ];
    for (const body of bodies) {
      const refused = await acme.admin.call('POST', '/graphql', { body });
      expect([refused.status, refused.body.errors[0].extensions.code]).toEqual([400, 'malformed']);
    }
    const syntax = await run(acme.admin, '{ nope }');
    expect([syntax.status, syntax.body.errors[0].extensions.code]).toEqual([400, 'invalid-query']);
    expect((await acme.admin.get('/graphql?query={__typename}')).status).toBe(404);
  });

  it('answers a stale version with the code of REST', async () => {
    const [device] = (await acme.admin.get(`${acme.path}/devices`)).body.items;
    const refused = await run(
      acme.admin,
      `mutation { updateDevice(tenant: "acme", id: "${device.id}", expectedVersion: 99, patch: { status: "disabled" }) { operation } }`,
    );
    expect(refused.body.errors[0].extensions.code).toBe('precondition-failed');
  });

  it('lets a policy be made, bound, changed, rolled back and followed', async () => {
    const made = await run(
      acme.admin,
      `mutation { createPolicy(tenant: "acme", input: { name: "gql", rules: [] }) { id version rules } }`,
    );
    const { id, rules } = made.body.data.createPolicy;
    expect(rules).toEqual([]);
    const bound = await run(
      acme.admin,
      `mutation { bindPolicy(tenant: "acme", policy: "${id}", targetKind: tenant, target: "${acme.id}") { operation binding { id targetKind } } }`,
    );
    const { operation } = bound.body.data.bindPolicy;
    const followed = await run(
      acme.viewer,
      `{ operation(tenant: "acme", number: "${operation}") { kind status } }`,
    );
    expect(followed.body.data.operation).toEqual({ kind: 'policy', status: 'applied' });
    const next = await run(
      acme.admin,
      `mutation { addPolicyVersion(tenant: "acme", policy: "${id}", activate: true, rules: [{ effect: "deny", actions: ["publish"], topics: ["#"] }]) { operation policyVersion { number } } }`,
    );
    expect(next.body.data.addPolicyVersion).toMatchObject({ policyVersion: { number: 2 } });
    const read = await run(
      acme.viewer,
      `{ policy(tenant: "acme", id: "${id}") { activeVersion version rules } }`,
    );
    expect(read.body.data.policy).toMatchObject({ activeVersion: 2, rules: [{ effect: 'deny' }] });
    const back = await run(
      acme.admin,
      `mutation { activatePolicyVersion(tenant: "acme", policy: "${id}", expectedVersion: ${read.body.data.policy.version}, version: 1) { policy { activeVersion rules } } }`,
    );
    expect(back.body.data.activatePolicyVersion.policy).toEqual({ activeVersion: 1, rules: [] });
  });

  it('refuses U+0000, written or in a variable, however deep', async () => {
    const written = '{ devices(tenant: "acme", namePrefix: "\\u0000") { edges { cursor } } }';
    const query = 'query($p: String) { devices(tenant: "acme", namePrefix: $p) { edges { cursor } } }';
    const create = 'mutation($i: NewDevice!) { createDevice(tenant: "acme", input: $i) { id } }';
    const input = { name: 'x', attributes: { a: '\u0000' } };
    for (const answer of [
      await run(acme.admin, written),
      await run(acme.admin, query, { p: 'a\u0000' }),
      await run(acme.admin, create, { i: input }),
    ]) {
      expect(answer.body.data ?? null).toBeNull();
      expect(answer.body.errors[0].extensions.code).toMatch(/^invalid/);
    }
  });

  it('takes deeply nested variables for what they are', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const body = `{"query":"{ __typename }","variables":{"v":${deep}}}`;
    const answer = await acme.admin.call('POST', '/graphql', {
      text: body,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.body.data).toEqual({ __typename: 'Query' });
  });
});
