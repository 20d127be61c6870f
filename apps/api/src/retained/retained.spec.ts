import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import {
  queryAsSuperuser,
  startTestApi,
  type ApiClient,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { addRetained } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
let path: string;

const at = '2026-01-01T00:00:00.000Z';
const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const properties = { contentType: 'text/plain', userProperties: [['a', 'b']] };

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  path = `${acme.path}/retained`;
});
afterAll(() => api.stop());

beforeEach(async () => {
  await queryAsSuperuser(api.database, 'DELETE FROM retained_messages');
  await addRetained(api.database, acme.id, [
    { topic: 'a/1', payload: Buffer.from('{"n":9007199254740993}'), at },
    { topic: 'a/2', payload: Buffer.from([0xff, 0x00]), expiresAt: inAnHour, properties },
    { topic: 'a', payload: Buffer.from('on') },
    { topic: 'b c/ü?%', payload: Buffer.from('"x"') },
    { topic: 'gone/1', expiresAt: at },
  ]);
  await addRetained(api.database, other.id, [{ topic: 'a/1' }, { topic: 'theirs' }]);
});

const query = (filter: string): string => `topic=${encodeURIComponent(filter)}`;
const topics = (body: Json): string[] => body.items.map(({ topic }: Json) => topic);
const left = async (tenant = acme): Promise<string[]> => {
  const rows = await queryAsSuperuser(
    api.database,
    'SELECT topic FROM retained_messages WHERE tenant_id = $1 ORDER BY topic COLLATE "C"',
    [tenant.id],
  );
  return rows.map(({ topic }) => topic as string);
};
const clear = (filter: string, more = '', client = acme.operator) =>
  client.call('DELETE', `${path}?${query(filter)}${more}`);
const audit = async (): Promise<Json[]> =>
  (await acme.admin.get(`${acme.path}/audit?action=retained.clear&limit=1`)).body.items;

async function ask(client: ApiClient, text: string): Promise<Json> {
  const { body } = await client.post('/graphql', { query: text });
  expect(body.errors).toBeUndefined();
  return body.data;
}

describe('retained messages', () => {
  it('are listed by topic, with who set them, when, and for how long, without their payloads', async () => {
    const { body } = await acme.viewer.get(path);
    expect(topics(body)).toEqual(['a', 'a/1', 'a/2', 'b c/ü?%']);
    expect(body.items[2]).toEqual({
      topic: 'a/2',
      qos: 1,
      payloadBytes: 2,
      receivedAt: expect.any(String),
      publisher: 'somebody',
      expiresAt: inAnHour,
      hasContent: false,
      body: null,
      raw: null,
      properties: null,
    });
    expect(body.items[1]).toMatchObject({ receivedAt: at, payloadBytes: 22, expiresAt: null });
  });

  it('come with their payloads where these are asked for, in the form of telemetry', async () => {
    const { body, text } = await acme.viewer.get(`${path}?payload=true`);
    expect(body.items.map((item: Json) => [item.hasContent, item.body, item.raw, item.properties])).toEqual([
      [true, null, Buffer.from('on').toString('base64'), null],
      [true, expect.anything(), null, null],
      [true, null, '/wA=', properties],
      [true, 'x', null, null],
    ]);
    expect(text).toContain('"body":{"n":9007199254740993}');
  });

  it('are filtered as MQTT would match', async () => {
    const found = async (filter: string) => topics((await acme.viewer.get(`${path}?${query(filter)}`)).body);
    expect(await found('a/#')).toEqual(['a', 'a/1', 'a/2']);
    expect(await found('a/+')).toEqual(['a/1', 'a/2']);
    expect(await found('a/2')).toEqual(['a/2']);
    expect(await found('+/ü?%')).toEqual(['b c/ü?%']);
    expect(await found('gone/#')).toEqual([]);
  });

  it('are paged without gaps or repetition', async () => {
    const seen: string[] = [];
    for (let next: string | null = `${path}?limit=1`; next !== null;) {
      const page = await acme.viewer.get(next);
      seen.push(...topics(page.body));
      next = /<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? null;
    }
    expect(seen).toEqual(['a', 'a/1', 'a/2', 'b c/ü?%']);
    const { next } = (await acme.viewer.get(`${path}?limit=1`)).body;
    expect((await other.viewer.get(`${other.path}/retained?after=${next}`)).status).toBe(400);
  });

  it('fill no page with more than a mebibyte of payloads, unless one of them is larger', async () => {
    const payload = Buffer.alloc(400_000, 'x');
    const large = Buffer.alloc(1_200_000, 'x');
    await queryAsSuperuser(api.database, 'DELETE FROM retained_messages');
    await addRetained(api.database, acme.id, [
      ...['a', 'b', 'c', 'd'].map((topic) => ({ topic, payload })),
      { topic: 'e', payload: large },
      { topic: 'f', payload },
    ]);
    const pages: string[][] = [];
    for (let after = ''; ;) {
      const { body } = await acme.viewer.get(`${path}?payload=true${after}`);
      expect(
        body.items.every(({ raw, payloadBytes }: Json) => Buffer.from(raw, 'base64').length === payloadBytes),
      ).toBe(true);
      pages.push(topics(body));
      if (body.next === null) break;
      after = `&after=${body.next}`;
    }
    expect(pages).toEqual([['a', 'b'], ['c', 'd'], ['e'], ['f']]);
    expect(topics((await acme.viewer.get(path)).body).length).toBe(6);
    expect((await acme.viewer.get(`${path}/e`)).body.raw.length).toBe(1_600_000);
  });

  it('are found by their topic, whatever is in it', async () => {
    expect((await acme.viewer.get(`${path}/${encodeURIComponent('b c/ü?%')}`)).body).toMatchObject({
      topic: 'b c/ü?%',
      body: 'x',
    });
    const topic = `long/${'ö'.repeat(900)}`;
    await addRetained(api.database, acme.id, [{ topic }]);
    expect((await acme.viewer.get(`${path}/${encodeURIComponent(topic)}`)).body).toMatchObject({ topic });
    for (const none of ['nothing', 'gone/1', 'a/+', '#', 'theirs', 'a%00'])
      expect([
        none,
        (await acme.viewer.get(`${path}/${none.replaceAll('/', '%2F').replace('#', '%23')}`)).status,
      ]).toEqual([none, 404]);
  });

  it('refuse what they cannot use', async () => {
    for (const bad of ['limit=201', 'topic=a%23', 'topic=', 'payload=yes', 'colour=red', 'after=x']) {
      const refused = await acme.viewer.get(`${path}?${bad}`);
      expect([bad, refused.status, refused.body.code]).toEqual([bad, 400, 'invalid-parameter']);
    }
    for (const bad of ['', 'dryRun=true', 'topic=a%23', 'topic=%23&dryRun=maybe', 'topic=%23&limit=1']) {
      const refused = await acme.operator.call('DELETE', `${path}?${bad}`);
      expect([bad, refused.status, refused.body.code]).toEqual([bad, 400, 'invalid-parameter']);
    }
    expect(await left()).toHaveLength(5);
  });
});

