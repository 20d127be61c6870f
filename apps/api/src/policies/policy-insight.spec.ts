import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  queryAsSuperuser,
  startTestApi,
  type Json,
  type TestApi,
  type TestTenant,
} from '../../../../test/support/api.js';
import { addDenial, addSession } from '../../../../test/support/broker-rows.js';

let api: TestApi;
let acme: TestTenant;
let device: { id: string };
let policy: { id: string };

const allow = (actions: string[], ...topics: string[]) => ({ effect: 'allow', actions, topics });
const rules = [
  allow(['publish'], 'devices/${device}/#'),
  allow(['subscribe'], 'cmd/#'),
  allow(['publish'], 'never/#'),
  { effect: 'deny', actions: ['publish'], topics: ['never/ever'] },
];

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  device = (await acme.admin.post(`${acme.path}/devices`, { name: 'pump-1' })).body;
  policy = (await acme.admin.post(`${acme.path}/policies`, { name: 'plant', rules })).body;
  await acme.admin.post(`${acme.path}/policy-bindings`, {
    policyId: policy.id,
    targetKind: 'device',
    targetId: device.id,
  });
  for (const [action, topic, rule, days] of [
    ['publish', 'devices/pump-1/telemetry', 0, 1],
    ['subscribe', 'cmd/pump-1', 1, 40],
  ] as const) {
    const at = new Date(Date.now() - days * 86_400_000);
    await queryAsSuperuser(
      api.database,
      'INSERT INTO observed_topics VALUES ($1, $2, $3, $4, $5, $6, $7, $7)',
      [acme.id, device.id, action, topic, 'pump-1', 'a@acme', at],
    );
    await queryAsSuperuser(api.database, 'INSERT INTO rule_uses VALUES ($1, $2, 1, $3, $4)', [
      acme.id,
      policy.id,
      rule,
      at,
    ]);
  }
});
afterAll(() => api.stop());

describe('unused rules', () => {
  it('are those that allowed nothing for so long; a deny is never one', async () => {
    const path = `${acme.path}/policies/${policy.id}/unused-rules`;
    const month = (await acme.viewer.get(path)).body;
    expect(
      month.rules.map(({ index, lastUsedAt }: Record<string, unknown>) => [index, lastUsedAt === null]),
    ).toEqual([
      [1, false],
      [2, true],
    ]);
    const quarter = (await acme.viewer.get(`${path}?days=90`)).body;
    expect(quarter.rules.map(({ index }: { index: number }) => index)).toEqual([2]);
    expect((await acme.viewer.get(`${path}?days=91`)).status).toBe(400);
  });

  it('are not made of rules that a new version has only moved', async () => {
    const path = `${acme.path}/policies/${policy.id}`;
    await acme.admin.post(`${path}/versions`, { rules: rules.toReversed(), activate: true });
    const { body } = await acme.viewer.get(`${path}/unused-rules?days=90`);
    expect(body).toMatchObject({ version: 2, rules: [{ index: 1, lastUsedAt: null }] });
    await acme.admin.post(`${path}/activate`, { version: 1 }, { 'if-match': '*' });
  });
});

describe('a suggested policy', () => {
  it('is the least that allows what the device did', async () => {
    const { body } = await acme.viewer.get(`${acme.path}/devices/${device.id}/policy-suggestion?days=90`);
    expect(body).toMatchObject({
      topics: 2,
      rules: [allow(['publish'], 'devices/${device}/telemetry'), allow(['subscribe'], 'cmd/${device}')],
    });
  });
});

describe('a suggested policy for a profile', () => {
  it('is the least that allows what all its devices did, each under its own name, and no other profile', async () => {
    const profile = (await acme.admin.post(`${acme.path}/profiles`, { name: 'meters' })).body;
    const stranger = (await acme.admin.post(`${acme.path}/devices`, { name: 'stranger' })).body;
    const observe = (of: Json, action: string, topic: string) =>
      queryAsSuperuser(
        api.database,
        `INSERT INTO observed_topics VALUES ($1, $2, $3, $4, $5, '', now(), now())`,
        [acme.id, of.id, action, topic, of.name],
      );
    for (const name of ['meter-1', 'meter-2', 'meter-3']) {
      const made = { name, profileId: profile.id, attributes: { site: `site-of-${name}` } };
      const { body } = await acme.admin.post(`${acme.path}/devices`, made);
      await observe(body, 'publish', `acme/site-of-${name}/${name}/power`);
      await observe(body, 'subscribe', `cmd/${name}/#`);
    }
    await observe(stranger, 'publish', 'secret/stranger');
    const path = `${acme.path}/profiles/${profile.id}/policy-suggestion`;
    expect((await acme.viewer.get(path)).body).toMatchObject({
      topics: 6,
      devices: 3,
      isComplete: true,
      rules: [
        allow(['publish'], '${tenant}/${attr.site}/${device}/power'),
        allow(['subscribe'], 'cmd/${device}/#'),
      ],
    });
  });
});

