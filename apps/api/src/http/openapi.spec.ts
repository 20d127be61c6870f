import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { startTestApi, type Json, type TestApi } from '../../../../test/support/api.js';

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