describe('clearing retained messages', () => {
  it('takes one topic, which is on record', async () => {
    const cleared = await acme.operator.call('DELETE', `${path}/a%2F1`);
    expect([cleared.status, cleared.text]).toEqual([204, '']);
    expect(await left()).toEqual(['a', 'a/2', 'b c/ü?%', 'gone/1']);
    expect(await left(other)).toEqual(['a/1', 'theirs']);
    const operation = await acme.viewer.get(cleared.headers.get('operation-location')!);
    expect(operation.body).toMatchObject({ kind: 'retained', status: 'applied', retainedCleared: 0 });
    expect(await audit()).toMatchObject([
      { action: 'retained.clear', subjectKind: 'retained', subjectId: 'a/1', detail: { messages: 1 } },
    ]);
    for (const none of ['a%2F1', 'gone%2F1', 'a%2F%23'])
      expect((await acme.operator.call('DELETE', `${path}/${none}`)).status).toBe(404);
    expect((await acme.viewer.call('DELETE', `${path}/a`)).body.code).toBe('forbidden');
  });

  it('takes all that a filter matches, counts them, and has been tried before without doing it', async () => {
    const dry = await clear('a/#', '&dryRun=true');
    expect([dry.status, dry.body]).toEqual([200, { dryRun: true, messages: 3 }]);
    expect(dry.headers.has('operation-location')).toBe(false);
    expect(await left()).toHaveLength(5);
    const cleared = await clear('a/#');
    expect([cleared.status, cleared.body]).toEqual([200, { dryRun: false, messages: 3 }]);
    expect(cleared.headers.get('operation-location')).toMatch(/operations\/\d+$/);
    expect(await left()).toEqual(['b c/ü?%', 'gone/1']);
    expect(await audit()).toMatchObject([{ subjectId: 'a/#', detail: { messages: 3 } }]);
    // What has expired goes, and does not count.
    expect((await clear('#')).body).toEqual({ dryRun: false, messages: 1 });
    expect([await left(), await left(other)]).toEqual([[], ['a/1', 'theirs']]);
    expect((await clear('#')).body).toEqual({ dryRun: false, messages: 0 });
  });

  it('takes thousands in bites', async () => {
    await queryAsSuperuser(
      api.database,
      `INSERT INTO retained_messages (tenant_id, topic, payload, qos, publisher, received_at)
       SELECT $1, 'many/' || n, '', 0, 'p', now() FROM generate_series(1, 4500) n`,
      [acme.id],
    );
    expect((await clear('many/#')).body).toEqual({ dryRun: false, messages: 4_500 });
    expect(await left()).toHaveLength(5);
    const changes = await queryAsSuperuser(
      api.database,
      `SELECT subject FROM changes WHERE kind = 'retained' ORDER BY number DESC LIMIT 3`,
    );
    expect(changes).toEqual(Array.from({ length: 3 }, () => ({ subject: { filter: 'many/#' } })));
  });

  it('gives way to a broker that writes to the same topics, and waits for no more than its batch', async () => {
    const broker = new Client({ connectionString: api.database.superuserUrl });
    await broker.connect();
    const set = (topic: string) =>
      broker.query(`UPDATE retained_messages SET payload = 'new' WHERE tenant_id = $1 AND topic = $2`, [
        acme.id,
        topic,
      ]);
    try {
      await broker.query('BEGIN');
      await set('a/2');
      const clearing = clear('a/#');
      await new Promise((resolve) => setTimeout(resolve, 50));
      // A deadlock, if the clearing held its locks: the broker is not the one that loses.
      await set('a');
      await broker.query('COMMIT');
      expect((await clearing).body).toEqual({ dryRun: false, messages: 3 });
      expect(await left()).toEqual(['b c/ü?%', 'gone/1']);
      await broker.query('BEGIN');
      await set('b c/ü?%');
      const refused = await clear('#');
      expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
      await broker.query('ROLLBACK');
      expect(await left()).toHaveLength(2);
    } finally {
      await broker.end();
    }
  });
});

