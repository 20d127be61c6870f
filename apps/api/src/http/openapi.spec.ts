import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import {
  startTestApi,
  type Answer,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { addRetained, addSession } from '../../../../test/support/broker-rows.js';
import { makeAuthority, makeRequest } from '../../../../test/support/pki.js';

let api: TestApi;
let document: Json;
beforeAll(async () => {
  api = await startTestApi();
  document = (await api.anonymous.get('/openapi.json')).body;
});
afterAll(() => api.stop());

const methods = ['get', 'put', 'post', 'patch', 'delete'];

function operations(): [name: string, operation: Json][] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item as Json)
      .filter(([method]) => methods.includes(method))
      .map(([method, operation]): [string, Json] => [`${method} ${path}`, operation]),
  );
}

describe('the OpenAPI document', () => {
  it('is valid OpenAPI 3.1', async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document));
    expect(result).toEqual({ valid: true });
  });

  it('names every route that Fastify has', () => {
    const routes = api.api.routes.filter(({ url }) => !/^\/(docs|openapi|graphql|internal)/.test(url));
    const known = new Set(operations().map(([name]) => name));
    const served = routes
      .filter(({ method }) => methods.includes(method.toLowerCase()))
      .map(({ method, url }) => `${method.toLowerCase()} ${url.replaceAll(/:(\w+)/g, '{$1}')}`);
    expect(served.length).toBeGreaterThan(30);
    expect(served.filter((route) => !known.has(route))).toEqual([]);
    expect([...known].filter((route) => !served.includes(route))).toEqual([]);
  });

  it('says for every route who may call it, and what it answers when all is well and when not', () => {
    for (const [name, operation] of operations()) {
      const isOpen = name === 'get /livez' || name === 'get /readyz';
      const takesKey = !isOpen && name !== 'post /v1/claims'; // where a claim token is shown instead
      expect([name, operation.security, operation['x-permission'] !== undefined]).toEqual([
        name,
        takesKey ? [{ apiKey: [] }] : [],
        takesKey,
      ]);
      expect([name, typeof operation.summary]).toEqual([name, 'string']);
      const statuses = Object.keys(operation.responses);
      expect([name, statuses.some((status) => status.startsWith('2'))]).toEqual([name, true]);
      if (!isOpen) expect([name, statuses]).toEqual([name, expect.arrayContaining(['401', '403', '429'])]);
      if (name.includes('{')) expect([name, statuses]).toEqual([name, expect.arrayContaining(['404'])]);
    }
  });

  it('declares every parameter of a path', () => {
    for (const [name, operation] of operations()) {
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = operation.parameters
        .filter((given: Json) => given.in === 'path')
        .map((given: Json) => given.name);
      expect([name, new Set(declared)]).toEqual([name, new Set(inPath)]);
    }
  });

  it('has Idempotency-Key where one is heeded: on POST with an API key', () => {
    for (const [name, operation] of operations()) {
      const takesOne = name.startsWith('post ') && operation.security.length > 0;
      const headers = (operation.parameters ?? []).filter((given: Json) => given.in === 'header');
      const isDeclared = headers.some((given: Json) => given.name === 'Idempotency-Key');
      expect([name, isDeclared]).toEqual([name, takesOne]);
    }
  });

  it('has no header for the media type of a body, which is said beside the body', () => {
    for (const [name, operation] of operations()) {
      const headers = (operation.parameters ?? []).filter((given: Json) => given.in === 'header');
      const names = headers.map((given: Json) => given.name);
      expect([
        name,
        names.filter((header: string) => !['Idempotency-Key', 'If-Match'].includes(header)),
      ]).toEqual([name, []]);
    }
  });

  it('says what each part of a path is', () => {
    const parameters = operations().flatMap(([, operation]) => operation.parameters ?? []);
    const parts = parameters.filter((given: Json) => given.in === 'path');
    expect(parts.filter((given: Json) => !given.description)).toEqual([]);
  });

  it('says where it is served, and that what is true or false is a boolean', () => {
    expect(document.servers).toEqual([{ url: '/', description: expect.any(String) }]);
    const parameters = operations().flatMap(([, operation]) => operation.parameters ?? []);
    expect(parameters.filter((given: Json) => given.schema.enum?.includes('true'))).toEqual([]);
    const dryRun = parameters.find((given: Json) => given.name === 'dryRun');
    expect(dryRun.schema).toMatchObject({ type: 'boolean', default: false });
  });

  it('has no reference that leads nowhere', () => {
    const text = JSON.stringify(document);
    const names = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]));
    const missing = [...names].filter((name) => document.components.schemas[name ?? ''] === undefined);
    expect(missing).toEqual([]);
    expect(text).not.toContain('#/$defs');
  });
});