describe('the connections of a device', () => {
  it('are its comings with their goings, newest first, a page at a time', async () => {
    const event = (epoch: number, state: string, at: string, cause: string, detail: object) =>
      queryAsSuperuser(
        api.database,
        `INSERT INTO presence_events (tenant_id, device_id, at, client_id, epoch, state, cause, detail)
         VALUES ($1, $2, $3, 'pump-1', $4, $5, $6, $7)`,
        [acme.id, device.id, at, epoch, state, cause, detail],
      );
    const facts = {
      address: '192.0.2.1',
      transport: 'tls',
      tls: 'TLSv1.3',
      protocol: 5,
      username: 'a@acme',
      credentialId: device.id,
      keepAliveS: 60,
    };
    const traffic = { bytesReceived: 900, bytesSent: 5_000_000_000, messagesReceived: 3, messagesSent: 7 };
    await event(1, 'online', '2026-01-01T00:00:00Z', 'connected', facts);
    await event(2, 'online', '2026-01-01T02:00:00Z', 'connected', { ...facts, transport: 'ws' });
    await event(1, 'offline', '2026-01-01T02:00:01Z', 'taken-over', {
      ...facts,
      ...traffic,
      reason: 'session-taken-over',
    });
    const path = `${acme.path}/devices/${device.id}/connections?limit=1`;
    const first = (await acme.viewer.get(path)).body;
    expect(first.items).toMatchObject([{ transport: 'ws', until: null, cause: null, bytesSent: null }]);
    const second = (await acme.viewer.get(`${path}&after=${first.next}`)).body;
    expect(second).toMatchObject({
      items: [
        {
          clientId: 'pump-1',
          from: '2026-01-01T00:00:00.000Z',
          until: '2026-01-01T02:00:01.000Z',
          cause: 'taken-over',
          reason: 'session-taken-over',
          ...facts,
          ...traffic,
        },
      ],
      next: null,
    });
  });
});

describe('a dry run', () => {
  it('says what would be lost and gained, of what was done, is held and was refused', async () => {
    await addSession(api.database, acme.id, device.id, { clientId: 'pump-1', queued: [] });
    await queryAsSuperuser(
      api.database,
      "INSERT INTO subscriptions VALUES ($1, 'pump-1', 'cmd/all', 0) ON CONFLICT DO NOTHING",
      [acme.id],
    );
    await addDenial(api.database, acme.id, {
      clientId: 'pump-1',
      action: 'publish',
      at: new Date().toISOString(),
      topic: 'alarms/pump-1',
      deviceId: device.id,
    });
    const path = `${acme.path}/policies/${policy.id}/diff`;
    const draft = { rules: [allow(['publish'], 'devices/${device}/#', 'alarms/#')] };
    const { body } = await acme.viewer.post(path, draft);
    expect(body).toMatchObject({ against: 1, devices: 1, isComplete: true, gained: 1 });
    expect(body.changes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ source: 'session', topic: 'cmd/all', before: 'allow', after: 'deny' }),
        expect.objectContaining({ source: 'denied', topic: 'alarms/pump-1', before: 'deny', after: 'allow' }),
      ]),
    );
    expect(body.lost).toBe(body.changes.length - 1);
    expect(body).toMatchObject({ next: null, devicesLeft: 0, changesLeft: 0, isComplete: true });
    expect(body.rules).toMatchObject({ added: draft.rules, kept: 0 });
    // What is only written otherwise is none: the draft allows what the first rule did.
    expect(body.rules.removed).toEqual(rules.slice(1).map((rule) => expect.objectContaining(rule)));
    const rewritten = [
      rules[3],
      allow(['publish'], 'devices/${device}', 'devices/${device}/#', 'never/#'),
      allow(['subscribe'], 'cmd', 'cmd/+', 'cmd/+/#'),
    ];
    expect((await acme.viewer.post(path, { rules: rewritten })).body).toMatchObject({
      rules: { added: [], removed: [], kept: 3 },
      lost: 0,
      gained: 0,
    });
    expect((await acme.viewer.post(path, { version: 1 })).body).toMatchObject({
      lost: 0,
      gained: 0,
      changes: [],
    });
    const unknown = await acme.viewer.post(path, { version: 9 });
    expect([unknown.status, unknown.body.errors[0].pointer]).toEqual([422, '#/version']);
    const bad = await acme.viewer.post(path, { rules: [allow(['publish'], 'a#')] });
    expect([bad.status, bad.body.errors[0].pointer]).toEqual([422, '#/rules/0/topics/0']);
  });

  it('goes through all devices, so many an answer, and says how many are left', async () => {
    const { body: fresh } = await acme.admin.post(`${acme.path}/policies`, {
      name: 'everywhere',
      rules: [allow(['publish'], 'a')],
    });
    const profile = (await acme.admin.post(`${acme.path}/profiles`, { name: 'many' })).body;
    await acme.admin.post(`${acme.path}/policy-bindings`, {
      policyId: fresh.id,
      targetKind: 'profile',
      targetId: profile.id,
    });
    await queryAsSuperuser(
      api.database,
      `INSERT INTO devices (tenant_id, name, profile_id) SELECT $1::uuid, 'many-' || n, $2::uuid FROM generate_series(1, 450) AS n`,
      [acme.id, profile.id],
    );
    const path = `${acme.path}/policies/${fresh.id}/diff`;
    const seen: [number, number, boolean][] = [];
    let after: string | null | undefined;
    do {
      const { body }: Json = await acme.viewer.post(path, { rules: [], ...(after ? { after } : {}) });
      seen.push([body.devices, body.devicesLeft, body.isComplete]);
      after = body.next;
    } while (after);
    expect(seen).toEqual([
      [200, 250, false],
      [200, 50, false],
      [50, 0, true],
    ]);
    expect((await acme.viewer.post(path, { rules: [], after: 'x' })).status).toBe(400);
  });
});
