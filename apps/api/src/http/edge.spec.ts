import { createHash, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { WebSocket as NodeWebSocket } from 'ws';

import { internalKey } from '#process';
import type { ControlStore } from '#store';

import {
  queryAsSuperuser,
  startTestApi,
  type Answer,
  type ApiClient,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { STORE } from '../injection-tokens.js';

let api: TestApi;
let tenant: TestTenant;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('edge');
});
afterAll(() => api.stop());

function sendRaw(text: string): Promise<string> {
  const { hostname, port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(text, 'latin1'));
    socket.setEncoding('utf8').on('data', (part: string) => (answer += part));
    socket.on('error', reject).on('close', () => resolve(answer));
  });
}

describe('a request', () => {
  it('without a valid key is 401 and says how to authenticate', async () => {
    const wrong = tenant.admin.key?.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    for (const key of [undefined, 'x', 'moo_000000000000_short', wrong]) {
      const refused = await api.anonymous.with(key).get(tenant.path);
      expect([key, refused.status, refused.body.code]).toEqual([key, 401, 'unauthenticated']);
      expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="moorage"');
    }
    const basic = await api.anonymous.get(tenant.path, { authorization: `Basic ${tenant.admin.key}` });
    expect(basic.status).toBe(401);
  });

  it('is 401 before the tenant is looked for, whether it exists or not', async () => {
    const there = await api.anonymous.get(tenant.path);
    const notThere = await api.anonymous.get('/v1/tenants/nobody');
    expect(notThere.text).toBe(there.text);
  });

  it('with a role that does not include the permission is 403', async () => {
    const body = { name: 'd', attributes: {} };
    expect((await tenant.viewer.post(`${tenant.path}/devices`, body)).status).toBe(403);
    expect((await tenant.operator.post(`${tenant.path}/profiles`, { name: 'p' })).status).toBe(403);
    expect((await tenant.operator.get(`${tenant.path}/api-keys`)).status).toBe(403);
    expect((await tenant.viewer.get(`${tenant.path}/devices`)).status).toBe(200);
  });

  it('that takes no body may say that it is JSON, and have none', async () => {
    const headers = { 'content-type': 'application/json', 'if-match': '*' };
    const { body: group } = await tenant.admin.post(`${tenant.path}/groups`, { name: 'to-delete' });
    const { body: device } = await tenant.admin.post(`${tenant.path}/devices`, { name: 'to-join' });
    const path = `${tenant.path}/groups/${group.id}`;
    expect((await tenant.admin.call('PUT', `${path}/members/${device.id}`, { headers })).status).toBe(204);
    expect((await tenant.admin.call('DELETE', path, { headers })).status).toBe(204);
  });

  it('with an unknown query parameter is 400 and names it', async () => {
    for (const path of [`${tenant.path}/devices?nmae=x`, `${tenant.path}?nmae=x`, '/livez?nmae=x']) {
      const refused = await tenant.admin.get(path);
      expect(refused.status).toBe(400);
      expect(refused.body).toMatchObject({
        code: 'invalid-parameter',
        errors: [{ pointer: '#/nmae', code: 'unknown' }],
      });
    }
  });

  it('with a query that is not percent-encoded UTF-8 is 400: nothing is guessed', async () => {
    for (const query of ['namePrefix=%ff', 'namePrefix=%', 'namePrefix=%C3', 'namePrefix=%zz', '%ff=x']) {
      const refused = await tenant.admin.get(`${tenant.path}/devices?${query}`);
      expect([query, refused.status, refused.body.code]).toEqual([query, 400, 'invalid-parameter']);
    }
    expect((await tenant.admin.get(`${tenant.path}/devices?namePrefix=%C3%A9%25`)).status).toBe(200);
  });

  it('asks for a page of at most 200, at least 1, once', async () => {
    for (const query of ['limit=201', 'limit=0', 'limit=x', 'limit=1&limit=2', 'limit=']) {
      const refused = await tenant.admin.get(`${tenant.path}/devices?${query}`);
      expect([query, refused.status, refused.body.errors[0].pointer]).toEqual([query, 400, '#/limit']);
    }
    expect((await tenant.admin.get(`${tenant.path}/devices?limit=200`)).status).toBe(200);
  });

  it('that cannot be parsed is 400, of another media type 415, too large 413', async () => {
    const send = (text: string, type: string) =>
      tenant.admin.call('POST', `${tenant.path}/groups`, { text, headers: { 'content-type': type } });
    expect((await send('{', 'application/json')).body).toMatchObject({
      status: 400,
      code: 'malformed',
      detail: 'The body is not JSON.',
    });
    const missing = await send('', 'application/json');
    expect([missing.status, missing.body.errors]).toMatchObject([422, [{ pointer: '#' }]]);
    expect((await send('{"__proto__":{"a":1},"name":"x"}', 'application/json')).status).toBe(400);
    expect((await send('name=x', 'application/x-www-form-urlencoded')).body).toMatchObject({
      status: 415,
      detail: expect.stringContaining('application/json'),
    });
    expect((await send('{"name":"x"}', 'text/csv')).body).toMatchObject({
      status: 415,
      detail: 'This route takes application/json.',
    });
    expect(
      (await send(JSON.stringify({ name: 'x'.repeat(300_000) }), 'application/json')).body,
    ).toMatchObject({
      status: 413,
      code: 'too-large',
    });
  });

  it('whose body is not UTF-8 is 400, and one with a coding 415: nothing is guessed, nothing unpacked', async () => {
    const send = (type: string, more = '') =>
      sendRaw(
        `POST ${tenant.path}/devices HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${tenant.admin.key}\r\n` +
          `Content-Type: ${type}\r\n${more}Content-Length: 13\r\n\r\n{"name":"n\xfc"}`,
      );
    for (const type of ['application/json', 'application/merge-patch+json; charset=latin1'])
      expect(await send(type)).toMatch(/^HTTP\/1.1 400 [^]*"The body is not UTF-8."/);
    const packed = await send('application/json', 'Content-Encoding: gzip\r\n');
    expect(packed).toMatch(/^HTTP\/1.1 415 [^]*"unsupported-media-type"/);
  });

  it('that expects what nobody promises is 417, and 100-continue is met', async () => {
    const send = (expect: string, path: string, method = 'GET', body = '') =>
      sendRaw(
        `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${tenant.admin.key}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: ${expect}\r\n\r\n${body}`,
      );
    for (const path of [`${tenant.path}/groups`, '/graphql', '/nothing', '/livez']) {
      for (const expectation of ['foo', '100-continue, foo', '']) {
        const answer = await send(expectation, path, 'POST', '{"name":"expected"}');
        const [head = '', body = ''] = answer.slice(answer.indexOf('HTTP/1.1 4')).split('\r\n\r\n');
        expect([path, expectation, head.slice(0, 12)]).toEqual([path, expectation, 'HTTP/1.1 417']);
        expect(head).toMatch(
          /application\/problem\+json[^]*x-request-id|x-request-id[^]*application\/problem\+json/i,
        );
        expect(JSON.parse(body)).toMatchObject({ status: 417, code: 'expectation-failed' });
      }
    }
    const met = await send('100-Continue', `${tenant.path}/groups`, 'POST', '{"name":"expected"}');
    expect(met).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201 /);
  });

  it('for a method that a resource does not have is 405 and says which it has', async () => {
    const asked: [method: string, path: string, allow: string][] = [
      ['PUT', `${tenant.path}/devices`, 'POST, GET, HEAD'],
      ['OPTIONS', `${tenant.path}/devices/${randomUUID()}`, 'GET, HEAD, PATCH, DELETE'],
      ['GET', `${tenant.path}/devices/bulk`, 'POST'],
    ];
    for (const [method, path, allow] of asked) {
      // It is not read: its media type would be 415.
      const refused = await tenant.admin.call(method, path, method === 'PUT' ? { text: 'x' } : {});
      expect([path, refused.status, refused.body.code]).toEqual([path, 405, 'method-not-allowed']);
      const offered = refused.headers.get('allow')?.split(', ').toSorted();
      expect([path, offered]).toEqual([path, allow.split(', ').toSorted()]);
    }
    const hidden = await tenant.admin.call('GET', '/internal/claims', {});
    expect([hidden.status, hidden.headers.get('allow')]).toEqual([404, null]);
  });

  it('that is not HTTP, or has too large headers, gets a problem too', async () => {
    const said: [request: string, status: number, code: string][] = [
      ['NONSENSE\r\n\r\n', 400, 'malformed'],
      ['GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'malformed'],
      ['GET / HTTP/1.1\r\nHost: a\r\nIf-Match: \x01\r\n\r\n', 400, 'malformed'],
      ['POST /v1/claims HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 400, 'malformed'],
      [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'too-large'],
    ];
    for (const [request, status, code] of said) {
      const [head = '', body = ''] = (await sendRaw(request)).split('\r\n\r\n');
      expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(head).toContain('application/problem+json');
      expect(JSON.parse(body)).toMatchObject({ status, code });
    }
  });

  it('with U+0000 or half of a surrogate pair in its body is 422 and names the place', async () => {
    const { path, admin } = tenant;
    const issuer = { name: 'i', issuer: 'i', audiences: ['a', 'b'], jwks: { keys: [{ kty: 'EC' }] } };
    const policy = (await admin.get(`${path}/policies`)).body.items[0].id;
    const bodies: [path: string, body: object, pointer: string][] = [
      ['token-issuers', { ...issuer, audiences: ['a', '\ud800'] }, '#/audiences/1'],
      ['token-issuers', { ...issuer, jwks: { keys: [{ kty: 'EC', 'k\0': 1 }] } }, '#/jwks/keys/0/k%00'],
      ['bans', { kind: 'client-id', value: 'x', reason: 'a\0' }, '#/reason'],
      ['policies/evaluate', { deviceId: policy, action: 'connect', clientId: 'a\0' }, '#/clientId'],
    ];
    for (const [at, body, pointer] of bodies) {
      const refused = await admin.post(`${path}/${at}`, body);
      expect([at, refused.status, refused.body.errors]).toMatchObject([
        at,
        422,
        [{ pointer, code: 'forbidden-character' }],
      ]);
    }
  });

  it('with a time that is none, or a number that no version has, is 422', async () => {
    const { path, admin } = tenant;
    const until = await admin.post(`${path}/bans`, { kind: 'client-id', value: 'x', expiresAt: 'soon' });
    expect([until.status, until.body.errors]).toMatchObject([422, [{ pointer: '#/expiresAt' }]]);
    const policy = (await admin.get(`${path}/policies`)).body.items[0].id;
    for (const route of ['diff', 'activate']) {
      const at = `${path}/policies/${policy}/${route}`;
      const refused = await admin.post(at, { version: 2 ** 31 }, { 'if-match': '*' });
      expect([route, refused.status, refused.body.errors]).toMatchObject([
        route,
        422,
        [{ pointer: '#/version' }],
      ]);
    }
  });

  it('for what is not there is 404 with one body for all', async () => {
    const unknown = await tenant.admin.get(`${tenant.path}/devices/018f4e8e-0000-7000-8000-000000000000`);
    expect(unknown.status).toBe(404);
    expect(unknown.headers.get('content-type')).toContain('application/problem+json');
    const nul = await api.platform.get(`/v1/tenants/${tenant.slug}%00`);
    expect(nul.text).toBe(unknown.text);
    expect((await tenant.admin.get(`${tenant.path}/devices?namePrefix=%00`)).status).toBe(400);
    const paths = [
      `${tenant.path}/devices/not-an-id`,
      `${tenant.path}/nothing`,
      '/nothing',
      `/v1/tenants/${'x'.repeat(5_000)}`,
    ];
    for (const path of paths) expect((await tenant.admin.get(path)).text).toBe(unknown.text);
  });

  it('gets an id, its own where it brings a good one, and headers that keep answers from being kept or run', async () => {
    const own = await tenant.admin.get(tenant.path, { 'x-request-id': 'my-request-1' });
    expect(own.headers.get('x-request-id')).toBe('my-request-1');
    const replaced = await tenant.admin.get(tenant.path, { 'x-request-id': 'bad id\t"' });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(own.headers.get('cache-control')).toBe('no-store');
    expect(own.headers.get('x-content-type-options')).toBe('nosniff');
    expect(own.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(own.headers.get('ratelimit-limit')).not.toBeNull();
  });
});

describe('a list', () => {
  it('goes on from the link it gives, through everything, once', async () => {
    const { admin, path } = await api.createTenant('pages');
    const made = new Set<string>();
    for (let index = 0; index < 7; index += 1) {
      made.add((await admin.post(`${path}/groups`, { name: `g${index}` })).body.id);
    }
    const seen: string[] = [];
    let next: string | undefined = `${path}/groups?limit=3`;
    while (next !== undefined) {
      const page = await admin.get(next);
      seen.push(...page.body.items.map(({ id }: { id: string }) => id));
      next = /^<(.+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
      expect(page.body.next === null).toBe(next === undefined);
    }
    expect(seen).toHaveLength(7);
    expect(new Set(seen)).toEqual(made);
  });

  it('refuses a cursor that was changed, or that belongs to another list or tenant', async () => {
    const { admin, path } = await api.createTenant('cursors');
    for (const name of ['a', 'b']) await admin.post(`${path}/groups`, { name });
    const { next } = (await admin.get(`${path}/groups?limit=1`)).body;
    expect((await admin.get(`${path}/groups?after=${next}`)).status).toBe(200);
    const changed = `${next.slice(0, -2)}${next.endsWith('A') ? 'B' : 'A'}${next.at(-1)}`;
    const refusals = [
      await admin.get(`${path}/groups?after=${changed}`),
      await admin.get(`${path}/groups?after=x`),
      await admin.get(`${path}/devices?after=${next}`),
      await tenant.admin.get(`${tenant.path}/groups?after=${next}`),
    ];
    for (const { status, body } of refusals) {
      expect([status, body.errors]).toMatchObject([400, [{ pointer: '#/after', code: 'bad-cursor' }]]);
    }
  });
});

describe('requests at the same moment', () => {
  it('of which one deletes what the others refer to are told so, or were faster: nothing is an error of ours', async () => {
    const { admin, path } = await api.createTenant('overtaken');
    for (let round = 0; round < 5; round += 1) {
      const group = (await admin.post(`${path}/groups`, { name: `g${round}` })).body.id;
      const profile = (await admin.post(`${path}/profiles`, { name: `p${round}` })).body.id;
      const device = (await admin.post(`${path}/devices`, { name: `d${round}` })).body.id;
      const answers = await Promise.all([
        admin.call('PUT', `${path}/groups/${group}/members/${device}`, {}),
        admin.post(`${path}/devices/${device}/credentials`, {}),
        admin.delete(`${path}/devices/${device}`, '*'),
        admin.post(`${path}/devices/${device}/credentials`, {}),
        admin.post(`${path}/devices`, { name: `e${round}`, groupIds: [group], profileId: profile }),
        admin.delete(`${path}/groups/${group}`, '*'),
        admin.post(`${path}/devices`, { name: `f${round}`, groupIds: [group], profileId: profile }),
        admin.delete(`${path}/profiles/${profile}`, '*'),
      ]);
      // A body's own `status` may be a device's.
      for (const { status } of answers) expect([201, 204, 404, 409, 422]).toContain(status);
    }
  });

  it('as the deletion of their tenant have been done, or find it gone: by REST and by GraphQL', async () => {
    for (let round = 0; round < 3; round += 1) {
      const { path, slug } = await api.createTenant(`passing-${round}`);
      const made = Array.from({ length: 8 }, (_, index) => `n${index}`).flatMap((name) => [
        api.platform.post(`${path}/api-keys`, { name, role: 'viewer' }),
        api.platform.post(`${path}/groups`, { name }),
        api.platform.post(`${path}/policies`, { name, rules: [] }),
        api.platform.post(`${path}/bans`, { kind: 'client-id', value: name }),
        api.platform.post('/graphql', {
          query: `mutation { createApiKey(tenant: "${slug}", input: { name: "${name}", role: "viewer" }) { key } }`,
        }),
      ]);
      const deleted = api.platform.delete(path, '*');
      for (const { status, text, body } of await Promise.all(made)) {
        const isDone = status < 300 && body.errors === undefined;
        const code = body.errors?.[0].extensions?.code ?? body.code;
        expect([text, isDone || code]).toEqual([text, isDone || 'not-found']);
      }
      expect((await deleted).status).toBe(204);
    }
  });
});

describe('If-Match', () => {
  it('of * is met by any version, also by one that comes while the change is made: no change is refused, none is lost', async () => {
    const { admin, path } = await api.createTenant('any-version');
    const device = (await admin.post(`${path}/devices`, { name: 'd' })).body;
    const changes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        admin.patch(`${path}/devices/${device.id}`, { attributes: { [`a${index}`]: 'x' } }, '*'),
      ),
    );
    expect(changes.map(({ status }) => status)).toEqual(changes.map(() => 200));
    const { version, attributes } = (await admin.get(`${path}/devices/${device.id}`)).body;
    expect([version, Object.keys(attributes)]).toEqual([21, expect.arrayContaining(['a0', 'a19'])]);
    expect(Object.keys(attributes)).toHaveLength(20);
  });

  it('of several tags is met by one of them, in the strong comparison, and is 400 where it is no list of tags', async () => {
    const { admin, path } = await api.createTenant('several-versions');
    const group = `${path}/groups/${(await admin.post(`${path}/groups`, { name: 'g' })).body.id}`;
    let name = 0;
    const change = (tags: string) => admin.patch(group, { name: `g${(name += 1)}` }, tags);
    const met = ['"7","1"', '"x", "2" , "é"', ',, "a,b",\t"3",', 'W/"4","4"', '  *  '];
    for (const tags of met) expect([tags, (await change(tags)).status]).toEqual([tags, 200]);
    const unmet = ['"7","1"', 'W/"6"', 'W/"6", "5"', '"06"', '""', '" 6"', '"6.0"', '"9999999999"', '"*"'];
    for (const tags of unmet) {
      const { status, body } = await change(tags);
      // A space is not of a tag.
      if (tags === '" 6"') expect([tags, status, body.code]).toEqual([tags, 400, 'malformed']);
      else expect([tags, status, body.code]).toEqual([tags, 412, 'precondition-failed']);
    }
    const unreadable = [
      '6',
      '"6',
      '"6" "7"',
      '*, "6"',
      ',',
      '',
      'w/"6"',
      '"6";q=1',
      `"6"${',"7"'.repeat(3_000)}x`,
    ];
    for (const tags of unreadable) {
      const { status, body } = await change(tags);
      expect([tags, status, body]).toMatchObject([
        tags,
        400,
        { code: 'malformed', errors: [{ in: 'header', pointer: '#/If-Match', code: 'invalid' }] },
      ]);
    }
    expect((await change(`${'"7",'.repeat(3_000)}"6"`)).body.version).toBe(7);
  });

  it('of * finds nothing of what somebody else deletes at the same moment', async () => {
    const { admin, path } = await api.createTenant('any-deleted');
    const group = (await admin.post(`${path}/groups`, { name: 'g' })).body;
    const deletions = await Promise.all(
      Array.from({ length: 10 }, () => admin.delete(`${path}/groups/${group.id}`, '*')),
    );
    const statuses = deletions.map(({ status }) => status);
    expect(statuses.filter((status) => status === 204)).toHaveLength(1);
    expect(statuses.filter((status) => status === 404)).toHaveLength(9);
  });

  it('of one version among many that come at once lets one through', async () => {
    const { admin, path } = await api.createTenant('one-version');
    const group = (await admin.post(`${path}/groups`, { name: 'g' })).body;
    const changes = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        admin.patch(`${path}/groups/${group.id}`, { name: `g${index}` }, '"1"'),
      ),
    );
    const statuses = changes.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 412)).toHaveLength(4);
  });
});

