import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hashSecret } from '#access';
import {
  queryAsSuperuser,
  startTestApi,
  type Answer,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { makeSelfSigned } from '../../../../test/support/pki.js';
import { eventually } from '../../../../test/support/product.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('home');
  path = `${tenant.path}/devices`;
});
afterAll(() => api.stop());

const nobody = '018f4e8e-0000-7000-8000-000000000000';

describe('devices', () => {
  it('are registered under the default profile, read, changed and deleted', async () => {
    const created = await tenant.operator.post(path, { name: 'watch-1', attributes: { site: 'north' } });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      name: 'watch-1',
      attributes: { site: 'north' },
      groupIds: [],
      status: 'active',
      version: 1,
    });
    const self = created.headers.get('location') ?? '';
    expect((await tenant.viewer.get(self)).body).toEqual(created.body);
    const changed = await tenant.operator.patch(self, {
      attributes: { site: null, ward: '7' },
      status: 'disabled',
    });
    expect(changed.body).toMatchObject({ attributes: { ward: '7' }, status: 'disabled', version: 2 });
    expect(changed.body.attributes).not.toHaveProperty('site');
    expect(changed.headers.get('operation-location')).toContain('/operations/');
    const deleted = await tenant.operator.delete(self);
    expect([deleted.status, deleted.text]).toEqual([204, '']);
    expect(deleted.headers.get('operation-location')).toContain('/operations/');
    expect((await tenant.operator.get(self)).status).toBe(404);
  });

  it('refuse a name or an attribute that a topic would read as syntax', async () => {
    for (const bad of [
      '',
      'a/b',
      'a+',
      '#',
      'a\u0000b',
      'a\nb',
      '\u0085',
      '\ud800',
      '\ufffe',
      'x'.repeat(201),
    ]) {
      const name = await tenant.admin.post(path, { name: bad });
      expect([bad, name.status, name.body.errors[0].pointer]).toEqual([bad, 422, '#/name']);
      const value = await tenant.admin.post(path, { name: 'fine', attributes: { a: bad } });
      expect([bad, value.status, value.body.errors[0].pointer]).toEqual([bad, 422, '#/attributes/a']);
    }
    for (const key of ['', 'a b', 'constructor.x', 'ü']) {
      const refused = await tenant.admin.post(path, { name: 'fine', attributes: { [key]: 'v' } });
      expect([key, refused.status]).toEqual([key, 422]);
    }
  });

  it('refuse a name that no client could connect under', async () => {
    const longest = 'ä'.repeat(128);
    expect((await tenant.admin.post(path, { name: longest })).status).toBe(201);
    const { body } = await tenant.admin.post(path, { name: `${longest}x` });
    expect(body.errors).toMatchObject([{ pointer: '#/name', code: 'too-big' }]);
  });

  it('refuse a taken name, and a profile or group that is not there or is another tenant’s', async () => {
    await tenant.admin.post(path, { name: 'twice' });
    const again = await tenant.admin.post(path, { name: 'twice' });
    expect([again.status, again.body.code, again.body.errors[0].pointer]).toEqual([
      409,
      'name-taken',
      '#/name',
    ]);
    const other = await api.createTenant('other-fleet');
    const profile = (await other.admin.get(`${other.path}/profiles`)).body.items[0].id;
    const group = (await other.admin.post(`${other.path}/groups`, { name: 'g' })).body.id;
    for (const id of [nobody, profile]) {
      const refused = await tenant.admin.post(path, { name: 'x', profileId: id });
      expect([refused.status, refused.body.errors]).toMatchObject([
        422,
        [{ pointer: '#/profileId', code: 'unknown-reference' }],
      ]);
    }
    const refused = await tenant.admin.post(path, { name: 'x', groupIds: [nobody, group] });
    expect(refused.body.errors.map(({ pointer }: Json) => pointer)).toEqual(['#/groupIds/0', '#/groupIds/1']);
  });

  it('cannot be reached from another tenant by any method', async () => {
    const { body: device } = await tenant.admin.post(path, { name: 'private' });
    const stranger = await api.createTenant('stranger');
    const unknown = await stranger.admin.get(`${stranger.path}/devices/${nobody}`);
    const attempts = [
      await stranger.admin.get(`${stranger.path}/devices/${device.id}`),
      await stranger.admin.get(`${path}/${device.id}`),
      await stranger.admin.patch(`${stranger.path}/devices/${device.id}`, { status: 'disabled' }, '*'),
      await stranger.admin.delete(`${stranger.path}/devices/${device.id}`, '*'),
      await stranger.admin.post(`${stranger.path}/devices/${device.id}/credentials`, {}),
      await stranger.admin.get(`${stranger.path}/devices/${device.id}/credentials`),
      await stranger.admin.post(path, { name: 'planted' }),
    ];
    for (const { status, text } of attempts) expect([status, text]).toEqual([404, unknown.text]);
    expect((await tenant.admin.get(`${path}/${device.id}`)).body).toEqual(device);
  });

  it('are changed only under the tag that was read', async () => {
    const { headers } = await tenant.admin.post(path, { name: 'tagged' });
    const self = headers.get('location') ?? '';
    expect((await tenant.admin.call('PATCH', self, { body: {} })).body).toMatchObject({
      status: 428,
      code: 'precondition-required',
    });
    expect((await tenant.admin.call('DELETE', self)).status).toBe(428);
    for (const stale of ['"2"', 'W/"1"', '""']) {
      expect([stale, (await tenant.admin.patch(self, { status: 'disabled' }, stale)).status]).toEqual([
        stale,
        412,
      ]);
    }
    const both = await Promise.all([
      tenant.admin.patch(self, { attributes: { a: '1' } }, '"1"'),
      tenant.admin.patch(self, { attributes: { b: '2' } }, '"1"'),
    ]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 412]);
  });

  it('are listed by name, prefix of the name, profile, group and status', async () => {
    const { admin, path: home } = await api.createTenant('filters');
    const group = (await admin.post(`${home}/groups`, { name: 'g' })).body.id;
    const profile = (await admin.post(`${home}/profiles`, { name: 'p' })).body.id;
    await admin.post(`${home}/devices`, { name: 'a_1', groupIds: [group] });
    await admin.post(`${home}/devices`, { name: 'ab1', profileId: profile });
    await admin.post(`${home}/devices`, { name: 'a%1', status: 'disabled' });
    const names = async (query: string) =>
      (await admin.get(`${home}/devices?${query}`)).body.items.map(({ name }: Json) => name);
    expect(await names('namePrefix=a')).toEqual(['a_1', 'ab1', 'a%1']);
    expect(await names('namePrefix=a_')).toEqual(['a_1']);
    expect(await names('namePrefix=a%25')).toEqual(['a%1']);
    expect(await names('name=ab1')).toEqual(['ab1']);
    expect(await names('name=ab')).toEqual([]);
    expect(await names('name=ab1&namePrefix=a_')).toEqual([]);
    expect(await names(`group=${group}`)).toEqual(['a_1']);
    expect(await names(`profile=${profile}`)).toEqual(['ab1']);
    expect(await names('status=disabled')).toEqual(['a%1']);
    expect((await admin.get(`${home}/devices?status=gone`)).status).toBe(400);
    const query = '{ devices(tenant: "filters", name: "a%1") { edges { node { name } } } }';
    expect((await admin.post('/graphql', { query })).body.data).toEqual({
      devices: { edges: [{ node: { name: 'a%1' } }] },
    });
  });

  it('join and leave groups by patch', async () => {
    const { admin, path: home } = await api.createTenant('joining');
    const ids: string[] = [];
    for (const name of ['a', 'b', 'c']) ids.push((await admin.post(`${home}/groups`, { name })).body.id);
    const [a, b, c] = ids;
    const { headers } = await admin.post(`${home}/devices`, { name: 'd', groupIds: [a, b] });
    const self = headers.get('location') ?? '';
    expect((await admin.patch(self, { groupIds: [b, c] })).body.groupIds).toEqual([b, c]);
    expect((await admin.patch(self, { groupIds: [] })).body.groupIds).toEqual([]);
  });

  it('leave nothing behind when they are deleted', async () => {
    const { body: device } = await tenant.admin.post(path, { name: 'leaving' });
    await tenant.admin.post(`${path}/${device.id}/credentials`, {});
    await queryAsSuperuser(
      api.database,
      `INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, qos) VALUES ($1, $2, now(), 't', '{}', 1)`,
      [tenant.id, device.id],
    );
    expect((await tenant.admin.delete(`${path}/${device.id}`)).status).toBe(204);
    for (const table of ['telemetry', 'credentials']) {
      const rows = await queryAsSuperuser(api.database, `SELECT FROM ${table} WHERE device_id = $1`, [
        device.id,
      ]);
      expect([table, rows]).toEqual([table, []]);
    }
    expect((await tenant.admin.post(path, { name: 'leaving' })).status).toBe(201);
  });

  it('are gone when the last broker process has confirmed it, with what it wrote of them until then', async () => {
    const { body: device } = await tenant.admin.post(path, { name: 'talkative' });
    const processId = '018f4e8e-0000-7000-8000-000000000002';
    await queryAsSuperuser(
      api.database,
      `INSERT INTO broker_processes (id, lease_until, applied) VALUES ($1, now() + interval '1 hour', 0)`,
      [processId],
    );
    const deleted = await tenant.admin.delete(`${path}/${device.id}`);
    expect(deleted.status).toBe(202);
    const self = deleted.headers.get('operation-location') ?? '';
    await queryAsSuperuser(
      api.database,
      `INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause)
       VALUES ($1, $2, now(), 'c', 1, 'offline', 'kicked')`,
      [tenant.id, device.id],
    );
    await queryAsSuperuser(
      api.database,
      'INSERT INTO change_receipts (tenant_id, number, process_id, result) VALUES ($1, $2, $3, $4)',
      [tenant.id, self.split('/').at(-1), processId, '{}'],
    );
    await eventually(
      async () => (await tenant.viewer.get(self)).body.status,
      (status) => status === 'applied',
    );
    await queryAsSuperuser(api.database, 'DELETE FROM broker_processes WHERE id = $1', [processId]);
  });

  it('leave a row in the audit for what was done to them', async () => {
    const { body: device } = await tenant.operator.post(path, { name: 'audited' });
    await tenant.operator.patch(`${path}/${device.id}`, { status: 'disabled' });
    await tenant.operator.delete(`${path}/${device.id}`);
    const rows = await queryAsSuperuser(
      api.database,
      'SELECT actor, action FROM audit_entries WHERE subject_id = $1 ORDER BY id',
      [device.id],
    );
    expect(rows.map(({ action }) => action)).toEqual(['device.create', 'device.update', 'device.delete']);
    expect(tenant.operator.key).toContain(rows[0]!['actor']);
  });
});

