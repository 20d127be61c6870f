import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
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
    const other = await api.createTenant('neighbour');
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
});