describe('an Idempotency-Key', () => {
  it('gets the first answer again, secret included, and the work is done once', async () => {
    const { admin, path } = await api.createTenant('replay');
    const device = await admin.post(`${path}/devices`, { name: 'd' });
    const send = () =>
      admin.post(`${path}/devices/${device.body.id}/credentials`, {}, { 'idempotency-key': 'once' });
    const first = await send();
    const second = await send();
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect(second.headers.get('etag')).toBe(first.headers.get('etag'));
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect((await admin.get(`${path}/devices/${device.body.id}/credentials`)).body.items).toHaveLength(1);
  });

  it('keeps no secret that the database could show', async () => {
    const { admin, path } = await api.createTenant('sealed');
    const made = await admin.post(
      `${path}/api-keys`,
      { name: 'k', role: 'viewer' },
      { 'idempotency-key': 'k1' },
    );
    const rows = await queryAsSuperuser(api.database, 'SELECT * FROM idempotency_keys WHERE key = $1', [
      'k1',
    ]);
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(made.body.key);
    expect(Buffer.from(rows[0]!['body'], 'base64').toString('latin1')).not.toContain(made.body.key);
  });

  it('keeps no hash of a chosen password by which a reader of the database could guess it', async () => {
    const { admin, path } = await api.createTenant('hashed');
    const device = await admin.post(`${path}/devices`, { name: 'd' });
    const url = `${path}/devices/${device.body.id}/credentials`;
    const input = { authId: 'known', secret: 'fairly-long-one-42' };
    expect((await admin.post(url, input, { 'idempotency-key': 'chosen' })).status).toBe(201);
    const rows = await queryAsSuperuser(api.database, 'SELECT * FROM idempotency_keys WHERE key = $1', [
      'chosen',
    ]);
    expect(rows).toHaveLength(1);
    const guessed = createHash('sha256').update(`POST ${url}\napplication/json\n${JSON.stringify(input)}`);
    expect(rows[0]!['request_hash'].toString('hex')).not.toBe(guessed.digest('hex'));
    expect(
      (await admin.post(url, input, { 'idempotency-key': 'chosen' })).headers.get('idempotent-replayed'),
    ).toBe('true');
  });

  it('is refused for another request, and free for another caller', async () => {
    const { admin, operator, path } = await api.createTenant('mismatch');
    const headers = { 'idempotency-key': 'same' };
    expect((await admin.post(`${path}/groups`, { name: 'a' }, headers)).status).toBe(201);
    const other = await admin.post(`${path}/groups`, { name: 'b' }, headers);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-mismatch']);
    expect((await operator.post(`${path}/groups`, { name: 'b' }, headers)).status).toBe(201);
  });

  it('lets one of two concurrent requests do the work; the other is told to wait, or gets its answer', async () => {
    const { admin, path } = await api.createTenant('race');
    const headers = { 'idempotency-key': 'race' };
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => admin.post(`${path}/groups`, { name: 'only' }, headers)),
    );
    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
    const refused = answers.filter(({ status }) => status === 409);
    expect(refused.every(({ body }) => body.code === 'idempotency-in-progress')).toBe(true);
    expect((await admin.get(`${path}/groups`)).body.items).toHaveLength(1);
  });

  it('is free again after a refusal, which has done nothing', async () => {
    const { admin, path } = await api.createTenant('retry');
    const headers = { 'idempotency-key': 'retry' };
    expect((await admin.post(`${path}/groups`, { name: '' }, headers)).status).toBe(422);
    expect((await admin.post(`${path}/groups`, { name: 'fine' }, headers)).status).toBe(201);
  });

  it('repeats nothing to whoever may not ask for it any more: narrowed, suspended, revoked, or the tenant is gone', async () => {
    const { admin, path } = await api.createTenant('may-not');
    const key = (await admin.post(`${path}/api-keys`, { name: 'k', role: 'admin' })).body;
    const ask = (client: ApiClient) =>
      client.post(`${path}/api-keys`, { name: 'made', role: 'viewer' }, { 'idempotency-key': 'may-not' });
    const made = [await ask(admin.with(key.key)), await ask(api.platform)];
    const refused = async (client: ApiClient, status: number) => {
      const answer = await ask(client);
      expect([answer.status, answer.headers.get('idempotent-replayed')]).toEqual([status, null]);
    };
    const narrow = (role: string) =>
      queryAsSuperuser(api.database, 'UPDATE api_keys SET role = $1 WHERE id = $2', [role, key.id]);
    await narrow('operator');
    await refused(admin.with(key.key), 403);
    await narrow('admin');
    expect((await ask(admin.with(key.key))).text).toBe(made[0]?.text);
    await api.platform.patch(path, { status: 'suspended' });
    await refused(admin.with(key.key), 403);
    await api.platform.patch(path, { status: 'active' });
    await admin.delete(`${path}/api-keys/${key.id}`);
    await refused(admin.with(key.key), 401);
    await api.platform.delete(path, '*');
    await refused(api.platform, 404);
    await api.createTenant('may-not');
    const anew = await ask(api.platform);
    expect([anew.status, anew.headers.get('idempotent-replayed')]).toEqual([201, null]);
    expect(anew.body.key).not.toBe(made[1]?.body.key);
  });

  it('does not do again what has been done, where the answer was too large to be kept', async () => {
    const { admin, path } = await api.createTenant('large');
    const refused = `{"name":"","${'x'.repeat(1_000)}":1}`;
    const text = ['{"name":"made"}', ...Array.from({ length: 4_000 }, () => refused)].join('\n');
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': 'large' };
    const upload = () => admin.call('POST', `${path}/devices/bulk`, { text, headers });
    const first = await upload();
    expect([first.status, first.body.created]).toEqual([200, 1]);
    expect(first.text.length).toBeGreaterThan(4 * 1024 * 1024);
    const device = (await admin.get(`${path}/devices`)).body.items[0].id;
    await admin.delete(`${path}/devices/${device}`);
    const again = await upload();
    expect([again.status, again.body.code]).toEqual([409, 'idempotency-not-kept']);
    expect((await admin.get(`${path}/devices`)).body.items).toEqual([]);
  });

  it('is refused, and nothing done, where a tenant has as many as are kept; what is kept is repeated, and others go on', async () => {
    const [full, other] = [await api.createTenant('full'), await api.createTenant('not-full')];
    const make = ({ admin, path }: TestTenant, name: string) =>
      admin.post(`${path}/groups`, { name }, { 'idempotency-key': name });
    const kept = await make(full, 'before');
    const fill = (count: number) =>
      queryAsSuperuser(
        api.database,
        `INSERT INTO idempotency_keys (scope, key, tenant_id, request_hash, status, body)
         SELECT 'filler', n, $1::uuid, sha256('r'), 201, '""'
           FROM generate_series(1, $2) n`,
        [full.id, count],
      );
    await fill(99_999);
    const restarted = await startTestApi({}, api.database);
    try {
      const on = (tenant: TestTenant): TestTenant => ({
        ...tenant,
        admin: restarted.anonymous.with(tenant.admin.key),
      });
      const refused = await make(on(full), 'one-more');
      expect([refused.status, refused.body.code]).toEqual([409, 'limit-reached']);
      const mutation = `mutation { createGroup(tenant: "full", input: { name: "one-more" }) { id } }`;
      const byGraphql = await on(full).admin.post(
        '/graphql',
        { query: mutation },
        { 'idempotency-key': 'g' },
      );
      expect([byGraphql.status, byGraphql.body.errors[0].extensions.code]).toEqual([409, 'limit-reached']);
      expect((await make(on(full), 'before')).text).toBe(kept.text);
      expect((await full.admin.get(`${full.path}/groups`)).body.items).toHaveLength(1);
      expect((await make(on(other), 'one-more')).status).toBe(201);
      const without = await on(full).admin.post(`${full.path}/groups`, { name: 'one-more' });
      expect(without.status).toBe(201);
    } finally {
      await restarted.api.close();
    }
  });

  it('is 1 to 255 visible characters', async () => {
    const refused = await tenant.admin.post(
      `${tenant.path}/groups`,
      { name: 'k' },
      { 'idempotency-key': 'x'.repeat(256) },
    );
    expect([refused.status, refused.body.errors[0].pointer]).toEqual([400, '#/Idempotency-Key']);
  });
});

