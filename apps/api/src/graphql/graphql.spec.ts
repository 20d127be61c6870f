import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  buildClientSchema,
  getIntrospectionQuery,
  getNamedType,
  isInputObjectType,
  isObjectType,
  isScalarType,
} from 'graphql';
import {
  queryAsSuperuser,
  startTestApi,
  type ApiClient,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';

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

  it('says of each member what REST says of it', async () => {
    const schema = buildClientSchema((await run(acme.viewer, getIntrospectionQuery())).body.data);
    const { schemas } = (await api.anonymous.get('/openapi.json')).body.components;
    const unsaid = Object.values(schema.getTypeMap()).flatMap((type) => {
      if (!isObjectType(type) && !isInputObjectType(type)) return [];
      return Object.values(type.getFields())
        .filter((field) => field.name !== 'version' && isScalarType(getNamedType(field.type)))
        .filter(
          ({ name, description }) => !description && schemas[type.name]?.properties?.[name]?.description,
        )
        .map(({ name }) => `${type.name}.${name}`);
    });
    expect(unsaid).toEqual([]);
  });

  it('is no page: GET is answered with a problem', async () => {
    const answer = await acme.viewer.get('/graphql?query={__typename}');
    expect([answer.status, answer.body.code, answer.headers.get('allow')]).toEqual([
      405,
      'method-not-allowed',
      'POST',
    ]);
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
    const documents = [
      { query: 'query a { __typename } query b { __typename }' },
      { query: 'query a { __typename }', operationName: 'b' },
      { query: 'subscription { presence(tenant: "acme") { since } }' },
    ];
    for (const body of documents) {
      const refused = await acme.admin.call('POST', '/graphql', { body });
      expect([refused.status, refused.body.errors[0].extensions.code]).toEqual([400, 'malformed']);
    }
    const named = { query: `${documents[0]?.query}`, operationName: 'b' };
    expect((await acme.admin.call('POST', '/graphql', { body: named })).body.data.__typename).toBe('Query');
    for (const id of [1.5, {}, null]) {
      const byId = 'query($id: ID!) { device(tenant: "acme", id: $id) { id } }';
      const wrong = await run(acme.admin, byId, { id });
      expect([wrong.status, wrong.body.errors[0].extensions.code]).toEqual([400, 'invalid-query']);
      expect(wrong.body.errors[0].message).toContain('Variable "$id"');
    }
    const syntax = await run(acme.admin, '{ nope }');
    expect([syntax.status, syntax.body.errors[0].extensions.code]).toEqual([400, 'invalid-query']);
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

  it('administers profiles, and keeps one that a device has', async () => {
    const made = await run(
      acme.admin,
      `mutation($t: JSON) { createProfile(tenant: "acme", input: { name: "gql-meter", telemetry: $t }) { id version telemetry } }`,
      { t: [{ filter: 'meters/${device}', timeField: 'at' }] },
    );
    const { id, version, telemetry } = made.body.data.createProfile;
    expect([version, telemetry]).toEqual([1, [{ filter: 'meters/${device}', timeField: 'at' }]]);
    const update = (patch: string, expected: number) =>
      run(
        acme.admin,
        `mutation { updateProfile(tenant: "acme", id: "${id}", expectedVersion: ${expected}, patch: ${patch}) { operation profile { version telemetry } } }`,
      );
    const changed = await update('{ telemetry: [] }', 1);
    expect(changed.body.data.updateProfile).toEqual({
      operation: expect.stringMatching(/^\d+$/),
      profile: { version: 2, telemetry: [] },
    });
    expect((await update('{ name: "late" }', 1)).body.errors[0].extensions.code).toBe('precondition-failed');
    const refused = await update('{ telemetry: [{ filter: "a/#/b" }] }', 2);
    expect(refused.body.errors[0].extensions).toMatchObject({
      code: 'invalid',
      errors: [{ pointer: '#/telemetry/0/filter' }],
    });
    expect((await update('{ name: "default" }', 2)).body.errors[0].extensions.code).toBe('name-taken');

    const { body: device } = await acme.admin.post(`${acme.path}/devices`, { name: 'gql-p', profileId: id });
    const remove = `mutation { deleteProfile(tenant: "acme", id: "${id}", expectedVersion: 2) { id operation } }`;
    expect((await run(acme.admin, remove)).body.errors[0].extensions.code).toBe('in-use');
    await acme.admin.delete(`${acme.path}/devices/${device.id}`);
    expect((await run(acme.admin, remove)).body.data.deleteProfile.id).toBe(id);
    expect((await acme.admin.get(`${acme.path}/profiles/${id}`)).status).toBe(404);
  });

  it('administers groups and who is in them', async () => {
    const made = await run(
      acme.operator,
      'mutation { createGroup(tenant: "acme", input: { name: "gql-group" }) { id } createDevice(tenant: "acme", input: { name: "gql-m" }) { id } }',
    );
    const group = made.body.data.createGroup.id;
    const device = made.body.data.createDevice.id;
    const member = async (verb: string) => {
      const field = `${verb}GroupMember(tenant: "acme", group: "${group}", device: "${device}")`;
      const { body } = await run(acme.operator, `mutation { it: ${field} { group device operation } }`);
      return body.data.it;
    };
    const members = async () => {
      const query = `{ devices(tenant: "acme", group: "${group}") { edges { node { name groups { name } } } } }`;
      return (await run(acme.viewer, query)).body.data.devices.edges;
    };
    expect(await member('add')).toEqual({ group, device, operation: expect.stringMatching(/^\d+$/) });
    expect(await member('add')).toEqual({ group, device, operation: null });
    expect(await members()).toEqual([{ node: { name: 'gql-m', groups: [{ name: 'gql-group' }] } }]);
    expect((await member('remove')).operation).not.toBeNull();
    expect((await member('remove')).operation).toBeNull();
    expect(await members()).toEqual([]);
    const ended = await run(
      acme.operator,
      `mutation {
        updateGroup(tenant: "acme", id: "${group}", expectedVersion: 1, patch: { name: "gql-renamed" }) { name version }
        deleteGroup(tenant: "acme", id: "${group}", expectedVersion: 2) { id }
      }`,
    );
    expect(ended.body.data).toEqual({
      updateGroup: { name: 'gql-renamed', version: 2 },
      deleteGroup: { id: group },
    });
  });

  it('makes an API key that is shown once and works until it is revoked', async () => {
    const made = await run(
      acme.admin,
      'mutation { createApiKey(tenant: "acme", input: { name: "ci", role: "viewer" }) { key apiKey { id prefix role revokedAt } } }',
    );
    const { key, apiKey } = made.body.data.createApiKey;
    expect([key.startsWith(`${apiKey.prefix}_`), apiKey.role, apiKey.revokedAt]).toEqual([
      true,
      'viewer',
      null,
    ]);
    const client = api.anonymous.with(key);
    expect((await run(client, '{ tenant(tenant: "acme") { slug } }')).body.data.tenant.slug).toBe('acme');
    const listed = await run(acme.admin, '{ apiKeys(tenant: "acme") { edges { node { id prefix } } } }');
    expect(listed.text).toContain(apiKey.id);
    expect(listed.text).not.toContain(key);

    const revoke = `mutation { revokeApiKey(tenant: "acme", id: "${apiKey.id}") { revokedAt } }`;
    const { revokedAt } = (await run(acme.admin, revoke)).body.data.revokeApiKey;
    expect(revokedAt).not.toBeNull();
    expect((await run(acme.admin, revoke)).body.data.revokeApiKey).toEqual({ revokedAt });
    expect((await run(client, '{ tenant(tenant: "acme") { slug } }')).status).toBe(401);
    const root = await run(
      acme.admin,
      'mutation { createApiKey(tenant: "acme", input: { name: "x", role: "root" }) { key } }',
    );
    expect(root.body.errors[0].extensions).toMatchObject({
      code: 'invalid',
      errors: [{ pointer: '#/role' }],
    });
  });

  it('keeps the last key of the platform', async () => {
    const { edges } = (await run(api.platform, '{ platformApiKeys { edges { node { id revokedAt } } } }'))
      .body.data.platformApiKeys;
    expect(edges).toHaveLength(1);
    const last = `mutation { revokePlatformApiKey(id: "${edges[0].node.id}") { id } }`;
    expect((await run(api.platform, last)).body.errors[0].extensions.code).toBe('in-use');
  });

  it('takes many devices at once, each by itself, or only says what it would do', async () => {
    const query = `mutation($devices: [BulkDevice!]!, $dryRun: Boolean) {
      createDevices(tenant: "acme", devices: $devices, dryRun: $dryRun) {
        dryRun created refused rows { row name outcome id errors }
      }
    }`;
    const devices = [
      { name: 'many-1', attributes: { site: 'x' }, status: null },
      { name: 'many/2' },
      { name: 'many-3', profile: 'nowhere' },
    ];
    const dry = await run(acme.operator, query, { devices, dryRun: true });
    expect(dry.body.data.createDevices).toMatchObject({ dryRun: true, created: 1, refused: 2 });
    const { created, rows } = (await run(acme.operator, query, { devices })).body.data.createDevices;
    expect([created, rows]).toMatchObject([
      1,
      [
        { row: 1, name: 'many-1', outcome: 'created', id: expect.any(String), errors: null },
        {
          row: 2,
          outcome: 'refused',
          id: null,
          errors: [{ pointer: '#/name', code: 'forbidden-character' }],
        },
        { row: 3, outcome: 'refused', errors: [{ pointer: '#/profile', code: 'unknown-reference' }] },
      ],
    ]);
    const none = await run(acme.operator, query, { devices: [] });
    expect(none.body.errors[0].extensions).toMatchObject({ code: 'invalid', errors: [{ code: 'empty' }] });
    const full = await run(acme.operator, query, {
      devices: Array.from({ length: 10_001 }, () => ({ name: 'a' })),
    });
    expect(full.body.errors[0].extensions.code).toBe('too-large');
  });

  it('deletes a tenant for the platform, and not for the tenant', async () => {
    const short = await api.createTenant('short-lived');
    const query = 'mutation { deleteTenant(tenant: "short-lived", expectedVersion: 1) { id } }';
    expect((await run(short.admin, query)).body.errors[0].extensions.code).toBe('forbidden');
    expect((await run(api.platform, query)).body.data.deleteTenant.id).toBe(short.id);
    expect((await api.platform.get(short.path)).status).toBe(404);
  });

  it('takes an id that cannot be one for the id of nothing, in a mutation too', async () => {
    const refused = await run(
      acme.admin,
      'mutation { updatePolicy(tenant: "acme", id: "no id", expectedVersion: 1, patch: { description: "x" }) { operation } }',
    );
    expect(refused.body.errors[0].extensions.code).toBe('not-found');
  });

  it('refuses U+0000 and half of a surrogate pair, written or in a variable, however deep', async () => {
    const written = '{ devices(tenant: "acme", namePrefix: "\\u0000") { edges { cursor } } }';
    const query = 'query($p: String) { devices(tenant: "acme", namePrefix: $p) { edges { cursor } } }';
    const create = 'mutation($i: NewDevice!) { createDevice(tenant: "acme", input: $i) { id } }';
    const input = { name: 'x', attributes: { a: '\u0000' } };
    for (const answer of [
      await run(acme.admin, written),
      await run(acme.admin, query, { p: 'a\u0000' }),
      await run(acme.admin, create, { i: input }),
      await run(acme.admin, query, { p: 'a\ud800' }),
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

describe('devices made at once', () => {
  const rows = (count: number, credentials: number) =>
    Array.from({ length: count }, (_, index) => ({
      name: `m${index}`,
      ...(credentials === 0 ? {} : { credentials: Array.from({ length: credentials }, () => ({})) }),
    }));
  const field = (alias: number, list: string) =>
    `a${alias}: createDevices(tenant: "acme", devices: ${list}, dryRun: true) { created }`;
  const twice = (list: string) => `${field(1, list)} ${field(2, list)}`;

  it('are no more than one upload by REST, however many fields make them', async () => {
    const asked: [query: string, variables: Record<string, unknown>][] = [
      [`mutation($d: [BulkDevice!]!) { ${twice('$d')} }`, { d: rows(13, 20) }],
      [
        `mutation($d: [BulkDevice!]!) { ...F } fragment F on Mutation { ${twice('$d')} }`,
        { d: rows(13, 20) },
      ],
      [`mutation($d: [BulkDevice!]!) { ${twice('$d')} }`, { d: rows(5_001, 0) }],
      // A single value is a list of one, and a variable may be any part of it.
      [
        `mutation($c: [NewCredential!]!) { ${twice('{ name: "one", credentials: $c }')} }`,
        { c: Array.from({ length: 251 }, () => ({})) },
      ],
      [
        `mutation($d: [BulkDevice!]! = [{ name: "d", credentials: [${'{} '.repeat(100)}] }]) {
          ${Array.from({ length: 6 }, (_, index) => field(index, '$d')).join(' ')} }`,
        {},
      ],
    ];
    for (const [query, variables] of asked) {
      const { status, body } = await run(acme.admin, query, variables);
      expect([query.slice(0, 40), status, body.errors?.[0].extensions.code]).toEqual([
        query.slice(0, 40),
        413,
        'too-large',
      ]);
    }
    const query = `mutation($d: [BulkDevice!]!) { ${twice('$d')} }`;
    for (const d of [rows(25, 10), rows(5_000, 0)])
      expect((await run(acme.admin, query, { d })).body.data).toMatchObject({ a1: { created: d.length } });
  });
});

describe('an Idempotency-Key', () => {
  const send = (query: string, key: string, client = acme.admin) =>
    client.post('/graphql', { query }, { 'idempotency-key': key });
  const apiKey = (name: string) =>
    `mutation { createApiKey(tenant: "acme", input: { name: "${name}", role: "viewer" }) { key apiKey { id } } }`;

  it('gets the same answer again for the same mutation, secret and all, and nobody else does', async () => {
    const first = await send(apiKey('twice'), 'once');
    const again = await send(apiKey('twice'), 'once');
    expect(first.body.data.createApiKey.key).toMatch(/^moo_/);
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect([first, again].map(({ headers }) => headers.get('idempotent-replayed'))).toEqual([null, 'true']);
    const byAnother = await send(apiKey('twice'), 'once', api.platform);
    expect(byAnother.body.data.createApiKey.key).not.toBe(first.body.data.createApiKey.key);
  });

  it('is refused for another mutation, and for several at once', async () => {
    await send(apiKey('one'), 'taken');
    const codeOf = ({ status, body }: Awaited<ReturnType<typeof send>>) => [
      status,
      body.errors[0].extensions.code,
    ];
    expect(codeOf(await send(apiKey('other'), 'taken'))).toEqual([422, 'idempotency-mismatch']);
    const two = `mutation { a: disconnectSession(tenant: "acme", clientId: "a") { operation } b: disconnectSession(tenant: "acme", clientId: "b") { operation } }`;
    expect(codeOf(await send(two, 'two'))).toEqual([400, 'malformed']);
    expect(codeOf(await send(apiKey('x'), 'a b'))).toEqual([400, 'malformed']);
  });

  it('is free again after a mutation that was refused, and means nothing to a query', async () => {
    const mutation = (name: string) =>
      `mutation { createDevice(tenant: "acme", input: { name: "${name}" }) { id } }`;
    expect((await send(mutation('a/b'), 'again')).body.errors[0].extensions.code).toBe('invalid');
    expect((await send(mutation('kept-1'), 'again')).body.errors).toBeUndefined();
    const query = '{ tenant(tenant: "acme") { slug } }';
    expect((await send(query, 'again')).body).toEqual({ data: { tenant: { slug: 'acme' } } });
  });

  it('repeats nothing to a key whose role no longer has the right to ask for it', async () => {
    const made = await acme.admin.post(`${acme.path}/api-keys`, { name: 'narrowed', role: 'admin' });
    const client = api.anonymous.with(made.body.key);
    const first = await send(apiKey('by-narrowed'), 'narrowed', client);
    expect(first.body.data.createApiKey.key).toMatch(/^moo_/);
    const narrow = (role: string) =>
      queryAsSuperuser(api.database, 'UPDATE api_keys SET role = $1 WHERE id = $2', [role, made.body.id]);
    for (const role of ['operator', 'viewer']) {
      await narrow(role);
      const refused = await send(apiKey('by-narrowed'), 'narrowed', client);
      expect([role, refused.status, refused.body.data]).toEqual([role, 403, null]);
      expect(refused.body.errors[0].extensions.code).toBe('forbidden');
      expect(refused.headers.get('idempotent-replayed')).toBeNull();
    }
    await narrow('admin');
    expect((await send(apiKey('by-narrowed'), 'narrowed', client)).body).toEqual(first.body);
  });

  it('repeats nothing of a tenant that is gone, nor of its successor under the slug, and keeps nothing of it', async () => {
    const { id, path, admin } = await api.createTenant('passing');
    const mutation = `mutation { createApiKey(tenant: "passing", input: { name: "k", role: "admin" }) { key } }`;
    const repeat = () => send(mutation, 'passing', api.platform);
    const first = await repeat();
    expect(first.body.data.createApiKey.key).toMatch(/^moo_/);
    await send(mutation, 'own', admin);
    expect((await repeat()).body).toEqual(first.body);
    await api.platform.delete(path, '*');
    const kept = 'SELECT key FROM idempotency_keys WHERE tenant_id = $1 OR key = $2';
    expect(await queryAsSuperuser(api.database, kept, [id, 'own'])).toEqual([]);
    expect((await repeat()).body.errors[0].extensions.code).toBe('not-found');
    await api.createTenant('passing');
    const anew = await repeat();
    expect(anew.headers.get('idempotent-replayed')).toBeNull();
    expect(anew.body.data.createApiKey.key).not.toBe(first.body.data.createApiKey.key);
  });

  it('is not free again after a mutation that was done, of whose answer only a link could not be read', async () => {
    const device = (await acme.admin.post(`${acme.path}/devices`, { name: 'linked' })).body.id;
    const mutation = `mutation { updateDevice(tenant: "acme", id: "${device}", expectedVersion: 1, patch: { status: "disabled" }) { device { version presence { clientId } } } }`;
    const rename = (from: string, to: string) =>
      queryAsSuperuser(api.database, `ALTER TABLE ${from} RENAME TO ${to}`);
    await rename('presence', 'presence_away');
    const first = await send(mutation, 'link');
    await rename('presence_away', 'presence');
    expect(first.body.errors[0].extensions.code).toBe('internal');
    const again = await send(mutation, 'link');
    expect([again.headers.get('idempotent-replayed'), again.body]).toEqual(['true', first.body]);
  });
});