describe('the headers of answers', () => {
  const told = ['etag', 'location', 'operation-location', 'retry-after', 'idempotent-replayed'];
  const kept = ['etag', 'location', 'operation-location'];
  /** By operation: what was in an answer of it. */
  const seen = new Map<string, Set<string>>();
  let acme: TestTenant;
  beforeAll(async () => {
    acme = await api.createTenant('acme');
  });

  function declared(name: string, status: number): string[] {
    const responses = operations().find(([known]) => known === name)?.[1].responses;
    const headers = (responses[status] ?? responses.default).headers ?? {};
    return Object.keys(headers).map((header) => header.toLowerCase());
  }

  function note(name: string, { status, headers }: Answer): void {
    const found = told.filter((header) => headers.has(header));
    const undeclared = found.filter((header) => !declared(name, status).includes(header));
    expect([name, status, undeclared]).toEqual([name, status, []]);
    seen.set(name, new Set([...(seen.get(name) ?? []), ...found]));
  }

  /** Each POST twice, under one key: the second answer has what the first had. */
  async function ask(name: string, { query = '', ...ids }: Json = {}, body?: unknown): Promise<Json> {
    const [method = '', template = ''] = name.split(' ');
    const values: Json = { tenant: 'acme', ...ids };
    const url = template.replaceAll(/\{(\w+)\}/g, (_, id: string) => encodeURIComponent(values[id]));
    const isPost = method === 'post';
    const headers = {
      ...(method === 'get' ? {} : { 'if-match': '*' }),
      ...(isPost ? { 'idempotency-key': randomUUID() } : {}),
      ...(typeof body === 'string' ? { 'content-type': 'application/x-ndjson' } : {}),
    };
    const call = {
      headers,
      ...(typeof body === 'string' ? { text: body } : body === undefined ? {} : { body }),
    };
    const isOfTenant = template.startsWith('/v1/tenants/{tenant}/') && !template.includes('/host-names');
    const client = isOfTenant ? acme.admin : api.platform;
    const answer = await client.call(method.toUpperCase(), `${url}${query}`, call);
    if (answer.status >= 300) throw new Error(`${name}: ${answer.text}`);
    note(name, answer);
    if (isPost) {
      const again = await client.call('POST', url, call);
      note(name, again);
      expect([name, again.headers.get('idempotent-replayed')]).toEqual([name, 'true']);
      for (const header of kept)
        expect([name, again.headers.get(header)]).toEqual([name, answer.headers.get(header)]);
    }
    return answer.body;
  }

  it('are those that the document says, of every route that has any of them', async () => {
    const t = '/v1/tenants/{tenant}';
    const group = (await ask(`post ${t}/groups`, {}, { name: 'g' })).id;
    const profile = (await ask(`post ${t}/profiles`, {}, { name: 'p' })).id;
    const device = (await ask(`post ${t}/devices`, {}, { name: 'd' })).id;
    const credential = (await ask(`post ${t}/devices/{device}/credentials`, { device }, {})).id;
    const authority = (await ask(`post ${t}/issuing-authorities`, {}, { name: 'ca' })).id;
    const { csr } = await makeRequest('d');
    const certificate = (await ask(`post ${t}/devices/{device}/certificates`, { device }, { csr })).id;
    const factory = await makeAuthority();
    const anchor = await ask(`post ${t}/trust-anchors`, {}, { name: 'f', certificate: factory.pem });
    const proof = (await factory.issue(anchor.challenge)).pem;
    const rules = [{ effect: 'allow', actions: ['publish'], topics: ['a'] }];
    const policy = (await ask(`post ${t}/policies`, {}, { name: 'n', rules })).id;
    const target = { targetKind: 'device', targetId: device };
    const binding = (await ask(`post ${t}/policy-bindings`, {}, { policyId: policy, ...target })).id;
    const issuer = (
      await ask(
        `post ${t}/token-issuers`,
        {},
        {
          name: 'i',
          issuer: 'https://i.example',
          audiences: ['a'],
          jwksUri: 'https://i.example/jwks',
          algorithms: ['ES256'],
        },
      )
    ).id;
    const claimToken = (await ask(`post ${t}/claim-tokens`, {}, { name: 'c' })).id;
    const apiKey = (await ask(`post ${t}/api-keys`, {}, { name: 'k', role: 'viewer' })).id;
    const ban = (await ask(`post ${t}/bans`, {}, { kind: 'client-id', value: 'x' })).id;
    const platformKey = (await ask('post /v1/api-keys', {}, { name: 'k' })).id;
    const platformBan = (await ask('post /v1/bans', {}, { kind: 'client-id', value: 'x' })).id;
    await ask(`post ${t}/authenticator`, {}, { url: 'https://a.example/' });
    await ask('post /v1/tenants', {}, { slug: 'brief', name: 'Brief' });
    const ids = {
      group,
      profile,
      device,
      credential,
      authority,
      certificate,
      anchor: anchor.id,
      policy,
      binding,
      issuer,
      claimToken,
      apiKey,
      ban,
    };
    await ask(
      `post ${t}/devices/bulk`,
      {},
      `{"name":"b","credentials":[{"kind":"certificate","fingerprint":"${'ab'.repeat(32)}"}]}`,
    );
    await ask(`post ${t}/trust-anchors/{anchor}/proof`, ids, { certificate: proof });
    await ask(`put ${t}/trust-anchors/{anchor}/crl`, ids, { crl: await factory.revoke([]) });
    await ask(`put ${t}/trust-anchors/{anchor}/provisioning`, ids, { enabled: true, maxDevices: 1 });
    await ask(`put ${t}/groups/{group}/members/{device}`, ids);
    await ask(`put ${t}/address-ranges`, ids, { deny: [] });
    await ask(`post ${t}/devices/{device}/credentials/{credential}/rotate`, ids, {});
    await ask(`post ${t}/devices/{device}/certificates/{certificate}/revoke`, ids, {});
    await ask(`post ${t}/authenticator/secret`, ids);
    await ask(`post ${t}/policies/{policy}/versions`, ids, { rules, activate: true });
    await ask(`post ${t}/policies/{policy}/activate`, ids, { version: 1 });
    await ask(`post ${t}/policies/{policy}/diff`, ids, { rules });
    await ask(`post ${t}/policies/evaluate`, ids, { deviceId: device, action: 'connect', clientId: 'd' });
    const renamed = { name: 'renamed' };
    const changes: [resource: string, patch: object][] = [
      ['/groups/{group}', renamed],
      ['/profiles/{profile}', renamed],
      ['/devices/{device}', renamed],
      ['/devices/{device}/credentials/{credential}', { disabled: true }],
      ['/issuing-authorities/{authority}', { status: 'retired' }],
      ['/trust-anchors/{anchor}', renamed],
      ['/policies/{policy}', renamed],
      ['/token-issuers/{issuer}', renamed],
      ['/authenticator', { timeoutMs: 900 }],
      ['', renamed],
    ];
    for (const [resource, patch] of changes) {
      await ask(`get ${t}${resource}`, ids);
      await ask(`patch ${t}${resource}`, ids, patch);
    }
    for (const place of ['/address-ranges', '/trust-anchors/{anchor}/provisioning'])
      await ask(`get ${t}${place}`, ids);
    for (const method of ['put', 'delete'])
      await ask(`${method} ${t}/host-names/{host}`, { host: 'acme.example' });
    await ask(`delete ${t}/trust-anchors/{anchor}/provisioning`, ids);
    await addRetained(api.database, acme.id, [{ topic: 'a/b' }, { topic: 'c' }]);
    await addSession(api.database, acme.id, device, { clientId: 'd', queued: [] });
    await ask(`delete ${t}/retained/{topic}`, { topic: 'a/b' });
    await ask(`delete ${t}/retained`, { query: '?topic=%23' });
    await ask(`delete ${t}/sessions/{clientId}`, { clientId: 'd' });
    await ask(`delete ${t}/groups/{group}/members/{device}`, ids);
    await ask(`delete ${t}/policy-bindings/{binding}`, ids);
    await ask(`delete ${t}/policies/{policy}`, { ...ids, query: '?unbind=true' });
    for (const [resource, id] of [
      ['devices/{device}/credentials', 'credential'],
      ['devices', 'device'],
      ['groups', 'group'],
      ['profiles', 'profile'],
      ['token-issuers', 'issuer'],
      ['claim-tokens', 'claimToken'],
      ['bans', 'ban'],
      ['api-keys', 'apiKey'],
      ['issuing-authorities', 'authority'],
      ['trust-anchors', 'anchor'],
    ] as const)
      await ask(`delete ${t}/${resource}/{${id}}`, ids);
    await ask(`delete ${t}/authenticator`);
    await ask('delete /v1/bans/{ban}', { ban: platformBan });
    await ask('delete /v1/api-keys/{apiKey}', { apiKey: platformKey });
    await ask(`delete ${t}`);
    const writing = operations().filter(([name]) => !/^get |^post .v1.claims$/.test(name));
    expect(writing.filter(([name]) => !seen.has(name))).toEqual([]);
    // What an operation says it may send was sent by it, at least once.
    for (const [name, { responses }] of operations()) {
      const successes = Object.keys(responses).filter((status) => status.startsWith('2'));
      const promised = successes.flatMap((status) => declared(name, Number(status)));
      expect([name, promised.filter((header) => !seen.get(name)?.has(header))]).toEqual([name, []]);
    }
  });

  it('say how long to wait, where that is the answer', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 1, failedSignIns: 5 } });
    try {
      await limited.platform.get('/v1/tenants');
      const refused = await limited.platform.get('/v1/tenants');
      expect([refused.status, refused.headers.has('retry-after')]).toEqual([429, true]);
      note('get /v1/tenants', refused);
      await limited.database.drop();
      const away = await limited.anonymous.with(`moo_000000000000_${'A'.repeat(43)}`).get('/v1/bans');
      expect([away.status, away.headers.has('retry-after')]).toEqual([503, true]);
      note('get /v1/bans', away);
    } finally {
      await limited.stop();
    }
  });
});

describe('the page to browse it', () => {
  it('takes every asset from here', async () => {
    const page = await api.anonymous.get('/docs');
    expect(page.status).toBe(200);
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(assets.length).toBeGreaterThan(2);
    for (const asset of assets) {
      expect(asset).not.toMatch(/^(https?:)?\/\//);
      const url = new URL(asset, 'http://api/docs');
      expect([asset, (await api.anonymous.get(url.pathname)).status]).toEqual([asset, 200]);
    }
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
  });

  it('refuses a path out of its folder, and a part or a version of a file that there is not', async () => {
    for (const path of ['/docs/..%5c..%5cpackage.json', '/docs//etc/passwd', `/docs/${'a'.repeat(3_000)}`]) {
      const refused = await api.anonymous.get(path);
      expect([path, refused.status, refused.body.code]).toEqual([path, 404, 'not-found']);
    }
    const css = '/docs/swagger-ui.css';
    const range = await api.anonymous.get(css, { range: 'bytes=99999999-' });
    expect([range.status, range.body.code]).toEqual([400, 'malformed']);
    const other = await api.anonymous.get(css, { 'if-match': '"x"' });
    expect([other.status, other.body.code]).toEqual([412, 'precondition-failed']);
  });
});