describe('retained messages by GraphQL', () => {
  it('are listed, read and cleared as by REST', async () => {
    const listed = await ask(
      acme.viewer,
      `{ retainedMessages(tenant: "acme", topic: "a/#", first: 2) { edges { node { topic hasContent body } cursor } pageInfo { hasNextPage endCursor } } }`,
    );
    const { edges, pageInfo } = listed.retainedMessages;
    expect(edges.map(({ node }: Json) => node)).toEqual([
      { topic: 'a', hasContent: false, body: null },
      { topic: 'a/1', hasContent: false, body: null },
    ]);
    const rest = await ask(
      acme.viewer,
      `{ retainedMessages(tenant: "acme", topic: "a/#", payload: true, after: "${pageInfo.endCursor}") { edges { node { topic raw } } } }`,
    );
    expect(rest.retainedMessages.edges).toEqual([{ node: { topic: 'a/2', raw: '/wA=' } }]);
    const one = await ask(
      acme.viewer,
      '{ retainedMessage(tenant: "acme", topic: "a/2") { raw properties expiresAt payloadBytes qos publisher } }',
    );
    expect(one.retainedMessage).toEqual({
      raw: '/wA=',
      properties,
      expiresAt: inAnHour,
      payloadBytes: 2,
      qos: 1,
      publisher: 'somebody',
    });
    const dry = await ask(
      acme.operator,
      'mutation { clearRetainedMessages(tenant: "acme", topic: "#", dryRun: true) { dryRun messages operation } }',
    );
    expect(dry.clearRetainedMessages).toEqual({ dryRun: true, messages: 4, operation: null });
    const cleared = await ask(
      acme.operator,
      `mutation {
        one: clearRetainedMessage(tenant: "acme", topic: "a") { topic operation }
        all: clearRetainedMessages(tenant: "acme", topic: "a/#") { dryRun messages operation }
      }`,
    );
    expect(cleared).toEqual({
      one: { topic: 'a', operation: expect.stringMatching(/^\d+$/) },
      all: { dryRun: false, messages: 2, operation: expect.stringMatching(/^\d+$/) },
    });
    expect(await left()).toEqual(['b c/ü?%', 'gone/1']);
  });

  it('refuse what they cannot use', async () => {
    const code = async (text: string) =>
      (await acme.operator.post('/graphql', { query: text })).body.errors?.[0].extensions.code;
    expect(await code('{ retainedMessages(tenant: "acme", topic: "a#") { edges { cursor } } }')).toBe(
      'invalid',
    );
    expect(await code('{ retainedMessage(tenant: "acme", topic: "a/+") { topic } }')).toBe('not-found');
    expect(await code('mutation { clearRetainedMessage(tenant: "acme", topic: "#") { topic } }')).toBe(
      'not-found',
    );
    expect(await code('mutation { clearRetainedMessages(tenant: "acme", topic: "") { messages } }')).toBe(
      'invalid',
    );
    expect(await code('mutation { clearRetainedMessages(tenant: "acme") { messages } }')).toBe(
      'invalid-query',
    );
    expect(await left()).toHaveLength(5);
  });
});