describe('many devices at once', () => {
  const upload = (text: string, type: string, query = '', client = tenant.admin) =>
    client.call('POST', `${path}/bulk${query}`, { text, headers: { 'content-type': type } });

  it('are taken row by row from NDJSON; a bad row says why and does not stop the others', async () => {
    await tenant.admin.post(path, { name: 'there-already' });
    const lines = [
      '{"name":"n1","attributes":{"site":"x"}}',
      '{"name":"n/2"}',
      '{"name":"n1"}',
      'not json',
      '{"name":"n3","profile":"nope","groups":["nope"]}',
      '{"name":"there-already"}',
      '{"name":"n4","colour":"red"}',
      '',
      '{"name":"n5"}',
    ];
    const answer = await upload(lines.join('\r\n'), 'application/x-ndjson');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ dryRun: false, created: 2, refused: 6 });
    const told = answer.body.rows.map(({ row, name, outcome, errors }: Json) => [
      row,
      name,
      outcome,
      ...(errors ?? []).map(({ pointer, code }: Json) => `${pointer} ${code}`),
    ]);
    expect(told).toEqual([
      [1, 'n1', 'created'],
      [2, 'n/2', 'refused', '#/name forbidden-character'],
      [3, 'n1', 'refused', '#/name duplicate'],
      [4, null, 'refused', '# malformed'],
      [5, 'n3', 'refused', '#/groups/0 unknown-reference', '#/profile unknown-reference'],
      [6, 'there-already', 'refused', '#/name taken'],
      [7, 'n4', 'refused', '#/colour unknown'],
      [8, 'n5', 'created'],
    ]);
    const created = await tenant.admin.get(`${path}/${answer.body.rows[0].id}`);
    expect(created.body).toMatchObject({ name: 'n1', attributes: { site: 'x' } });
  });

  it('are taken from CSV, quotes and all', async () => {
    const { body: group } = await tenant.admin.post(`${tenant.path}/groups`, { name: 'Ward, east' });
    const csv =
      '\ufeffname,profile,groups,status,attr.site\nc1,default,"Ward, east",disabled,"a ""b"""\nc2,,,,\n';
    const answer = await upload(csv, 'text/csv; charset=utf-8');
    expect(answer.body).toMatchObject({ created: 2, refused: 0 });
    const { body: first } = await tenant.admin.get(`${path}/${answer.body.rows[0].id}`);
    expect(first).toMatchObject({
      name: 'c1',
      groupIds: [group.id],
      status: 'disabled',
      attributes: { site: 'a "b"' },
    });
    const { body: second } = await tenant.admin.get(`${path}/${answer.body.rows[1].id}`);
    expect(second).toMatchObject({ name: 'c2', groupIds: [], status: 'active', attributes: {} });
  });

  it('with an attribute of a name that objects have for themselves are refused, not taken without it', async () => {
    const told = { outcome: 'refused', errors: [{ pointer: '#/attributes/__proto__', code: 'reserved' }] };
    const line = '{"name":"p1","attributes":{"__proto__":"x","site":"y"}}';
    const rows = await upload(line, 'application/x-ndjson');
    expect(rows.body).toMatchObject({ created: 0, rows: [told] });
    const cells = await upload('name,attr.__proto__,attr.site\np2,x,y\np3,,y\n', 'text/csv');
    expect(cells.body).toMatchObject({ created: 1, rows: [told, { name: 'p3', outcome: 'created' }] });
    const query = `mutation { createDevice(tenant: "${tenant.slug}", input: { name: "p4", attributes: { __proto__: "x" } }) { id } }`;
    const { body } = await tenant.admin.post('/graphql', { query });
    expect(body.errors[0].extensions).toMatchObject({ code: 'invalid', errors: told.errors });
  });

  it('of a file that is no CSV, or has unknown columns, are refused whole', async () => {
    for (const csv of [
      '',
      'name,nope\na,b\n',
      'profile\nx\n',
      'name,name\na,b\n',
      'name,status\na\n',
      'name\n"a\n',
    ]) {
      const refused = await upload(csv, 'text/csv');
      expect([csv, refused.status, refused.body.code]).toEqual([csv, 422, 'invalid']);
    }
  });

  it('in a dry run are judged and not created', async () => {
    const text = '{"name":"dry-1"}\n{"name":"there-already"}\n';
    const answer = await upload(text, 'application/x-ndjson', '?dryRun=true');
    expect(answer.body).toMatchObject({ dryRun: true, created: 1, refused: 1 });
    expect((await tenant.admin.get(`${path}?namePrefix=dry-`)).body.items).toEqual([]);
  });

  it('need the right to write, before a byte of the file is kept', async () => {
    expect((await upload('{"name":"x"}', 'application/x-ndjson', '', tenant.viewer)).status).toBe(403);
    expect((await upload('{"name":"x"}', 'application/x-ndjson', '', api.anonymous)).status).toBe(401);
    expect((await upload('{"name":"x"}', 'application/json')).status).toBe(415);
  });

  it('come by ten thousand and not by more', async () => {
    const lines = Array.from(
      { length: 10_001 },
      (_, index) => `{"name":"m${index}","attributes":{"n":"${index}"}}`,
    );
    expect((await upload(lines.join('\n'), 'application/x-ndjson')).status).toBe(413);
    const answer = await upload(lines.slice(1).join('\n'), 'application/x-ndjson');
    expect(answer.body).toMatchObject({ created: 10_000, refused: 0 });
  });

  it('get the same answer again under the same Idempotency-Key', async () => {
    const send = () =>
      tenant.admin.call('POST', `${path}/bulk`, {
        text: '{"name":"again"}',
        headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'bulk' },
      });
    const first = await send();
    expect(first.body.created).toBe(1);
    expect((await send()).body).toEqual(first.body);
  });

  describe('with their credentials', () => {
    const bring = (rows: readonly object[], query = '', client = tenant.operator) =>
      upload(rows.map((row) => JSON.stringify(row)).join('\n'), 'application/x-ndjson', query, client);
    const told = (answer: Answer) =>
      answer.body.rows.map(({ outcome, errors }: Json) => [
        outcome,
        ...(errors ?? []).map(({ pointer, code }: Json) => `${pointer} ${code}`),
      ]);
    const credentialsOf = async (id: string) =>
      (await tenant.viewer.get(`${path}/${id}/credentials`)).body.items;

    it('are made with what each device needs, and passwords that are generated are shown this once', async () => {
      const own = await makeSelfSigned('own');
      const answer = await bring([
        { name: 'k1', credentials: [{ authId: 'k1-main' }, { kind: 'external' }] },
        {
          name: 'k2',
          credentials: [{ authId: 'k2', secret: 'zH3-kq9.Lm2x-zH3', notAfter: '2099-01-01T00:00:00Z' }],
        },
        { name: 'k3', credentials: [{ kind: 'certificate', certificate: own.pem }] },
        { name: 'k4' },
        { name: 'k5', credentials: [] },
      ]);
      expect([answer.status, answer.body.created]).toEqual([200, 5]);
      const [k1, k2, k3, k4, k5] = answer.body.rows;
      expect(k1.credentials).toMatchObject([
        { kind: 'password', username: `k1-main@${tenant.slug}`, deviceId: k1.id, version: 1 },
        { kind: 'external', deviceId: k1.id },
      ]);
      expect(k1.credentials[0].password).toMatch(/^[\w-]{43,}$/);
      expect(k2.credentials).toMatchObject([{ authId: 'k2', notAfter: '2099-01-01T00:00:00.000Z' }]);
      expect(JSON.stringify([k1.credentials[1], k2, k3])).not.toContain('assword":');
      expect(answer.text).not.toContain('zH3-kq9.Lm2x-zH3');
      expect(k3.credentials).toMatchObject([{ kind: 'certificate', fingerprint: expect.any(String) }]);
      expect([k4.credentials, k5.credentials]).toEqual([undefined, undefined]);
      for (const { id, credentials } of [k1, k2, k3]) {
        const stored = await credentialsOf(id);
        expect(credentials).toMatchObject(stored);
      }
      const [{ hash }] = (await queryAsSuperuser(
        api.database,
        'SELECT secret_hash AS hash FROM credentials WHERE id = $1',
        [k1.credentials[0].id],
      )) as [Json];
      expect(hash).toEqual(hashSecret(api.database.secretKey, k1.credentials[0].password));
      // A certificate may have been somebody's by its name: brokers look again.
      const operation = answer.headers.get('operation-location') ?? '';
      expect((await tenant.viewer.get(operation)).body).toMatchObject({ kind: 'credential' });
      const audit = await tenant.admin.get(`${tenant.path}/audit?limit=10`);
      const deeds = audit.body.items.map(({ action, detail }: Json) => [
        action,
        detail.authId ?? detail.devices,
      ]);
      expect(deeds).toEqual(
        expect.arrayContaining([
          ['device.create-many', 5],
          ['credential.create', 'k1-main'],
          ['credential.create', 'k2'],
        ]),
      );
    });

    it('are refused row by row, as a whole, each fault by its place', async () => {
      const [expired, own] = await Promise.all([
        makeSelfSigned('old', { notBefore: new Date(0), notAfter: new Date(1_000) }),
        makeSelfSigned('one'),
      ]);
      const nobody = '018f4e8e-0000-7000-8000-000000000009';
      await bring([{ name: 'r0', credentials: [{ authId: 'r0', kind: 'external' }, pin(own)] }]);
      const answer = await bring([
        { name: 'r1', credentials: [{ authId: 'r0' }] },
        { name: 'r2', credentials: [{ authId: 'r2' }, { authId: 'r2' }] },
        { name: 'r3', credentials: [{ authId: 'r3' }, { secret: 'password-2026' }, { secret: 'short' }] },
        { name: 'r4', credentials: [pin(expired), { kind: 'certificate', certificate: 'x' }] },
        { name: 'r5', credentials: [pin(own)] },
        {
          name: 'r6',
          credentials: [
            { kind: 'certificate', anchorId: nobody },
            { kind: 'token', issuerId: nobody },
          ],
        },
        { name: 'r7', credentials: [{ notAfter: '2020-01-01T00:00:00Z' }, { colour: 'red' }] },
        { name: 'r0', credentials: [{ authId: 'r8' }] },
        {
          name: 'r9',
          credentials: [
            { authId: 'r9', kind: 'token', publicKey: 'x' },
            { kind: 'external', secret: 'x' },
          ],
        },
        { name: 'r10', credentials: [{ authId: 'a@b' }] },
        { name: 'r11', credentials: Array.from({ length: 21 }, () => ({ kind: 'external' })) },
        { name: 'r12', credentials: [{ authId: 'r12' }] },
        { name: 'r13', credentials: [{ authId: 'r12' }] },
      ]);
      expect(told(answer)).toEqual([
        ['refused', '#/credentials/0/authId taken'],
        ['refused', '#/credentials/1/authId duplicate'],
        ['refused', '#/credentials/1/secret trivial', '#/credentials/2/secret too-short'],
        ['refused', '#/credentials/0/certificate expired', '#/credentials/1/certificate malformed'],
        ['refused', '#/credentials/0/certificate taken'],
        ['refused', '#/credentials/0/anchorId unknown', '#/credentials/1/issuerId unknown'],
        ['refused', '#/credentials/0/notAfter past', '#/credentials/1/colour unknown'],
        ['refused', '#/name taken'],
        ['refused', '#/credentials/1/secret not-together'],
        ['refused', '#/credentials/0/authId forbidden-character'],
        ['refused', '#/credentials too-big'],
        ['created'],
        ['refused', '#/credentials/0/authId duplicate'],
      ]);
      expect(
        (await tenant.admin.get(`${path}?namePrefix=r`)).body.items.map(({ name }: Json) => name),
      ).toEqual(['r0', 'r12']);
    });

    it('come from CSV too, one with each, and none where its cells are empty', async () => {
      const own = await makeSelfSigned('csv');
      const csv = [
        'name,credential.kind,credential.authId,credential.secret,credential.certificate,credential.notAfter',
        'v1,,v1,tiG4-mm0.Px8c-tiG4,,2099-01-01T00:00:00Z',
        `v2,certificate,,,"${own.pem}",`,
        'v3,,,,,',
        'v4,password,,,,',
        'v5,,,short,,soon',
      ].join('\n');
      const answer = await upload(csv, 'text/csv');
      expect(told(answer)).toEqual([
        ['created'],
        ['created'],
        ['created'],
        ['created'],
        ['refused', '#/credentials/0/notAfter invalid-format'],
      ]);
      const [v1, v2, v3, v4] = answer.body.rows;
      expect(v1.credentials).toMatchObject([{ authId: 'v1', notAfter: '2099-01-01T00:00:00.000Z' }]);
      expect(v2.credentials).toMatchObject([{ kind: 'certificate' }]);
      expect(v3.credentials).toBeUndefined();
      expect(v4.credentials).toMatchObject([{ kind: 'password', password: expect.any(String) }]);
      expect((await upload('name,credential.nope\na,b\n', 'text/csv')).body.errors).toMatchObject([
        { pointer: '#/credential.nope', code: 'unknown' },
      ]);
    });

    it('in a dry run are judged, and nothing is made or shown', async () => {
      const answer = await bring(
        [
          { name: 'w1', credentials: [{ authId: 'w1' }] },
          { name: 'w2', credentials: [{ secret: 'short' }] },
        ],
        '?dryRun=true',
      );
      expect(told(answer)).toEqual([['created'], ['refused', '#/credentials/0/secret too-short']]);
      expect(answer.text).not.toContain('"credentials"');
      const [{ count }] = (await queryAsSuperuser(
        api.database,
        `SELECT count(*)::int AS count FROM credentials WHERE auth_id LIKE 'w%'`,
      )) as [Json];
      expect(count).toBe(0);
    });

    it('are five hundred in one upload at most, found before any is hashed', async () => {
      const rows = Array.from({ length: 501 }, (_, index) => ({
        name: `many-${index}`,
        credentials: [{ secret: `zH3-kq9.Lm2x-${index}` }],
      }));
      const begun = performance.now();
      const refused = await bring(rows);
      expect([refused.status, refused.body.code]).toEqual([413, 'too-large']);
      expect(performance.now() - begun).toBeLessThan(2_000);
      expect((await tenant.admin.get(`${path}?namePrefix=many-`)).body.items).toEqual([]);
    });

    it('keep to how many devices the tenant may have: no row is taken then, and nothing is hashed', async () => {
      const small = await api.createTenant('small-fleet');
      await api.platform.patch(small.path, { limits: { maxDevices: 2 } });
      const text = ['a', 'b', 'c'].map((name) => JSON.stringify({ name, credentials: [{}] })).join('\n');
      const refused = await small.operator.call('POST', `${small.path}/devices/bulk`, {
        text,
        headers: { 'content-type': 'application/x-ndjson' },
      });
      expect([refused.status, refused.body.code]).toEqual([409, 'limit-reached']);
      expect((await small.viewer.get(`${small.path}/devices`)).body.items).toEqual([]);
    });

    it('that two bring at the same moment are one of them’s; nobody gets an error of ours', async () => {
      const answers = await Promise.all(
        ['x', 'y', 'z'].map((name) =>
          bring([{ name: `same-${name}`, credentials: [{ authId: 'same' }] }, { name: `also-${name}` }]),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      const first = answers.map((answer) => told(answer)[0].join(' '));
      expect(first.filter((one) => one === 'created')).toHaveLength(1);
      expect(first.filter((one) => one.endsWith('/credentials/0/authId taken'))).toHaveLength(2);
      expect(answers.every((answer) => told(answer)[1][0] === 'created')).toBe(true);
    });

    it('say nothing of other tenants: an authId is free, and an anchor unknown, that is another’s', async () => {
      const other = await api.createTenant('neighbour');
      const anchor = await other.admin.post(`${other.path}/issuing-authorities`, { name: 'theirs' });
      await other.admin.call('POST', `${other.path}/devices/bulk`, {
        text: JSON.stringify({ name: 'n', credentials: [{ authId: 'theirs' }] }),
        headers: { 'content-type': 'application/x-ndjson' },
      });
      const answer = await bring([
        { name: 'mine-1', credentials: [{ authId: 'theirs' }] },
        { name: 'mine-2', credentials: [{ kind: 'certificate', anchorId: anchor.body.id }] },
      ]);
      expect(told(answer)).toEqual([['created'], ['refused', '#/credentials/0/anchorId unknown']]);
    });

    it('get the same answer again under the same Idempotency-Key, secrets too, and are made once', async () => {
      const send = () =>
        tenant.operator.call('POST', `${path}/bulk`, {
          text: '{"name":"once","credentials":[{}]}',
          headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'fleet' },
        });
      const first = await send();
      expect(first.body.rows[0].credentials[0].password).toMatch(/^[\w-]{43,}$/);
      const second = await send();
      expect([second.body, second.headers.get('idempotent-replayed')]).toEqual([first.body, 'true']);
      expect(await credentialsOf(first.body.rows[0].id)).toHaveLength(1);
    });

    it('come by GraphQL as well', async () => {
      const query = `mutation($devices: [BulkDevice!]!) {
        createDevices(tenant: "${tenant.slug}", devices: $devices) {
          created operation
          rows { outcome errors credentials { password credential { username kind deviceId fingerprint } } }
        }
      }`;
      const own = await makeSelfSigned('graph');
      const devices = [
        { name: 'g1', credentials: [{ authId: 'g1', secret: null, notAfter: null }] },
        { name: 'g2', profile: null, credentials: [{ kind: 'certificate', certificate: own.pem }] },
        { name: 'g3', credentials: [{ secret: 'short' }] },
        { name: 'g4', credentials: null },
      ];
      const { body } = await tenant.operator.post('/graphql', { query, variables: { devices } });
      const { created, operation, rows } = body.data.createDevices;
      expect([created, operation]).toEqual([3, expect.stringMatching(/^\d+$/)]);
      expect(rows).toMatchObject([
        { credentials: [{ password: expect.any(String), credential: { username: `g1@${tenant.slug}` } }] },
        { credentials: [{ password: null, credential: { kind: 'certificate' } }] },
        {
          outcome: 'refused',
          credentials: null,
          errors: [{ pointer: '#/credentials/0/secret', code: 'too-short' }],
        },
        { outcome: 'created', credentials: null },
      ]);
      const viewer = await tenant.viewer.post('/graphql', {
        query,
        variables: { devices: [{ name: 'g5' }] },
      });
      expect(viewer.body.errors[0].extensions.code).toBe('forbidden');
    });
  });
});

function pin({ pem }: { readonly pem: string }): object {
  return { kind: 'certificate', certificate: pem };
}