describe('too many requests', () => {
  it('from one key are 429 and say when to come back; other keys go on', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 20, failedSignIns: 5 } });
    try {
      const answers = [];
      for (let index = 0; index < 21; index += 1) answers.push(await limited.platform.get('/v1/tenants'));
      expect(answers.slice(0, 20).every(({ status }) => status === 200)).toBe(true);
      const refused = answers.at(-1)!;
      expect([refused.status, refused.body.code]).toEqual([429, 'rate-limited']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(refused.headers.get('ratelimit-remaining')).toBe('0');
      expect((await limited.anonymous.get('/livez')).status).toBe(200);
    } finally {
      await limited.stop();
    }
  });

  it('without a key are 429 for their address, and brokers that have it too go on', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 5, failedSignIns: 100 } });
    try {
      const statuses = [];
      for (let index = 0; index < 6; index += 1)
        statuses.push((await limited.anonymous.post('/v1/claims', {})).status);
      expect(statuses).toEqual([422, 422, 422, 422, 422, 429]);
      const broker = limited.anonymous.with(internalKey(limited.database.secretKey));
      expect((await broker.post('/internal/claims', {})).status).toBe(422);
      expect((await limited.anonymous.post('/internal/claims', {})).status).toBe(404);
    } finally {
      await limited.stop();
    }
  });

  it('with keys that begin like another, and are not valid, use up nothing of its allowance', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 10, failedSignIns: 3 } });
    try {
      expect((await limited.platform.get('/v1/tenants')).status).toBe(200);
      const wrong = limited.platform.key?.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
      const statuses = [];
      for (let index = 0; index < 12; index += 1)
        statuses.push((await limited.anonymous.with(wrong).get('/v1/tenants')).status);
      expect(statuses.slice(0, 4)).toEqual([401, 401, 401, 429]);
      expect((await limited.platform.get('/v1/tenants')).status).toBe(200);
    } finally {
      await limited.stop();
    }
  });

  it('with keys that are not valid are 429 for their address', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 1_000, failedSignIns: 3 } });
    try {
      const guess = (index: number) =>
        limited.anonymous.with(`moo_${String(index).padStart(12, '0')}_${'A'.repeat(43)}`).get('/v1/tenants');
      const statuses = [];
      expect((await limited.platform.get('/v1/tenants')).status).toBe(200);
      for (let index = 0; index < 5; index += 1) statuses.push((await guess(index)).status);
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
      // Behind a proxy all have one address: whose key is known to be right goes on.
      for (let index = 0; index < 2; index += 1)
        expect((await limited.platform.get('/v1/tenants')).status).toBe(200);
      expect(Number((await guess(9)).headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      await limited.stop();
    }
  });
});

