/** A fleet that somebody brings with its own usernames, passwords and certificates: one request, then every kind signs in by MQTT. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { startTestApi, type Answer, type Json, type TestApi, type TestTenant } from './support/api.js';
import { createInstallation, type TestBroker, type TestInstallation } from './support/broker.js';
import { makeAuthority, makeSelfSigned, type Pair } from './support/pki.js';
import { eventually } from './support/product.js';

let api: TestApi;
let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
beforeAll(async () => {
  api = await startTestApi();
  installation = await createInstallation(api.database);
  broker = await installation.startBroker();
  tenant = await api.createTenant('grid');
  const { admin, path } = tenant;
  const rules = [{ effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] }];
  const policy = (await admin.post(`${path}/policies`, { name: 'own', rules })).body;
  await admin.post(`${path}/policy-bindings`, {
    policyId: policy.id,
    targetKind: 'tenant',
    targetId: tenant.id,
  });
  await admin.post(`${path}/profiles`, {
    name: 'meter',
    telemetry: [{ filter: 'devices/${device}/telemetry' }],
  });
  await admin.post(`${path}/groups`, { name: 'north' });
});
afterAll(async () => {
  await broker.stop();
  await api.api.close();
  await installation.remove();
});

const bring = (lines: readonly object[], key?: string): Promise<Answer> =>
  tenant.operator.call('POST', `${tenant.path}/devices/bulk`, {
    text: lines.map((line) => JSON.stringify(line)).join('\n'),
    headers: {
      'content-type': 'application/x-ndjson',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
  });

const meter = (index: number, credentials: readonly object[]): object => ({
  name: `meter-${index}`,
  profile: 'meter',
  groups: ['north'],
  credentials,
});

const signIn = (name: string, username: string | undefined, password: string | undefined, pair?: Pair) =>
  broker.connect(
    { name, ...(username && { username }), ...(password && { password }) } as never,
    pair === undefined ? {} : { transport: 'mqtts', cert: pair.pem, key: pair.keyPem },
  );

describe('a fleet that comes in one request', () => {
  it('signs in with what it brought, and with what was made for it', async () => {
    const authority = await makeAuthority('Factory');
    const anchor = await tenant.admin.post(`${tenant.path}/trust-anchors`, {
      name: 'factory',
      certificate: authority.pem,
    });
    const proof = (await authority.issue(anchor.body.challenge)).pem;
    const anchorPath = `${tenant.path}/trust-anchors/${anchor.body.id}`;
    expect((await tenant.admin.post(`${anchorPath}/proof`, { certificate: proof })).status).toBe(200);
    const own = await makeSelfSigned('whatever');
    const issued = await authority.issue('meter-301');
    const lines = [
      ...Array.from({ length: 280 }, (_, index) => meter(index, [{ authId: `m-${index}` }])),
      ...Array.from({ length: 20 }, (_, index) =>
        meter(280 + index, [{ authId: `m-${280 + index}`, secret: `zH3-kq9.Lm2x-${index}` }]),
      ),
      meter(300, [{ kind: 'certificate', certificate: own.pem }, { authId: 'm-300' }]),
      meter(301, [{ kind: 'certificate', anchorId: anchor.body.id }]),
      meter(0, [{}]),
    ];
    const answer = await bring(lines, 'fleet-1');
    expect(answer.body).toMatchObject({ created: 302, refused: 1 });
    const { rows } = answer.body;
    expect(rows[302]).toMatchObject({ row: 303, outcome: 'refused', errors: [{ pointer: '#/name' }] });
    expect((await bring(lines, 'fleet-1')).text).toBe(answer.text);
    const operation = answer.headers.get('operation-location') ?? '';
    await eventually(
      async () => (await tenant.viewer.get(operation)).body.status,
      (status) => status === 'applied',
    );

    for (const index of [0, 137, 279]) {
      const { username, password } = rows[index].credentials[0];
      const client = await signIn(`meter-${index}`, username, password);
      expect(client.connected).toBe(true);
      await client.publishAsync(`devices/meter-${index}/telemetry`, '{"kWh":1}', { qos: 1 });
      const readings = `${tenant.path}/devices/${rows[index].id}/telemetry`;
      expect((await tenant.viewer.get(readings)).body.items).toMatchObject([{ body: { kWh: 1 } }]);
    }
    expect((await signIn('meter-280', 'm-280@grid', 'zH3-kq9.Lm2x-0')).connected).toBe(true);
    await expect(signIn('meter-281', 'm-281@grid', 'zH3-kq9.Lm2x-0')).rejects.toMatchObject({ code: 0x86 });
    await expect(signIn('meter-1', 'm-0@grid', rows[0].credentials[0].password)).rejects.toMatchObject({
      code: 0x85,
    });
    // One that no anchor has signed is looked for where the username names the tenant.
    const { username } = rows[300].credentials[0];
    expect((await signIn('meter-300', username, undefined, own)).connected).toBe(true);
    expect((await signIn('meter-301', undefined, undefined, issued)).connected).toBe(true);

    const expected = [0, 137, 279, 280, 300, 301].map((index): string => rows[index].id);
    await eventually(
      async () =>
        (await tenant.viewer.get(`${tenant.path}/device-presence?state=online&limit=200`)).body.items,
      (items: Json[]) =>
        items.length === expected.length && items.every(({ deviceId }) => expected.includes(deviceId)),
    );
  });

  it('does not hold up others of the api while passwords are hashed', async () => {
    const lines = Array.from({ length: 120 }, (_, index) => ({
      name: `slow-${index}`,
      credentials: [{ secret: `zH3-kq9.Lm2x-${index}` }],
    }));
    const bringing = bring(lines);
    const isDone = (): Promise<boolean> =>
      Promise.race([
        bringing.then(() => true),
        new Promise<boolean>((resolve) => setImmediate(resolve, false)),
      ]);
    let answered = 0;
    for (; !(await isDone()); answered += 1) {
      const { status } = await tenant.admin.post(`${tenant.path}/groups`, { name: `g-${answered}` });
      expect(status).toBe(201);
    }
    expect((await bringing).body.created).toBe(120);
    expect(answered).toBeGreaterThan(3);
  });
});