describe('who has hundreds of requests under way', () => {
  let busy: TestTenant;
  beforeAll(async () => {
    busy = await api.createTenant('busy');
    await Promise.all([busy, tenant].map(({ admin, path }) => admin.get(path)));
  });

  /** Of 300: how many are answered while another tenant asks three times. Each is answered so. */
  const answeredBeside = async (one: (index: number) => Promise<Answer>, status: number): Promise<number> => {
    let answered = 0;
    const flood = Array.from({ length: 300 }, async (_, index) => {
      const answer = await one(index);
      answered += 1;
      return answer.status;
    });
    // By then they stand in the queue.
    await flood[0];
    const before = answered;
    for (let index = 0; index < 3; index += 1)
      expect((await tenant.admin.get(`${tenant.path}/devices`)).status).toBe(200);
    const meanwhile = answered - before;
    expect(new Set(await Promise.all(flood))).toEqual(new Set([status]));
    return meanwhile;
  };

  it('waits for itself: those of another are answered among its first', async () => {
    expect(await answeredBeside(() => busy.admin.get(`${busy.path}/devices`), 200)).toBeLessThan(150);
  });

  it('has one turn for all keys of a tenant, whatever they ask for', async () => {
    const keys = await Promise.all(
      Array.from({ length: 150 }, async (_, index) => {
        const body = { name: `key ${index}`, role: 'viewer' };
        return api.anonymous.with((await busy.admin.post(`${busy.path}/api-keys`, body)).body.key);
      }),
    );
    await Promise.all(keys.map((key) => key.get(busy.path)));
    const notTheirs = (index: number) => keys[index % keys.length]!.get(tenant.path);
    expect(await answeredBeside(notTheirs, 404)).toBeLessThan(150);
  });

  it('has one turn for all wrong keys from an address', async () => {
    const wrong = (index: number) =>
      api.anonymous.with(`moo_${String(index).padStart(12, '0')}_${'A'.repeat(43)}`).get('/v1/tenants');
    expect(await answeredBeside(wrong, 401)).toBeLessThan(150);
  });

  it('and for all wrong claim tokens, whichever tenant they name', async () => {
    const { body } = await tenant.admin.post(`${tenant.path}/claim-tokens`, {
      name: 'line',
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
    });
    const token = body.token.replace(/.$/, body.token.endsWith('A') ? 'B' : 'A');
    const wrong = () => api.anonymous.post('/v1/claims', { token, csr: 'none' });
    expect(await answeredBeside(wrong, 401)).toBeLessThan(150);
  });
});

describe('keys that are not valid', () => {
  it('count wherever they are shown: by GraphQL over WebSocket, too', async () => {
    const limited = await startTestApi({ rateLimits: { perKey: 1_000, failedSignIns: 3 } });
    try {
      const wrong = `moo_000000000000_${'A'.repeat(43)}`;
      for (let index = 0; index < 3; index += 1) {
        const socket = new NodeWebSocket(
          `${limited.url.replace('http', 'ws')}/graphql`,
          'graphql-transport-ws',
        );
        const payload = { authorization: `Bearer ${wrong}` };
        socket.once('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload })));
        expect(await new Promise((resolve) => socket.once('close', resolve))).toBe(4403);
      }
      expect((await limited.anonymous.with(wrong).get('/v1/tenants')).status).toBe(429);
    } finally {
      await limited.stop();
    }
  });
});

describe('health', () => {
  it('is told to everybody', async () => {
    expect((await api.anonymous.get('/livez')).body).toEqual({ live: true });
    expect((await api.anonymous.get('/readyz')).body).toEqual({ ready: true, waitingFor: {} });
  });

  it('is looked at once for all who ask at the same time', async () => {
    const check = jest.spyOn(api.api.app.get<ControlStore>(STORE), 'check');
    const answers = await Promise.all(Array.from({ length: 100 }, () => api.anonymous.get('/readyz')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(check.mock.calls.length).toBeLessThan(50);
    check.mockRestore();
  });

  it('says that the database is older than the api, until it has been migrated', async () => {
    const old = await startTestApi();
    const roll = (at: string) =>
      queryAsSuperuser(
        old.database,
        `UPDATE _prisma_migrations SET rolled_back_at = ${at}
          WHERE migration_name = (SELECT max(migration_name) FROM _prisma_migrations)`,
      );
    await roll('now()');
    const ready = await old.anonymous.get('/readyz');
    expect([ready.status, ready.body]).toEqual([
      503,
      { ready: false, waitingFor: { schema: 'schema.behind' } },
    ]);
    await roll('NULL');
    expect((await old.anonymous.get('/readyz')).status).toBe(200);
    await old.stop();
  });

  it('says that the store is gone, and requests are 503 with nothing of its words', async () => {
    const lost = await startTestApi();
    await lost.database.drop();
    const ready = await lost.anonymous.get('/readyz');
    expect([ready.status, ready.body]).toEqual([
      503,
      { ready: false, waitingFor: { store: 'store.unavailable' } },
    ]);
    const refused = await lost.platform.get('/v1/tenants');
    expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
    expect(refused.text).not.toMatch(/postgres|prisma|database/i);
    const byGraphql = await lost.platform.post('/graphql', { query: '{ __typename }' });
    expect([byGraphql.status, byGraphql.body.errors[0].extensions.code]).toEqual([503, 'unavailable']);
    expect([refused, byGraphql].map(({ headers }) => headers.get('retry-after'))).toEqual(['2', '2']);
    expect((await lost.anonymous.get('/livez')).status).toBe(200);
    await lost.stop();
  });
});
